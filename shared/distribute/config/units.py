"""Reads and writes durations and sizes for people.

A duration is seconds in code and `1h30m10s` in text. A size is bytes in code and `8G` in text. Units of
size are binary, as in SLURM, `ls -h` and the kernel: K = 1024, M = 1024 K, and so on. `8G`, `8GB` and
`8GiB` are the same.
"""

from __future__ import annotations

import re

from distribute.core.specs import MAX_BYTES
from distribute.core.words import PREFIXES, SECONDS, format_duration, format_size, quoted

__all__ = [
    "check_size",
    "format_duration",
    "format_size",
    "longest_duration",
    "parse_duration",
    "parse_size",
]

_NUMBER = r"\d{1,19}(?:\.\d{1,9})?"
_DURATION = re.compile(
    rf"(?:(?P<d>{_NUMBER})d)? ?(?:(?P<h>{_NUMBER})h)? ?(?:(?P<m>{_NUMBER})m)? ?(?:(?P<s>{_NUMBER})s)?",
    re.ASCII,
)

_SIZE = re.compile(rf"({_NUMBER}) ?([KMGTP]?)(?:I?B)?", re.ASCII | re.IGNORECASE)


def parse_duration(text: str) -> float:
    """The seconds in `text`: `90s`, `45m`, `2h`, `1d`, `1h30m10s`, or a plain number of seconds.

    Raises:
        ValueError: it is none of these.
    """
    text = text.strip()
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return float(text)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(
            f"{quoted(text)} is not a duration; write 90s, 45m, 2h or 1h30m10s; a plain number means seconds"
        )
    return sum(float(number) * SECONDS[unit] for unit, number in match.groupdict("0").items())


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
