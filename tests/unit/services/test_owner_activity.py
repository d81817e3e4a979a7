"""When the owner last used the computer, worked out from what the sources show."""

from __future__ import annotations

from collections.abc import Iterable

from distribute.host import Presence
from distribute_services.node_runner.owner.activity import Activity, Desktop, Reading

WALL = 1_900_000_000.0
"""Seconds since 1970 at the moment 0 of the monotonic clock."""


def last(readings: Iterable[tuple[float, Reading]]) -> Presence:
    """What is known after these readings, each with its moment."""
    activity, found = Activity(), Presence()
    for now, reading in readings:
        found = activity.read(reading, now=now, time=WALL + now)
    return found


def typed(**at: float) -> Reading:
    return Reading(terminals={name: int(WALL + moment) for name, moment in at.items()})


def test_nobody_is_seen_where_nothing_ever_changes() -> None:
    still = Reading(inputs={"keyboard": 7})
    assert last([(0, still), (60, still)]) == Presence(None, ("input devices",), ())


def test_what_was_typed_before_the_start_counts() -> None:
    assert last([(0, typed(tty1=-600, pts=-90))]) == Presence(90, ("terminals",), ())


def test_a_key_at_a_terminal_is_use() -> None:
    assert last([(0, typed(pts=-600)), (10, typed(pts=9)), (25, typed(pts=9))]).idle_s == 15


def test_a_report_of_a_mouse_is_use() -> None:
    before, after = Reading(inputs={"mouse": 7}), Reading(inputs={"mouse": 8})
    assert last([(0, before), (10, after), (25, after)]).idle_s == 15


def test_a_counter_that_wraps_around_or_begins_anew_is_use() -> None:
    assert last([(0, Reading(inputs={"mouse": 2**31})), (9, Reading(inputs={"mouse": 0}))]).idle_s == 0


def test_a_new_terminal_and_a_new_keyboard_are_use() -> None:
    assert last([(0, typed(tty1=-900)), (60, typed(tty1=-900, pts=60))]).idle_s == 0
    assert last([(0, Reading(inputs={"a": 1})), (60, Reading(inputs={"a": 1, "b": 1}))]).idle_s == 0


def test_a_closed_terminal_and_an_unplugged_mouse_are_no_use() -> None:
    assert last([(0, typed(tty1=-900, pts=-800)), (60, typed(tty1=-900))]).idle_s == 860
    assert last([(0, Reading(inputs={"a": 1, "b": 1})), (60, Reading(inputs={"a": 1}))]).idle_s is None


def test_a_clock_that_jumps_makes_nobody_present() -> None:
    """After the first reading, only changes count, by the monotonic clock."""
    activity = Activity()
    activity.read(typed(pts=-600), now=0, time=WALL)
    assert activity.read(typed(pts=-600), now=10, time=WALL - 7200).idle_s == 610
    assert activity.read(typed(pts=-600), now=20, time=WALL + 7200).idle_s == 620


def test_a_time_in_the_future_says_nothing() -> None:
    assert last([(0, typed(pts=3600))]).idle_s is None


def test_a_desktop_is_used_until_it_reports_that_it_is_idle() -> None:
    busy, idle = Desktop(idle=False, since=5), Desktop(idle=True, since=300)
    assert last([(600, Reading(desktops=[busy]))]) == Presence(0, ("logind",), ())
    assert last([(600, Reading(desktops=[idle]))]) == Presence(300, ("logind",), ())
    assert last([(600, Reading(desktops=[idle, busy]))]).idle_s == 0


def test_the_last_use_is_the_last_that_any_source_shows() -> None:
    idle = [Desktop(idle=True, since=100)]
    before = Reading({"tty1": int(WALL - 900)}, {"mouse": 1}, (), idle)
    after = Reading({"tty1": int(WALL - 900)}, {"mouse": 2}, (), idle)
    assert last([(200, before), (300, after), (310, after)]) == Presence(
        10, ("logind", "terminals", "input devices"), ()
    )


def test_what_was_seen_is_not_forgotten_when_a_source_stops() -> None:
    assert last([(0, typed(pts=-30)), (10, Reading())]) == Presence(40, (), ())


def test_a_desktop_that_reports_nothing_leaves_devices_without_counters_unseen() -> None:
    mute = [Desktop(idle=False, since=None)]
    assert last([(0, Reading(unseen=["Blue Mouse"], desktops=mute))]).blind_to == ("Blue Mouse",)
    assert last([(0, Reading(inputs={"a": 1}, desktops=mute))]) == Presence(None, ("input devices",), ())
    both = [*mute, Desktop(idle=True, since=0)]
    assert last([(0, Reading(unseen=["Blue Mouse"], desktops=both))]).blind_to == ("Blue Mouse",)


def test_without_logind_a_device_without_a_counter_is_unseen() -> None:
    assert last([(0, Reading(unseen=["Blue Mouse"]))]).blind_to == ("Blue Mouse",)


def test_a_text_console_needs_no_counters() -> None:
    assert last([(0, Reading({"tty1": 5}, unseen=["Keyboard"], desktops=[]))]).blind_to == ()


def test_a_desktop_that_reports_speaks_for_all_devices() -> None:
    reading = Reading(unseen=["Blue Mouse"], desktops=[Desktop(idle=True, since=0)])
    assert last([(0, reading)]).blind_to == ()


def test_the_source_is_put_in_words() -> None:
    assert Presence().source == "nothing"
    assert Presence(3, ("logind", "terminals")).source == "logind, terminals"
    assert Presence(3, ("terminals",), ("Blue Mouse",)).source == "terminals; blind to Blue Mouse"
