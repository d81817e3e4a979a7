"""The hours in which a node lends its computer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from distribute.core.spec.hours import LocalTime, parse_hours

MONDAY = datetime(2030, 1, 7)  # noqa: DTZ001 - times of a clock on the wall


def on(day: int, clock: str) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


def at(zone: str, clock: str) -> float:
    return datetime.fromisoformat(clock).replace(tzinfo=ZoneInfo(zone)).timestamp()


def wall(zone: str) -> LocalTime:
    return lambda moment: datetime.fromtimestamp(moment, ZoneInfo(zone))


@pytest.mark.parametrize(
    ("text", "lent", "kept"),
    [
        ("18:00-08:00", [(0, "18:00"), (0, "7:59"), (6, "23:59")], [(0, "8:00"), (3, "17:59")]),
        ("18:00-08:00, sat, sun", [(5, "12:00"), (6, "12:00"), (0, "3:00")], [(4, "12:00"), (0, "8:00")]),
        ("sun 20:00-6:00", [(6, "20:00"), (0, "5:59")], [(0, "6:00"), (1, "2:00"), (6, "3:00")]),
        ("fri-mon", [(4, "0:00"), (5, "1:00"), (6, "1:00"), (0, "23:59")], [(1, "0:00"), (3, "23:59")]),
        ("mon-fri 19:00-07:30", [(4, "20:00"), (5, "7:29"), (1, "6:00")], [(5, "7:30"), (0, "7:00")]),
        ("Saturday,SUN", [(5, "0:00"), (6, "23:59")], [(0, "0:00"), (4, "23:59")]),
        ("12:00-13:00 , 12:30-24:00", [(2, "12:00"), (2, "23:59")], [(2, "11:59"), (2, "0:00")]),
        ("8:00-8:00", [(2, "7:59"), (2, "8:00")], []),
        ("sat 0:00-24:00", [(5, "0:00"), (5, "23:59")], [(6, "0:00"), (4, "23:59")]),
    ],
)
def test_hours_include_what_they_name(
    text: str, lent: list[tuple[int, str]], kept: list[tuple[int, str]]
) -> None:
    hours = parse_hours(text)
    assert [moment for moment in lent if not hours.include(on(*moment))] == []
    assert [moment for moment in kept if hours.include(on(*moment))] == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("18-8", "'18-8' names no hours; write 18:00-08:00, sat, mon-fri or mon-fri 19:00-07:30"),
        ("", "'' names no hours"),
        ("sat,", "'' names no hours"),
        ("18:00", "'18:00' names no hours"),
        ("18:00-8", "'18:00-8' names no hours"),
        ("sat sun", "'sat sun' names no hours"),
        ("at night", "'at night' names no hours"),
        ("som", "'som' is not a day; write mon, tue, wed, thu, fri, sat or sun"),
        ("s", "'s' is not a day"),
        ("mon-fry", "'fry' is not a day"),
        ("25:00-8:00", "'25:00' is not a time of day; write 0:00 to 24:00"),
        ("8:00-24:01", "'24:01' is not a time of day"),
        ("8:60-9:00", "'8:60' is not a time of day"),
        ("24:00-8:00", "'24:00-8:00' begins at the end of a day; write 0:00 instead"),
        ("18:00-08:00; sat", "names no hours"),
        ("١٨:00-08:00", "names no hours"),
    ],
)
def test_what_names_no_hours_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_hours(text)
    assert complaint in str(caught.value)


def test_the_next_change_is_the_next_begin_or_end() -> None:
    hours, local = parse_hours("18:00-08:00, sat, sun"), wall("UTC")
    noon = at("UTC", "2030-01-11 12:00:30")  # a Friday
    evening = hours.next_change(noon, local)
    assert evening == at("UTC", "2030-01-11 18:00")
    assert hours.next_change(evening, local) == at("UTC", "2030-01-14 08:00")


def test_a_span_may_end_when_the_next_begins() -> None:
    hours, local = parse_hours("sun, mon 0:00-6:00"), wall("UTC")
    assert hours.next_change(at("UTC", "2030-01-13 12:00"), local) == at("UTC", "2030-01-14 06:00")


def test_hours_of_the_whole_week_never_change() -> None:
    assert parse_hours("mon-sun").next_change(at("UTC", "2030-01-14"), wall("UTC")) is None
    assert parse_hours("8:00-20:00, 20:00-8:00").next_change(0.0, wall("Europe/Berlin")) is None


def test_hours_follow_the_clock_when_it_is_put_forward() -> None:
    """In Berlin, 2:00 to 3:00 does not exist on 2030-03-31."""
    hours, local = parse_hours("2:30-5:00"), wall("Europe/Berlin")
    begins = hours.next_change(at("Europe/Berlin", "2030-03-31 00:10"), local)
    assert begins == at("Europe/Berlin", "2030-03-31 03:00")
    assert hours.next_change(begins, local) == begins + 2 * 3600


def test_hours_follow_the_clock_when_it_is_put_back() -> None:
    """In Berlin, 2:00 to 3:00 comes twice on 2030-10-27, so the hours from 2:30 to 3:00 do, too."""
    hours, local = parse_hours("2:30-5:00"), wall("Europe/Berlin")
    changes = [at("Europe/Berlin", "2030-10-27 00:10")]
    for _ in range(4):
        changes.append(hours.next_change(changes[-1], local) or 0.0)
    clocks = [datetime.fromtimestamp(change, UTC).strftime("%H:%M") for change in changes[1:]]
    assert clocks == ["00:30", "01:00", "01:30", "04:00"]
