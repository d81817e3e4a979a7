"""The list of `--array` in the words of sbatch: `1-30`, `1-9:2`, `1,5,7-9`; `%4` has four run at once."""

from __future__ import annotations

import re
from typing import NamedTuple

from distribute.core.errors import InputError
from distribute.core.spec.specs import MAX_JOBS
from distribute.core.words import quoted

_PART = re.compile(r"(?P<first>[0-9]+)(?:-(?P<last>[0-9]+)(?::(?P<step>[0-9]+))?)?", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
_MAX_DIGITS = 18
"""A larger number is no index: readers of JSON could not take it."""

_FORMS = "write 1-30, 1-9:2 or 1,5,7-9"


class Array(NamedTuple):
    """The indices, each once and in order, and how many of their jobs may run at once."""

    indices: list[int]
    at_once: str | None


def parse_array(text: str) -> Array:
    """The array that a person wrote.

    Raises:
        InputError: it is none, or has more indices than a batch has jobs.
    """
    listed, percent, at_once = text.partition("%")
    if percent and not at_once.strip():
        raise _wrong(text, "how many may run at once is missing behind '%'; write 1-30%4")
    if percent and not _COUNT.fullmatch(at_once.strip()):
        raise _wrong(text, f"{quoted(at_once.strip())} can't be how many run at once; write 1-30%4")
    ranges = [_range(text, part.strip()) for part in listed.split(",")]
    count = sum(map(len, ranges))
    if count > MAX_JOBS:
        raise _wrong(text, f"these are {count:,} jobs, and a batch may have {MAX_JOBS:,}; write fewer")
    indices = sorted(set().union(*ranges))
    return Array(indices, at_once.strip() if percent else None)


def _range(text: str, part: str) -> range:
    found = _PART.fullmatch(part)
    if found is None:
        raise _wrong(text, _why_not(part))
    numbers = [found[group] for group in ("first", "last", "step")]
    if long := [number for number in numbers if number and len(number.lstrip("0")) > _MAX_DIGITS]:
        raise _wrong(text, f"{quoted(long[0])} is too large; write numbers of up to {_MAX_DIGITS} digits")
    first = int(found["first"])
    last = int(found["last"] or first)
    step = int(found["step"] or 1)
    if step == 0:
        raise _wrong(text, f"a step of 0 leads nowhere; write {first}-{last}:1")
    if last < first:
        raise _wrong(text, f"{part} counts down; write {last}-{first}")
    return range(first, last + 1, step)


def _why_not(part: str) -> str:
    """What is wrong with a part that is no index and no range."""
    if not part:
        return f"an index is missing; {_FORMS}"
    if re.fullmatch(r"[0-9]+-", part, re.ASCII):
        return f"{part} has no end; write {part}{int(part[:_MAX_DIGITS].rstrip('-') or 0) + 9}"
    if re.fullmatch(r"-[0-9]+", part, re.ASCII):
        return f"{part} has no beginning; write 1{part}"
    if re.fullmatch(r"[0-9]+(-[0-9]+)?:", part, re.ASCII):
        return f"the step is missing behind ':'; {_FORMS}"
    if re.fullmatch(r"[0-9]+:[0-9]+", part, re.ASCII):
        return f"a step is for a range, and {part} is none; {_FORMS}"
    return f"{quoted(part)} is no index, and no range of them; {_FORMS}"


def _wrong(text: str, why: str) -> InputError:
    return InputError(f"--array {quoted(text)}: {why}" if text else f"--array: {why}")
