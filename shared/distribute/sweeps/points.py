"""The points of a sweep: all combinations of its axes, in an order that never changes.

The axes are, in this order: those of the caller (the files or lines of `each`), each parameter of `grid`,
`zip` as a whole, `sample` as a whole. The last axis changes fastest, as in nested loops. `exclude` takes
points away, then `include` adds some at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, product
from math import prod
from typing import TypeAlias

from distribute.core.spec.specs import MAX_JOBS, MAX_VARIABLES
from distribute.core.words import few, quoted
from distribute.sweeps.errors import SweepError
from distribute.sweeps.sampling import Sample
from distribute.sweeps.templates import NUMBER
from distribute.sweeps.values import Scalar, checked

MAX_POINTS = MAX_JOBS
"""A sweep makes a job of each point."""

MAX_CANDIDATES = 10 * MAX_POINTS
"""Points before `exclude` takes some away. Each point that it takes is noted."""

Point: TypeAlias = dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class Axis:
    """Parameters that change together: row by row of these columns, which are equally long.

    `loc` is the place of the axis in the sweep. `unrecorded` are columns that only templates need: they
    follow from the others.
    """

    columns: Mapping[str, Sequence[Scalar]]
    loc: tuple[str, ...] = ()
    unrecorded: frozenset[str] = field(default_factory=frozenset)
    name: str = ""
    """The part that a row has of its job's name, as a template. Empty: the parameters with their values."""

    @property
    def name_template(self) -> str:
        """The part that a row has of its job's name, as a template."""
        shown = [name for name in self.columns if name not in self.unrecorded]
        return self.name or "-".join(f"{name}{{{name}}}" for name in shown)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self) -> Iterator[tuple[Scalar, ...]]:
        """The values of each row, in the order of the columns."""
        return zip(*self.columns.values(), strict=True)

    @property
    def size_text(self) -> str:
        """The number of its rows, for a message."""
        return f"{few(list(self.columns))} {len(self):,}"


class Sweep:
    """Points of parameters. Nothing is computed for a point before it is asked for.

    `grid`: each value of each parameter. `zip`: the first values of all parameters together, then the second
    ones, and so on. `include` adds points; `exclude` takes away the points that have all of these values.
    `axes` are further parameters.

    Raises:
        SweepError: something is wrong, or there are more than `MAX_POINTS` points. It says how many.
    """

    def __init__(
        self,
        *,
        grid: Mapping[str, Sequence[Scalar]] | None = None,
        zip: Mapping[str, Sequence[Scalar]] | None = None,  # noqa: A002 - as in the file
        sample: Sample | None = None,
        include: Sequence[Mapping[str, Scalar]] = (),
        exclude: Sequence[Mapping[str, Scalar]] = (),
        axes: Sequence[Axis] = (),
    ) -> None:
        self._axes = [*axes, *_grid(grid or {}), *_zipped(zip)]
        self._candidates = _size(self._axes, 1 if sample is None else sample.count, bool(exclude))
        if sample is not None:
            self._axes.append(Axis(sample.columns(), ("sample", "values"), name=f"{{{NUMBER}}}"))
        self.names = _names(self._axes) or (tuple(include[0]) if include else ())
        """The parameters, in their order."""
        self.unrecorded = frozenset[str]().union(*(axis.unrecorded for axis in self._axes))
        """Those that follow from others."""
        self.recorded = tuple(name for name in self.names if name not in self.unrecorded)
        if not self.names:
            raise SweepError("the sweep has no parameters; write grid: {x: [1, 2, 3]}")
        self._axes = [_checked(axis) for axis in self._axes]
        self._include = [self._included(index, point) for index, point in enumerate(include)]
        self._excluded = self._exclude(exclude)
        if len(self) > MAX_POINTS:
            raise SweepError(_too_many(len(self), self._axes))
        if not len(self):
            raise SweepError("the sweep has no points: all are excluded", "exclude")

    def __len__(self) -> int:
        grid = self._candidates if self._axes else 0
        return grid - len(self._excluded) + len(self._include)

    @property
    def name_parts(self) -> list[str]:
        """The parts that its axes have of a job's name, as templates."""
        return [axis.name_template for axis in self._axes or [Axis(dict.fromkeys(self.names, ()))]]

    def points(self) -> Iterator[Point]:
        """The points, one after the other."""
        names = self.names
        if self._axes:
            rows = product(*(axis.rows() for axis in self._axes))
            for index, row in enumerate(rows):
                if index not in self._excluded:
                    yield dict(zip(names, chain.from_iterable(row), strict=True))
        for point in self._include:
            yield dict(point)

    def parameters(self, point: Point) -> Point:
        """What a job keeps of its point."""
        return {name: point[name] for name in self.recorded}

    def _included(self, index: int, point: Mapping[str, Scalar]) -> Point:
        wanted = self.recorded
        if missing := [name for name in wanted if name not in point]:
            raise SweepError(
                f"a point of include lacks {few(missing)}; write all of {few(wanted)}", "include", index
            )
        if more := [name for name in point if name not in wanted]:
            raise SweepError(
                f"a point of include has {few(more)}, and the others don't; they have {few(wanted)}",
                "include",
                index,
            )
        if self.unrecorded:
            raise SweepError("include can't add to files or lines; add to these instead", "include", index)
        return {name: checked(point[name], "include", index, name) for name in self.names}

    def _exclude(self, rules: Sequence[Mapping[str, Scalar]]) -> set[int]:
        excluded: set[int] = set()
        for number, rule in enumerate(rules):
            if not rule:
                raise SweepError(
                    "an empty point would exclude all; write the values to exclude", "exclude", number
                )
            for name in rule:
                if name not in self.names:
                    raise SweepError(
                        f"the sweep has no parameter {quoted(name)}; it has {few(self.names)}",
                        *("exclude", number, name),
                    )
            before = len(excluded)
            excluded.update(self._matching(rule))
            if len(excluded) == before and not any(True for _ in self._matching(rule)):
                raise SweepError(
                    f"no point has {point_text(rule)}, so this excludes nothing; correct or remove it",
                    *("exclude", number),
                )
        return excluded

    def _matching(self, rule: Mapping[str, Scalar]) -> Iterator[int]:
        """The numbers of the points that have all values of `rule`."""
        if not self._axes:
            return iter(())  # the product of no axes would have one point, without parameters
        matching = []
        place = self._candidates
        for axis in self._axes:
            place //= len(axis)
            asked = {name: rule[name] for name in axis.columns if name in rule}
            rows = range(len(axis))
            fitting = [
                row for row in rows if all(axis.columns[name][row] == value for name, value in asked.items())
            ]
            matching.append([row * place for row in fitting] if asked else [row * place for row in rows])
        return map(sum, product(*matching))


