"""Reads and writes durations and sizes for people.

A duration is seconds in code and `1h30m10s` in text. A size is bytes in code and `8G` in text. Units of
size are binary, as in SLURM, `ls -h` and the kernel: K = 1024, M = 1024 K, and so on. `8G`, `8GB` and
`8GiB` are the same.
"""

from __future__ import annotations

import re
from functools import lru_cache

from distribute.core.words import MAX_BYTES, PREFIXES, SECONDS, format_duration, format_size, quoted

__all__ = [
    "check_size",
    "format_duration",
    "format_size",
    "longest_duration",
    "parse_duration",
    "parse_size",
]

_NUMBER = r"[0-9]{1,19}(?:\.[0-9]{1,9})?"
_UNITS = "dhms"
DURATION = rf"{_NUMBER}|" + " ?".join(rf"(?:({_NUMBER}){unit})?" for unit in _UNITS)
"""The pattern of a duration that is not empty."""
_SECONDS = re.compile(_NUMBER)
_DURATION = re.compile(DURATION)

SIZE = rf"({_NUMBER}) ?([KMGTPkmgtp]?)(?:[Ii]?[Bb])?"
"""The pattern of a size."""
_SIZE = re.compile(SIZE)

_LONGEST_KNOWN = 100
"""Longer texts are not remembered: a file may have a thousand of a kilobyte."""


def parse_duration(text: str) -> float:
    """The seconds in `text`: `90s`, `45m`, `2h`, `1d`, `1h30m10s`, or a plain number of seconds.

    Raises:
        ValueError: it is none of these.
    """
    seconds = _seconds(text) if len(text) <= _LONGEST_KNOWN else _seconds.__wrapped__(text)
    if isinstance(seconds, str):
        raise ValueError(seconds)  # noqa: TRY004 - the type is right, the text is not
    return seconds


@lru_cache(maxsize=1 << 10)  # the same few are in every job
def _seconds(text: str) -> float | str:
    """The seconds in `text`; or, if it is no duration, what to write instead."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return (
            f"{quoted(text)} is not a duration; write 90s, 45m, 2h or 1h30m10s; a plain number means seconds"
        )
    return sum(float(number) * SECONDS[unit] for unit, number in zip(_UNITS, match.groups("0"), strict=True))


def longest_duration(seconds: float) -> str:
    """The longest duration of one unit that is not longer than `seconds`: `115740d`."""
    unit = next((unit for unit, size in SECONDS.items() if seconds >= size), "s")
    return f"{seconds // SECONDS[unit]:.0f}{unit}"


def parse_size(text: str) -> int:
    """The bytes in `text`: `8G`, `512M`, `1.5T`, or a plain number of bytes. Units are binary, 1K = 1024.

    Raises:
        ValueError: it is none of these, or does not fit 64 bits.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is not a size; write 8G, 512M or 10K; a plain number means bytes")
    number, prefix = match.groups()
    factor: int = 1024 ** PREFIXES.index(prefix.upper())
    return check_size(int(number) * factor if "." not in number else round(float(number) * factor), text)


def check_size(size_bytes: int, text: object) -> int:
    """Return a size that `text` gives, if it is one that can be stored.

    Raises:
        ValueError: it does not fit 64 bits.
    """
    if size_bytes > MAX_BYTES:
        raise ValueError(f"{text} is out of range; write less than {format_size(MAX_BYTES)}")
    return size_bytes
