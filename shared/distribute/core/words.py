"""Figures, reasons, and what people wrote, in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 file`, `2 files`. `things` is the plural where it is not `thing` with an s."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def killed_by(person: str | None) -> str:
    """Why a job or a build was ended. None: no person killed it."""
    return "killed, because its batch is over" if person is None else f"killed by {person}"


def moved_by(person: str | None) -> str:
    """Why a node gave a job back."""
    return f"moved by {person}"


def by_and_why(by: str | None, reason: str | None) -> str:
    """Who paused a node, and why, as the end of a sentence: `, by jane: a talk`. None: the node itself."""
    return f"{f', by {by}' if by else ''}{f': {reason}' if reason else ''}"


MOST_NAMED = 5
"""So many things of one kind are named in a sentence."""


def few(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are: `a, b, c, d, e and 2 more`."""
    more = len(names) - MOST_NAMED
    first = ", ".join(names[:MOST_NAMED])
    return f"{first} and {more} more" if more > 0 else first


MAX_TOLD = 20
"""So many problems are told. A person mends these, and then asks again."""


def first_of(problems: Sequence[str], more: int = 0) -> list[str]:
    """The first problems of many, and a line that counts the others. `more` of them are not in `problems`."""
    others = len(problems[MAX_TOLD:]) + more
    return [*problems[:MAX_TOLD], *([f"and {counted(others, 'more problem')}"] if others else [])]


LONGEST_QUOTED = 60
LONGEST_QUOTED_PATH = 400


def quoted(text: str, longest: int = LONGEST_QUOTED) -> str:
    """`text` as messages quote it: on one line, and cut if it is longer than `longest` characters.

    People write, or generate, values of megabytes; a message is to be read.
    """
    shown = repr(text[:longest])
    return shown if len(text) <= longest else f"{shown[:-1]}…{shown[-1]}"


SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
"""The units of durations, in seconds."""

MAX_BYTES = 2**63 - 1
"""The largest size."""

PREFIXES = ("", "K", "M", "G", "T", "P")
"""The units of sizes, each 1024 times the one before."""


def format_duration(seconds: float) -> str:
    """`seconds` for people: `1h30m10s`; under a minute with three digits: `0.532s`, `12.3s`."""
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if round(seconds, 1) < 60:
        return f"{_three_digits(seconds)}s"
    left = round(seconds)
    parts = []
    for unit, size in SECONDS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def format_size(size_bytes: int) -> str:
    """`size_bytes` for people, with three digits and a binary unit: `8G`, `1.5M`, `17B`."""
    if size_bytes < 1024:
        return f"{size_bytes}B"
    value, power = float(size_bytes), 0
    while value >= 999.5 and power < len(PREFIXES) - 1:  # three digits would show it as 1000
        value, power = value / 1024, power + 1
    return f"{_three_digits(value)}{PREFIXES[power]}"


def _three_digits(number: float) -> str:
    digits_after_point = 3 if number < 1 else 2 if number < 10 else 1 if number < 100 else 0
    text = f"{number:.{digits_after_point}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rfc3339(time: float | None) -> str | None:
    """Seconds since 1970 as text, to the millisecond; None and 0 (never) as None."""
    if not time:
        return None
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
