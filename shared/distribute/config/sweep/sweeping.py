"""Makes the points of a batch's section `sweep`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from distribute.config.sections.sweep_section import Random, Range, SampleSection, SweepSection, Values
from distribute.config.sweep.sweep_sources import each_file, each_line
from distribute.sweeps import (
    Axis,
    Choice,
    Distribution,
    Integers,
    LogUniform,
    Sample,
    Scalar,
    Spaced,
    Steps,
    Sweep,
    SweepError,
    Uniform,
    written,
)


def sweep_of(section: SweepSection, folder: Path, input_folder: str) -> Sweep:
    """The points of a section. `folder` is that of its file, `input_folder` where jobs find their files.

    Raises:
        SweepError: a part is wrong, or there are too many points.
    """
    axes: list[Axis] = []
    if section.each is not None:
        axes.append(each_file(section.each, folder, input_folder, "each"))
    if section.each_line is not None:
        axes.append(each_line(section.each_line, folder, "each-line"))
    return Sweep(
        axes=axes,
        grid=_columns(section.grid, "grid"),
        zip=_columns(section.zip, "zip"),
        sample=_sample(section.sample) if section.sample is not None else None,
        include=[_point(point) for point in section.include],
        exclude=[_point(point) for point in section.exclude],
    )


@contextmanager
def _at(*loc: str) -> Iterator[None]:
    """Give the errors of the block their place."""
    try:
        yield
    except SweepError as error:
        raise SweepError(str(error), *loc, *error.loc) from error


def _point(point: Mapping[str, str]) -> dict[str, Scalar]:
    return {name: written(text) for name, text in point.items()}


def _columns(columns: Mapping[str, Values] | None, key: str) -> dict[str, Sequence[Scalar]]:
    found: dict[str, Sequence[Scalar]] = {}
    for name, values in (columns or {}).items():
        with _at(key, name):
            found[name] = _values(values)
    return found


def _values(values: Values) -> Sequence[Scalar]:
    if isinstance(values, str):
        return [written(values)]
    if not isinstance(values, Range):
        return [written(text) for text in values]
    if values.first is not None and values.last is not None:
        return Steps(values.first, values.last, values.step or "1")
    first, last = values.linear or values.log or ("", "")
    return Spaced(first, last, values.count or 0, by_ratio=values.log is not None)


def _sample(section: SampleSection) -> Sample:
    values: dict[str, Distribution] = {}
    for name, random in section.values.items():
        with _at("sample", "values", name):
            values[name] = _distribution(random)
    with _at("sample"):
        return Sample(section.count, values, section.seed)


def _distribution(random: Random) -> Distribution:
    if random.uniform is not None:
        return Uniform(*random.uniform)
    if random.log is not None:
        return LogUniform(*random.log)
    if random.integers is not None:
        return Integers(*random.integers)
    return Choice([written(text) for text in random.choice or ()])
