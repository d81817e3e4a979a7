"""Durations, sizes and moments in options."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from distribute.core.errors import InputError
from distribute_cli.values import capabilities, duration_s, moment, size_bytes

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2030-01-31T18:00Z", NOW.replace(hour=18)),
        ("2030-02-01T00:00+01:00", NOW.replace(hour=23)),
        ("2h", NOW + timedelta(hours=2)),
        ("3d", NOW + timedelta(days=3)),
        ("90", NOW + timedelta(seconds=90)),
    ],
)
def test_a_moment_is_a_time_or_how_long_from_now(written: str, meant: datetime) -> None:
    assert moment("--until", written, NOW) == meant


def test_a_moment_without_a_zone_is_local() -> None:
    assert moment("--until", "2031-01-31T18:00", NOW) == datetime(2031, 1, 31, 18).astimezone()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            "tomorrow",
            "--until: 'tomorrow' is not a time; write a date and time, such as 2030-01-31T18:00",
        ),
        ("999999999999d", "--until: '999999999999d' is not a time"),
        ("2030-01-31T11:00Z", "--until: '2030-01-31T11:00Z' is in the past"),
        ("0", "--until: '0' is in the past"),
    ],
)
def test_a_value_that_is_not_a_future_moment_is_refused(written: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        moment("--until", written, NOW)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("text", ["0", "0s", "115741d"])
def test_a_duration_has_the_bounds_of_the_settings(text: str) -> None:
    with pytest.raises(
        InputError, match=r"--lost-after: .* is out of range; write more than 0s and no more than 115740d"
    ):
        duration_s("--lost-after", text)


@pytest.mark.parametrize("text", ["", "x" * 257, "\udcff"])
def test_a_capability_that_no_node_may_have_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--capability: "):
        capabilities(["fast", text])
    assert capabilities(["fast"]) == ("fast",)


def test_a_wrong_duration_or_size_is_refused_and_the_option_named() -> None:
    assert (duration_s("--lost-after", "1m30s"), size_bytes("--memory", "1K")) == (90.0, 1024)
    with pytest.raises(InputError, match=r"^--lost-after: 'soon' "):
        duration_s("--lost-after", "soon")
    with pytest.raises(InputError, match=r"^--memory: 'much' "):
        size_bytes("--memory", "much")
