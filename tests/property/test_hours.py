"""Hours: the next change is exact in every time zone, and includes are those of the terms."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from distribute.core.spec.hours import parse_hours

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")

clocks = st.integers(0, 24 * 60 - 1)
days = st.tuples(st.integers(0, 6), st.integers(0, 6))
terms = st.lists(st.tuples(st.none() | days, st.none() | st.tuples(clocks, clocks)), min_size=1, max_size=4)
moments = st.integers(1_700_000_000, 2_000_000_000)

Term = tuple[tuple[int, int] | None, tuple[int, int] | None]


def written(term: Term) -> str:
    of_days, span = term
    parts = []
    if of_days is not None:
        parts.append("-".join(DAYS[day] for day in of_days))
    if span is not None:
        parts.append("-".join(f"{minute // 60}:{minute % 60:02}" for minute in span))
    return " ".join(parts) or "mon-sun"


def named(term: Term, weekday: int, minute: int) -> bool:
    """Does a term name a minute of a day? By the words of the documentation."""
    of_days, span = term
    begin, end = span or (0, 24 * 60)

    def is_named(day: int) -> bool:
        return of_days is None or (day - of_days[0]) % 7 <= (of_days[1] - of_days[0]) % 7

    if begin < end:
        return is_named(weekday) and begin <= minute < end
    return (is_named(weekday) and minute >= begin) or (is_named((weekday - 1) % 7) and minute < end)


@given(terms, moments, st.sampled_from(ZONES))
def test_hours_include_what_a_term_names(of: list[Term], moment: int, zone: str) -> None:
    local = datetime.fromtimestamp(moment, ZoneInfo(zone))
    hours = parse_hours(", ".join(map(written, of)))
    minute = local.hour * 60 + local.minute
    assert hours.include(local) == any(named(term, local.weekday(), minute) for term in of)


@settings(max_examples=30)
@given(terms, moments, st.sampled_from(ZONES))
def test_nothing_changes_before_the_next_change(of: list[Term], moment: int, zone: str) -> None:
    """By brute force, minute by minute: also over the nights in which the clocks are moved."""
    hours = parse_hours(", ".join(map(written, of)))
    tz = ZoneInfo(zone)

    def local(at: float) -> datetime:
        return datetime.fromtimestamp(at, tz)

    change = hours.next_change(moment, local)
    before = hours.include(local(moment))
    if change is None:
        assert all(hours.include(local(moment + 60 * step)) for step in range(0, 16 * 24 * 60, 7))
        return
    assert change > moment
    assert hours.include(local(change)) != before
    first = moment - moment % 60 + 60
    unlike = [at for at in range(first, int(change), 60) if hours.include(local(at)) != before]
    assert unlike == []
