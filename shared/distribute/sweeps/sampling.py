"""Random values of parameters. Equal seeds make equal values, with every version of Python.

Each parameter has random numbers of its own: a parameter that is added, or removed, changes no other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from distribute.sweeps.errors import SweepError
from distribute.sweeps.values import Scalar

_MAX_RANGE = 2**53
"""A random number has so many values."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any number from `low` to `high`, each as likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self.low, self.high)

    def value(self, random: float) -> Scalar:
        return min(self.high, self.low + (self.high - self.low) * random)


@dataclass(frozen=True, slots=True)
class LogUniform:
    """A number from `low` to `high`, whose logarithm is as likely as any other: each decade has as many."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self.low, self.high)
        if self.low <= 0:
            raise SweepError(f"log takes numbers of more than 0, not {self.low}; or write uniform")

    def value(self, random: float) -> Scalar:
        low, high = math.log(self.low), math.log(self.high)
        # Computers differ in the last digits of a logarithm.
        value = float(f"{math.exp(low + (high - low) * random):.12g}")
        return min(self.high, max(self.low, value))


@dataclass(frozen=True, slots=True)
class Integers:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_ends(self.low, self.high)
        if self.high - self.low >= _MAX_RANGE or max(abs(self.low), abs(self.high)) >= 2**63:
            raise SweepError(f"from {self.low} to {self.high} is too wide a range of whole numbers")

    def value(self, random: float) -> Scalar:
        return self.low + int(random * (self.high - self.low + 1))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these values, each as likely."""

    values: Sequence[Scalar]

    def __post_init__(self) -> None:
        if not self.values:
            raise SweepError("choice is empty; write the values to choose from")

    def value(self, random: float) -> Scalar:
        return self.values[int(random * len(self.values))]


Distribution: TypeAlias = Uniform | LogUniform | Integers | Choice


@dataclass(frozen=True, slots=True)
class Sample:
    """So many random points of these parameters."""

    count: int
    values: Mapping[str, Distribution]
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise SweepError(f"{self.count} random points are none; write 1 or more", "count")
        if not self.values:
            raise SweepError("a sample has no parameters; write values: {x: {uniform: [0, 1]}}")

    def columns(self) -> dict[str, list[Scalar]]:
        """The values of each parameter, one for each point."""
        return {name: self._column(name, distribution) for name, distribution in self.values.items()}

    def _column(self, name: str, distribution: Distribution) -> list[Scalar]:
        # Python promises that a seed always gives the same `random()`, and promises it of nothing else.
        random = Random(f"{self.seed} {name}").random
        return [distribution.value(random()) for _ in range(self.count)]


def _check_ends(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low)):
        raise SweepError(f"from {low} to {high} is no range of numbers")
    if low > high:
        raise SweepError(f"{low} is more than {high}; write the smaller number first")
