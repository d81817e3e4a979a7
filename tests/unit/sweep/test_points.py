"""The points of a sweep: their order, their number, and what is refused."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.sweeps import (
    MAX_POINTS,
    Axis,
    Choice,
    Integers,
    LogUniform,
    Sample,
    Scalar,
    Spaced,
    Steps,
    Sweep,
    SweepError,
    Uniform,
    default_name,
    written,
)

NAMES = st.sampled_from(["re", "n", "dt", "scheme"])
VALUES = st.integers(-5, 5) | st.floats(-10, 10) | st.sampled_from(["a", "b", "upwind"]) | st.booleans()
GRIDS = st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=3)


def points(sweep: Sweep) -> list[dict[str, Scalar]]:
    return list(sweep.points())


def refused(**parts: object) -> str:
    with pytest.raises(SweepError) as caught:
        Sweep(**parts)  # type: ignore[arg-type]
    return str(caught.value)


@given(GRIDS)
def test_a_grid_has_every_combination_in_the_order_of_nested_loops(grid: dict[str, list[Scalar]]) -> None:
    expected = [dict(zip(grid, row, strict=True)) for row in itertools.product(*grid.values())]
    sweep = Sweep(grid=grid)
    assert points(sweep) == expected
    assert points(sweep) == expected, "they can be asked for again"
    assert len(sweep) == len(expected)


@given(GRIDS, st.integers(1, 5), st.integers(0, 3), st.data())
def test_the_length_is_the_number_of_points(
    grid: dict[str, list[Scalar]], zipped: int, sampled: int, data: st.DataObject
) -> None:
    exclude = data.draw(st.lists(point_of(grid), max_size=3))
    include = [dict.fromkeys([*grid, "z", *(["x"] if sampled else [])], -7) for _ in range(zipped)]
    sample = Sample(sampled, {"x": Uniform(0, 1)}) if sampled else None
    zips = {"z": list(range(zipped))}
    try:
        sweep = Sweep(grid=grid, zip=zips, sample=sample, include=include, exclude=exclude)
    except SweepError as error:
        assert error.loc[0] == "exclude"  # noqa: PT017 - all are excluded, or nothing
        return
    made = points(sweep)
    assert len(made) == len(sweep)
    kept = made[: -len(include)]
    assert not any(all(point[name] == rule[name] for name in rule) for point in kept for rule in exclude)
    every = points(Sweep(grid=grid, zip=zips, sample=sample))
    assert kept == [
        point
        for point in every
        if not any(all(point[name] == rule[name] for name in rule) for rule in exclude)
    ]


def point_of(grid: dict[str, list[Scalar]]) -> st.SearchStrategy[dict[str, Scalar]]:
    """Some values of a grid, as `exclude` has them."""
    return st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in grid.items()}
    ).filter(bool)


def test_the_axes_come_in_their_order_and_the_last_changes_fastest() -> None:
    sweep = Sweep(
        axes=[Axis({"case": ["a", "b"]})],
        grid={"re": [1, 2]},
        zip={"x": [1, 2], "y": [3, 4]},
        sample=Sample(1, {"k": Choice(["only"])}),
        include=[{"case": "c", "re": 0, "x": 0, "y": 0, "k": "last"}],
    )
    assert sweep.names == ("case", "re", "x", "y", "k")
    rows = [tuple(point.values()) for point in sweep.points()]
    assert rows[:3] == [("a", 1, 1, 3, "only"), ("a", 1, 2, 4, "only"), ("a", 2, 1, 3, "only")]
    assert rows[-1] == ("c", 0, 0, 0, "last")
    assert len(rows) == len(sweep) == 9


def test_include_alone_is_a_list_of_points() -> None:
    listed: list[dict[str, Scalar]] = [{"re": 100, "n": 48}, {"n": 64, "re": 400}]
    assert points(Sweep(include=listed)) == [{"re": 100, "n": 48}, {"re": 400, "n": 64}]


def test_points_are_made_one_at_a_time() -> None:
    sweep = Sweep(grid={"a": Steps("1", str(MAX_POINTS))})
    assert len(sweep) == MAX_POINTS
    assert next(sweep.points()) == {"a": 1}


def test_too_many_points_are_refused_before_one_is_made() -> None:
    thousand = Steps("1", "1000")
    text = refused(grid={"a": thousand, "b": thousand, "c": thousand})
    assert "1,000,000,000 points (a 1,000 x b 1,000 x c 1,000)" in text
    assert "100,000 jobs" in text
    assert "1,000,000,000 points" in refused(sample=Sample(10**9, {"x": Uniform(0, 1)}))
    assert "points" in refused(grid={"a": Steps("0", "1e9")}, exclude=[{"a": 1}])
    assert "100,001 points" in refused(grid={"a": Steps("0", "100000")})


def test_exclude_may_bring_a_sweep_below_the_most() -> None:
    sweep = Sweep(
        grid={"a": Steps("1", "200"), "b": Steps("1", "1000")}, exclude=[{"a": n} for n in range(1, 151)]
    )
    assert len(sweep) == 50_000
    assert next(sweep.points()) == {"a": 151, "b": 1}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "has no parameters"),
        ({"grid": {"re": []}}, "re has no values"),
        ({"grid": {"re": "100"}}, "re takes a list"),
        ({"zip": {"a": [1, 2], "b": [1, 2, 3]}}, "a has 2, b has 3"),
        ({"zip": {"a": [], "b": []}}, "empty"),
        ({"grid": {"a": [1]}, "zip": {"a": [1]}}, "two parameters are called a"),
        ({"grid": {"re max": [1]}}, "can't name a parameter"),
        ({"grid": {"a": [[1, 2]]}}, "not a list"),
        ({"grid": {"a": [None]}}, "not nothing"),
        ({"grid": {"a": [float("nan")]}}, "nan is no number"),
        ({"grid": {"a": [2**64]}}, "too large"),
        ({"grid": {"a": ["x\0"]}}, "NUL"),
        ({"grid": {"a": ["\udc80"]}}, "Unicode"),
        ({"grid": {"a": ["x" * 200_000]}}, "200,000 characters"),
        ({"grid": {"a": [1]}, "exclude": [{"b": 1}]}, "no parameter 'b'"),
        ({"grid": {"a": [1]}, "exclude": [{"a": 2}]}, "excludes nothing"),
        ({"grid": {"a": [1]}, "exclude": [{}]}, "would exclude all"),
        ({"grid": {"a": [1]}, "exclude": [{"a": 1}]}, "has no points"),
        ({"include": [{"a": 1}, {"a": 2}], "exclude": [{"a": 1}]}, "excludes nothing"),
        ({"grid": {"a": [1], "b": [1]}, "include": [{"a": 1}]}, "lacks b"),
        ({"grid": {"a": [1]}, "include": [{"a": 1, "b": 1}]}, "has b"),
    ],
)
def test_what_is_wrong_is_said(parts: dict[str, object], words: str) -> None:
    assert words in refused(**parts)


def test_numbers_of_other_libraries_become_numbers_of_python() -> None:
    numpy_like = type("float32", (float,), {})
    (point,) = Sweep(grid={"x": [numpy_like(0.5)]}).points()
    assert type(point["x"]) is float
    (point,) = Sweep(zip={"x": [numpy_like(0.5)], "y": [numpy_like(2)]}).points()
    assert [type(value) for value in point.values()] == [float, float]


def test_samples_of_numbers_of_other_libraries_are_numbered_too() -> None:
    numpy_like = type("float32", (float,), {})
    drawn = Choice([numpy_like(0.5), numpy_like(2)])
    assert default_name(Sweep(sample=Sample(2, {"x": drawn, "y": drawn}))) == "{number:01d}"


@given(st.integers(0, 2**70), st.integers(1, 50))
def test_equal_seeds_make_equal_samples_within_their_ranges(seed: int, count: int) -> None:
    distributions = {
        "x": Uniform(-1, 2),
        "nu": LogUniform(1e-6, 1e-3),
        "n": Integers(16, 64),
        "scheme": Choice(["upwind", "central"]),
    }
    made = points(Sweep(sample=Sample(count, distributions, seed)))
    assert made == points(Sweep(sample=Sample(count, distributions, seed)))
    for point in made:
        assert -1 <= float(point["x"]) <= 2
        assert 1e-6 <= float(point["nu"]) <= 1e-3
        assert type(point["n"]) is int
        assert 16 <= point["n"] <= 64
        assert point["scheme"] in {"upwind", "central"}
    alone = points(Sweep(sample=Sample(count, {"n": distributions["n"]}, seed)))
    assert [point["n"] for point in alone] == [point["n"] for point in made]


def test_a_seed_always_gives_the_same_values() -> None:
    made = points(Sweep(sample=Sample(3, {"n": Integers(1, 1000), "x": Uniform(0, 1)}, seed=1)))
    assert made == SEED_1


SEED_1: list[dict[str, Scalar]] = [
    {"n": 849, "x": 0.16512192536088854},
    {"n": 787, "x": 0.43033161472616843},
    {"n": 266, "x": 0.10494549461642011},
]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Uniform(2, 1), "write the smaller number first"),
        (lambda: Uniform(0, float("inf")), "no range"),
        (lambda: LogUniform(0, 1), "more than 0"),
        (lambda: Integers(0, 2**60), "too wide"),
        (lambda: Choice([]), "choice is empty"),
        (lambda: Sample(0, {"x": Uniform(0, 1)}), "1 or more"),
        (lambda: Sample(1, {}), "no parameters"),
        (lambda: Steps("0", "1", "0"), "leads nowhere"),
        (lambda: Steps("0", "1", "-1"), "change the sign"),
        (lambda: Steps("0", "x"), "no number"),
        (lambda: Steps("0", "1e999999999"), "out of range"),
        (lambda: Steps("0", "1", "1e-20"), "far too many"),
        (lambda: Spaced("0", "1", 0), "1 or more"),
        (lambda: Spaced("0", "1", 3, by_ratio=True), "more than 0"),
    ],
)
def test_a_range_that_is_none_is_refused(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(SweepError) as caught:
        make()
    assert words in str(caught.value)


@given(st.decimals(-100, 100, places=3), st.decimals("0.001", 10, places=3), st.integers(0, 200))
def test_steps_have_no_rounding_and_end_at_their_end(first: object, step: object, count: int) -> None:
    assert isinstance(first, Decimal)
    assert isinstance(step, Decimal)
    last = first + count * step
    steps = Steps(str(first), str(last), str(step))
    assert len(steps) == count + 1
    assert [Decimal(str(value)) for value in steps] == [first + index * step for index in range(count + 1)]


def test_ranges_look_as_people_write_numbers() -> None:
    assert [str(value) for value in Steps("0", "0.3", "0.1")] == ["0.0", "0.1", "0.2", "0.3"]
    assert [str(value) for value in Steps("10", "1", "-4")] == ["10", "6", "2"]
    assert [str(value) for value in Spaced("0", "1", 5)] == ["0", "0.25", "0.5", "0.75", "1"]
    assert [str(value) for value in Spaced("1e-4", "1e-1", 4, by_ratio=True)] == [
        "1e-4",
        "0.001",
        "0.01",
        "1e-1",
    ]
    assert [str(value) for value in Spaced("3", "4", 1)] == ["3"]
    assert len(Steps("1", "1000000000")) == 10**9


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100", 100), ("-3", -3), ("+3", 3), ("0.10", 0.1), ("1e-5", 1e-5), (".5", 0.5), ("2.", 2.0),
        ("true", True), ("False", False), ("007", "007"), ("1_000", "1_000"), ("0x10", "0x10"),
        ("nan", "nan"),
        ("1e999", "1e999"), ("99999999999999999999", 1e20), ("yes", "yes"), ("", ""), ("٣", "٣"),
    ],
)  # fmt: skip
def test_a_written_number_counts_as_a_number_and_looks_as_written(text: str, value: Scalar) -> None:
    assert written(text) == value
    assert str(written(text)) == text
