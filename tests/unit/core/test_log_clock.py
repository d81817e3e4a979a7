"""A listener finds out what the log's clock shows, whatever its own clock shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.core.log.log_clock import LogClock

OFFSETS = st.floats(-1e8, 1e8)
DELAYS = st.floats(0, 1000)
START = 1.7e9


class Listener:
    """It hears events of a log whose clock is `ahead_s` ahead of its own."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s
        self.clock = LogClock()
        self._last = 0.0

    def hear(self, now: float, *, stored_at: float, written_at: float | None = None) -> float:
        """An event arrives. All times are by the listener's clock. Returns the error of the estimate."""
        time = stored_at + self.ahead_s
        self.clock.arrived(time, now, is_earlier=time < self._last, written_at=written_at)
        self._last = time
        return self.clock.ahead_s - self.ahead_s


@given(ahead_s=OFFSETS, under_way=DELAYS, back=DELAYS)
def test_an_own_event_tells_the_offset_as_well_as_its_way_was_short(
    ahead_s: float, under_way: float, back: float
) -> None:
    listener = Listener(ahead_s)
    stored_at = START + under_way
    error = listener.hear(stored_at + back, stored_at=stored_at, written_at=START)
    assert -back - 1.01 <= error <= under_way + 1.01


@given(ahead_s=OFFSETS, ages=st.lists(st.floats(0, 1e8), max_size=20))
def test_old_events_never_make_the_log_seem_further_behind_than_the_own_clock(
    ahead_s: float, ages: list[float]
) -> None:
    """A replay hears what was stored long ago."""
    listener = Listener(ahead_s)
    for age in sorted(ages, reverse=True):
        error = listener.hear(START, stored_at=START - age)
        assert listener.clock.ahead_s >= 0
        assert error <= max(0.0, -ahead_s) + 1.01


def test_a_log_whose_clock_was_years_ahead_and_is_right_again_is_believed() -> None:
    listener = Listener(1e8)
    listener.hear(START, stored_at=START - 10)
    listener.ahead_s = 0.0
    assert abs(listener.hear(START + 1, stored_at=START + 1)) <= 1


def test_jitter_changes_nothing() -> None:
    clock = LogClock()
    changes = [
        clock.arrived(START + n, START + n + 0.3 * (n % 3 - 1), is_earlier=False, written_at=START + n - 0.5)
        for n in range(100)
    ]
    assert not any(changes)


def test_the_two_clocks_are_converted() -> None:
    clock = LogClock()
    assert clock.arrived(START + 3600, START, is_earlier=False, written_at=None)
    assert clock.log_time(START) == pytest.approx(START + 3600)
    assert clock.own_time(clock.log_time(START)) == pytest.approx(START)
