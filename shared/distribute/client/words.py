"""Format names and times for messages: on one line, as arguments for a shell, by this computer's clock."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime


def printable(text: str) -> str:
    """`text` on one line, with everything escaped that a terminal could take for a command."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def printable_lines(text: str) -> str:
    """`text` with all that `printable` escapes escaped, but for the ends of its lines."""
    return "\n".join(map(printable, text.split("\n")))


def argument(name: str) -> str:
    """A name as a person types it into a shell. For messages that say what to type."""
    if name.isprintable():
        return shlex.quote(name)
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(char if char.isprintable() else _bytes_of(char) for char in escaped) + "'"


def local_time(time: float) -> str:
    """Seconds since 1970 as a time by this computer's clock, to the second."""
    return f"{datetime.fromtimestamp(time, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def local_moment(time: datetime) -> str:
    """A time by this computer's clock, to the minute."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


def _bytes_of(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode(errors="surrogateescape"))
