"""What no message for people may hold: a library's phrase, a number of an error, or more than can be read."""

from __future__ import annotations

import re

LONGEST_LINE = 1500
MOST_LINES = 21
"""Twenty problems, and a line that counts the others."""

FOREIGN = re.compile(
    r"\[?Errno|Input should|Value error|validation error|Assertion failed|Traceback|<class |NoneType"
    r"|Field required|Extra inputs|unable to parse|pydantic|object at 0x|Connect call failed"
    r"|Multiple exceptions|nodename nor"
    r"|Name or service not known|Temporary failure in name|No such file or directory|Permission denied"
    r"|Is a directory|Not a directory|No space left|File name too long|Read-only file system"
    r"|Invalid value for|Missing argument|Missing option|No such option|requires an argument|unexpected extra"
    r"|could not find expected|mapping values are|did not find expected|while (?:parsing|scanning)"
    r"|codec can't|invalid (?:start|continuation) byte|nats: |\bInvalid URL|\b[A-Z]\w+Error\b"
    r"|\b1 (?:cpus|files|jobs|attempts|nodes|GPUs|problems|more problems|batches|builds|lines)\b"
)


def assert_plain(text: str) -> None:
    """Demand that a message is ours, and short enough to be read."""
    lines = text.splitlines()
    assert len(lines) <= MOST_LINES, f"{len(lines)} lines: {lines[:3]}"
    for line in lines:
        assert len(line) <= LONGEST_LINE, f"a line of {len(line)} characters: {line[:200]}"
        foreign = FOREIGN.search(line)
        assert foreign is None, f"{foreign.group()!r} in {line!r}"
        assert line.isprintable(), f"{line!r} can't be printed as it is"
