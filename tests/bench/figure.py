"""What a benchmark finds out: a figure, its target, and a floor measured in the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Floor:
    """What the machine itself needs for the least that could do the work: the same unit as the figure."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. Rates (a unit that ends in `/s`) are better higher, everything else lower."""

    name: str
    value: float
    unit: str
    target: float | None = None
    floor: Floor | None = None

    @property
    def meets_target(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.unit.endswith("/s") else self.value <= self.target

    @property
    def ratio_to_floor(self) -> float | None:
        """The figure in floors; None where there is none."""
        return None if self.floor is None else self.value / self.floor.value
