"""Values of parameters: texts, numbers, truth values; and ranges of numbers.

In a file, a value is the text that its author wrote: `0.10` is called `0.10` in a name, and is the number 0.1
wherever one counts with it. A value from Python looks as `str` shows it.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from functools import cached_property
from numbers import Integral, Real
from typing import Self, TypeAlias, overload

from distribute.core.words import quoted
from distribute.sweeps.errors import SweepError

Scalar: TypeAlias = str | int | float | bool

MAX_VALUE_CHARS = 100_000
"""A value becomes a part of a command, and Linux takes no argument of more than 128 KiB."""

_MAX_WHOLE = 2**63 - 1
"""Readers of JSON take no larger number."""

_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_REAL = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_LONGEST_NUMBER = 40


class Written:
    """A value that looks as its author wrote it. A type of numbers stands behind it."""

    text: str

    def __new__(cls, value: float, text: str) -> Self:
        made = super().__new__(cls, value)  # type: ignore[call-arg] # the type of numbers takes it
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text


class WrittenInt(Written, int):
    """A whole number that looks as its author wrote it."""


class WrittenBool(WrittenInt):
    """A truth value that looks as its author wrote it."""


class WrittenFloat(Written, float):
    """A number that looks as its author wrote it."""


def written(text: str) -> Scalar:
    """The value that a text of a file means. A number with leading zeros, such as `007`, is a text."""
    if len(text) > _LONGEST_NUMBER:
        return text
    if text in _TRUTH:
        return WrittenBool(_TRUTH[text], text)
    if _WHOLE.fullmatch(text) and abs(int(text)) <= _MAX_WHOLE:
        return WrittenInt(int(text), text)
    if _REAL.fullmatch(text) and math.isfinite(number := float(text)):
        return WrittenFloat(number, text)
    return text


def plain(value: Scalar) -> Scalar:
    """The value as JSON has it, without the text that its author wrote."""
    kind = _PLAIN.get(type(value))
    return value if kind is None else kind(value)


_PLAIN: Mapping[type, type[int] | type[float] | type[bool]] = {
    WrittenBool: bool,
    WrittenInt: int,
    WrittenFloat: float,
}


def checked(value: object, *loc: str | int) -> Scalar:
    """The value, if a parameter can have it. Numbers of other libraries become numbers of Python.

    Raises:
        SweepError: it is no text and no number, or a number or text that can't be passed on.
    """
    if isinstance(value, str):
        return _checked_text(value, loc)
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        if abs(whole := int(value)) > _MAX_WHOLE:
            raise SweepError(f"the whole number {quoted(str(value))} is too large; write it as a text", *loc)
        return value if isinstance(value, int) else whole
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            raise SweepError(f"{value} is no number that a parameter can have; write a text", *loc)
        return value if isinstance(value, WrittenFloat) else number
    if type(value).__name__ in {"bool", "bool_"}:  # as numpy has it
        return bool(value)
    kind = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list | tuple) else None
    found = kind or ("nothing" if value is None else f"a {type(value).__name__}")
    raise SweepError(f"the value of a parameter is a text or a number, not {found}", *loc)


def _checked_text(text: str, loc: tuple[str | int, ...]) -> str:
    if len(text) > MAX_VALUE_CHARS:
        raise SweepError(
            f"the value {quoted(text)} has {len(text):,} characters; {MAX_VALUE_CHARS:,} are allowed", *loc
        )
    if "\0" in text:
        raise SweepError(
            f"{quoted(text)} contains a NUL, which can't be passed to a program; remove it", *loc
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise SweepError(f"{quoted(text)} is not valid Unicode", *loc) from None
    return text


class _Computed(Sequence[Scalar]):
    """Values that are computed when they are asked for, so that a billion of them take no memory."""

    @abstractmethod
    def value(self, index: int) -> Scalar:
        """The value at an index from 0 on."""

    @overload
    def __getitem__(self, index: int) -> Scalar: ...
    @overload
    def __getitem__(self, index: slice) -> list[Scalar]: ...
    def __getitem__(self, index: int | slice) -> Scalar | list[Scalar]:
        if isinstance(index, slice):
            return [self.value(number) for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.value(index % len(self))


_MAX_DIGITS = 30
_MAX_COUNT = 10**15
_EXACT = Context(prec=4 * _MAX_DIGITS)


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise SweepError(f"{quoted(text)} is no number") from None
    if not number.is_finite() or not -_MAX_DIGITS < number.adjusted() < _MAX_DIGITS:
        raise SweepError(f"{quoted(text)} is out of range; write a number of up to {_MAX_DIGITS} digits")
    if len(number.as_tuple().digits) > _MAX_DIGITS:
        raise SweepError(f"{quoted(text)} has too many digits; write up to {_MAX_DIGITS}")
    return number


@dataclass(frozen=True)
class Steps(_Computed):
    """The numbers from `first` to `last` in steps, both ends included: decimal, so without rounding."""

    first: str
    last: str
    step: str = "1"

    def __post_init__(self) -> None:
        first, last, step = self._numbers
        if step == 0:
            raise SweepError("a step of 0 leads nowhere; write another")
        if (last - first) * step < 0:
            raise SweepError(
                f"steps of {self.step} never lead from {self.first} to {self.last}; change the sign of step"
            )
        if (last - first) / step >= _MAX_COUNT:
            raise SweepError(
                f"from {self.first} to {self.last} in steps of {self.step} are far too many values"
            )

    @cached_property
    def _numbers(self) -> tuple[Decimal, Decimal, Decimal]:
        return _decimal(self.first), _decimal(self.last), _decimal(self.step)

    @cached_property
    def _count(self) -> int:
        first, last, step = self._numbers
        return int(_EXACT.divide_int(_EXACT.subtract(last, first), step)) + 1

    def __len__(self) -> int:
        return self._count

    def value(self, index: int) -> Scalar:
        first, _, step = self._numbers
        return written(f"{_EXACT.add(first, _EXACT.multiply(step, Decimal(index))):f}")


@dataclass(frozen=True)
class Spaced(_Computed):
    """So many numbers from `first` to `last`, at equal distances, or at equal ratios."""

    first: str
    last: str
    length: int
    by_ratio: bool = False

    def __post_init__(self) -> None:
        if self.length < 1:
            raise SweepError(f"count: {self.length} values are none; write 1 or more")
        first, last = _decimal(self.first), _decimal(self.last)
        if self.by_ratio and (first <= 0 or last <= 0):
            raise SweepError(
                f"values at equal ratios are more than 0, unlike {self.first if first <= 0 else self.last}"
            )

    def __len__(self) -> int:
        return self.length

    def value(self, index: int) -> Scalar:
        first, last = float(self.first), float(self.last)
        if index == 0 or self.length == 1:
            return written(self.first)
        if index == self.length - 1:
            return written(self.last)
        part = index / (self.length - 1)
        number = first * (last / first) ** part if self.by_ratio else first + (last - first) * part
        return written(f"{number:.12g}")
