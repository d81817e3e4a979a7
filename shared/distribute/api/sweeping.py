"""`distribute.sweep`: the points of a sweep, said in Python as in a jobs file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from distribute.core.errors import InvalidArgument
from distribute.core.words import few, quoted
from distribute.sweeps import (
    Choice,
    Distribution,
    Integers,
    LogUniform,
    Sample,
    Scalar,
    Sweep,
    SweepError,
    Uniform,
)

_FORMS = "{'uniform': (0, 1)}, {'log': (1e-5, 1e-2)}, {'integers': (1, 6)} or {'choice': ['a', 'b']}"
_KEYS = ("count", "seed", "values")


def sweep(
    *,
    grid: Mapping[str, Iterable[Scalar]] | None = None,
    zip: Mapping[str, Iterable[Scalar]] | None = None,  # noqa: A002 - as in the file
    sample: Sample | Mapping[str, object] | None = None,
    include: Iterable[Mapping[str, Scalar]] = (),
    exclude: Iterable[Mapping[str, Scalar]] = (),
) -> Sweep:
    """Points of parameters, one for each job: `sweep(grid={"re": [100, 400], "n": [48, 64]})`.

    Args:
        grid: each value of each parameter.
        zip: the first values of all parameters together, then the second ones, and so on.
        sample: random points: `{"count": 100, "seed": 1, "values": {"x": {"uniform": (0, 1)}}}`.
        include: points to add.
        exclude: points to take away: all that have these values.

    Raises:
        InvalidArgument: something is wrong, or these are too many points. It says how many.
    """
    try:
        return Sweep(
            grid=_columns("grid", grid),
            zip=_columns("zip", zip),
            sample=_sample(sample),
            include=list(include),
            exclude=list(exclude),
        )
    except SweepError as error:
        raise InvalidArgument(sweep_problem("sweep()", error)) from error


def sweep_problem(called: str, error: SweepError) -> str:
    """The words of a `SweepError`, with the function and the place that they are about."""
    place = "".join(f"[{part!r}]" if index else str(part) for index, part in enumerate(error.loc))
    return ": ".join(filter(None, [called, place, str(error)]))


def _columns(
    called: str, columns: Mapping[str, Iterable[Scalar]] | None
) -> dict[str, Sequence[Scalar]] | None:
    """Arrays, ranges and generators as lists."""
    if columns is None:
        return None
    if not isinstance(columns, Mapping):
        raise SweepError(f"{called} takes a dict of lists, such as {{'re': [100, 400]}}", called)
    found: dict[str, Sequence[Scalar]] = {}
    for name, values in columns.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise SweepError(f"it takes a list of values, not {values!r}", called, name)
        found[name] = values if isinstance(values, range) else list(values)
    return found


def _sample(sample: Sample | Mapping[str, object] | None) -> Sample | None:
    if sample is None or isinstance(sample, Sample):
        return sample
    if not isinstance(sample, Mapping):
        raise SweepError("it takes a dict: {'count': 100, 'values': {'x': {'uniform': (0, 1)}}}", "sample")
    if unknown := [str(key) for key in sample if key not in _KEYS]:
        raise SweepError(f"it has no key {quoted(unknown[0])}; it may have {few(_KEYS)}", "sample")
    count, seed, values = sample.get("count"), sample.get("seed", 0), sample.get("values")
    if not isinstance(count, int) or not isinstance(seed, int):
        raise SweepError("count and seed take whole numbers", "sample")
    if not isinstance(values, Mapping):
        raise SweepError(f"values takes a dict of parameters, each one of {_FORMS}", "sample")
    return Sample(count, {name: _distribution(name, form) for name, form in values.items()}, seed)


def _distribution(name: str, form: object) -> Distribution:
    if isinstance(form, Uniform | LogUniform | Integers | Choice):
        return form
    wrong = SweepError(f"a parameter is one of {_FORMS}, not {form!r}", "sample", "values", name)
    if not isinstance(form, Mapping) or len(form) != 1:
        raise wrong
    ((key, given),) = form.items()
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise wrong
    match key, list(given):
        case "uniform", [int() | float() as low, int() | float() as high]:
            return Uniform(low, high)
        case "log", [int() | float() as low, int() | float() as high]:
            return LogUniform(low, high)
        case "integers", [int() as low, int() as high]:
            return Integers(low, high)
        case "choice", values:
            return Choice(values)
    raise wrong