def point_text(point: Mapping[str, Scalar]) -> str:
    """A point for a message: `re=100, n=48`."""
    return few(
        [
            f"{name}={value if len(str(value)) <= 40 else quoted(str(value), 40)}"
            for name, value in point.items()
        ]
    )


def _checked(axis: Axis) -> Axis:
    """The axis with numbers of Python. Raises SweepError if a parameter can't have one of the values."""
    columns = {name: _checked_column(values, *axis.loc, name) for name, values in axis.columns.items()}
    return replace(axis, columns=columns)


def _checked_column(values: Sequence[Scalar], *loc: str) -> Sequence[Scalar]:
    """The column. It is copied only if it has to be: computed values take no memory."""
    for index, value in enumerate(values):
        if checked(value, *loc, index) is not value:
            return [checked(each, *loc, number) for number, each in enumerate(values)]
    return values


def _grid(grid: Mapping[str, Sequence[Scalar]]) -> list[Axis]:
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise SweepError(f"{name} takes a list of values", "grid", name)
        if not len(values):
            raise SweepError(f"{name} has no values; write at least one", "grid", name)
    return [Axis({name: values}, ("grid",)) for name, values in grid.items()]


def _zipped(columns: Mapping[str, Sequence[Scalar]] | None) -> list[Axis]:
    if not columns:
        return []
    for name, values in columns.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise SweepError(f"{name} takes a list of values", "zip", name)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = few([f"{name} has {length:,}" for name, length in lengths.items()])
        raise SweepError(f"the lists of zip are equally long, but {told}", "zip")
    if 0 in lengths.values():
        raise SweepError("the lists of zip are empty; write values", "zip")
    return [Axis(columns, ("zip",))]


def _size(axes: Sequence[Axis], sampled: int, has_exclude: bool) -> int:
    """The number of points that the axes make. Raises SweepError if there are too many to look at them."""
    size = prod(len(axis) for axis in axes) * sampled
    if size > (MAX_CANDIDATES if has_exclude else MAX_POINTS):
        raise SweepError(_too_many(size, axes, sampled))
    return size


def _too_many(size: int, axes: Sequence[Axis], sampled: int = 1) -> str:
    parts = [axis.size_text for axis in axes] + ([f"sample {sampled:,}"] if sampled > 1 else [])
    made_of = f" ({' x '.join(parts)})" if 1 < len(parts) <= 8 else ""
    return (
        f"the sweep has {size:,} points{made_of}, and a batch may have {MAX_POINTS:,} jobs; "
        "write fewer values, or take random ones: sample"
    )


def _names(axes: Sequence[Axis]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for axis in axes:
        for name in axis.columns:
            if not name.isidentifier():
                raise SweepError(
                    f"{quoted(name)} can't name a parameter; use letters, digits and '_', as in re_max",
                    *(*axis.loc, name),
                )
            if name in names:
                raise SweepError(f"two parameters are called {name}; rename one", *(*axis.loc, name))
            names[name] = None
    if len(names) > MAX_VARIABLES:
        raise SweepError(f"{len(names):,} parameters are too many; {MAX_VARIABLES:,} are allowed")
    return tuple(names)
