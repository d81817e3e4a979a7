"""Results of benchmarks: figures with their targets, and floors measured in the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Floor:
    """What the machine needs for the least work that could give the same result, in the figure's unit."""

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
        """Is the target met? None: there is no target."""
        if self.target is None:
            return None
        return self.value >= self.target if self.unit.endswith("/s") else self.value <= self.target

    @property
    def ratio_to_floor(self) -> float | None:
        """The ratio of the figure to its floor; None: there is no floor."""
        return None if self.floor is None else self.value / self.floor.value
