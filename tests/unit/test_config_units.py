"""Reading and writing durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.config.sections.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("45m", 2700),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m10s", 5410),
        ("1h 30m 10s", 5410),
        ("1d10s", 86410),
        ("1.5h", 5400),
        ("0.25s", 0.25),
        ("90", 90),
        ("0", 0),
        (" 2h ", 7200),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "2 hours", "2h2h", "30m1h", "-5s", "1e3", "inf", "nan", "01:30:00", "٣s"]
)
def test_a_malformed_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == (
        f"{text!r} is not a duration; write 90s, 45m, 2h or 1h30m10s; a plain number means seconds"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0123, "0.012s"),
        (0.5, "0.5s"),
        (3.14159, "3.14s"),
        (59.94, "59.9s"),
        (59.96, "1m"),
        (60, "1m"),
        (5410, "1h30m10s"),
        (86400 * 2 + 1, "2d1s"),
        (-90, "-1m30s"),
    ],
)
def test_a_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**9))
def test_whole_seconds_survive_writing_and_reading(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("10K", 10 * 1024),
        ("512M", 512 * 1024**2),
        ("8G", 8 * 1024**3),
        ("8GB", 8 * 1024**3),
        ("8GiB", 8 * 1024**3),
        ("8g", 8 * 1024**3),
        ("1.5T", 3 * 1024**4 // 2),
        ("8 G", 8 * 1024**3),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "8X", "lots", "1e3", "8 G B"])
def test_a_malformed_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_size(text)
    assert str(caught.value) == f"{text!r} is not a size; write 8G, 512M or 10K; a plain number means bytes"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1K"), (1536, "1.5K"), (1023 * 1024, "0.999M"), (8 * 1024**3, "8G")],
)
def test_a_size_is_written_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 2**59))
def test_a_size_survives_writing_and_reading_within_three_digits(size: int) -> None:
    shown = format_size(size)
    assert len(shown) <= 6
    assert parse_size(shown) == pytest.approx(size, rel=0.006, abs=1)
