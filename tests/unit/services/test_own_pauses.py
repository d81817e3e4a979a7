"""When a node pauses by itself, and how that goes with the pauses of people."""

from __future__ import annotations

import pytest

from distribute.core.spec.hours import parse_hours
from distribute_services.node_runner.owner.own_pauses import ALWAYS, SETTLED_S, Cause, Terms
from unit.services.own_pauses_kit import Desk

QUARTER_S = 15 * 60.0
IN_USE = Terms(pause_when_active_s=QUARTER_S)
AT_NIGHT = Terms(lend=parse_hours("18:00-08:00"))


def overruled(for_s: float) -> Desk:
    """A desk in use, of which a person has resumed the pause, and has worked there since for so long."""
    at = desk()
    at.wait(600, used=True)
    at.resume()
    at.wait(for_s, used=True)
    return at


def desk(terms: Terms = IN_USE) -> Desk:
    """A desk at noon, after the node has settled."""
    found = Desk(terms)
    found.wait(120)
    return found


# --- use -------------------------------------------------------------------------------------------------


def test_a_node_without_terms_never_pauses() -> None:
    at = desk(ALWAYS)
    at.wait(3600, used=True, every=60)
    assert at.steps == []


def test_use_pauses_at_once_and_idleness_for_the_set_time_resumes() -> None:
    at = desk()
    assert at.pause is None
    at.use()
    at.look()
    assert (at.reason, at.left_s) == (Cause.USE.value, QUARTER_S)
    at.wait(QUARTER_S - 1)
    assert at.pause is not None
    at.wait(2)
    assert at.pause is None
    assert len(at.steps) == 1


def test_a_pause_goes_on_while_somebody_works_and_ends_the_set_time_after_that() -> None:
    at = desk()
    at.wait(8 * 3600, used=True)
    assert at.pause is not None
    assert len(at.steps) <= 8 * 3600 / (QUARTER_S - 300) + 1  # each is an event
    at.wait(QUARTER_S + 1)
    assert at.pause is None


def test_use_now_and_then_keeps_the_node_paused() -> None:
    at = desk()
    for _ in range(20):
        at.use()
        at.wait(QUARTER_S - 10)
        assert at.pause is not None


def test_a_short_time_of_idleness_works_as_well() -> None:
    at = desk(Terms(pause_when_active_s=3))
    at.wait(30, used=True)
    assert at.pause is not None
    at.wait(4)
    assert at.pause is None


def test_a_node_that_nobody_was_ever_seen_at_lends() -> None:
    at = desk()
    at.wait(3600, every=60)
    assert at.steps == []


def test_what_nothing_shows_is_taken_for_use() -> None:
    at = desk()
    at.blind_to = ("Keyboard K380",)
    at.wait(3600, every=10)
    assert at.reason == "nothing shows whether Keyboard K380 is in use"
    at.blind_to = ()
    at.wait(QUARTER_S)
    assert at.pause is None


# --- hours -----------------------------------------------------------------------------------------------


def test_closed_hours_pause_until_the_node_is_lent_again() -> None:
    at = Desk(AT_NIGHT, cap_s=24 * 3600)
    at.look()
    assert (at.reason, at.left_s) == (Cause.HOURS.value, 6 * 3600)
    at.wait(6 * 3600, every=60)
    assert at.pause is None
    at.wait(14 * 3600 - 60, every=60)
    assert at.pause is None
    at.wait(60, every=60)
    assert (at.reason, at.left_s) == (Cause.HOURS.value, 10 * 3600)
    assert len(at.steps) == 2


def test_closed_hours_that_are_longer_than_a_pause_may_be_are_renewed() -> None:
    at = Desk(AT_NIGHT, cap_s=3600)
    for _ in range(6 * 12 - 1):
        at.wait(300)
        assert at.pause is not None
    at.wait(301)
    assert at.pause is None
    assert len(at.steps) <= 7


def test_of_several_causes_the_one_that_lasts_longest_counts() -> None:
    at = Desk(Terms(QUARTER_S, parse_hours("12:05-12:00")))
    at.use()
    at.look()
    assert at.reason == Cause.USE.value
    at.now += 24 * 3600 - QUARTER_S  # until a quarter to noon
    at.resume()
    at.wait(QUARTER_S + 60)
    assert at.reason == Cause.HOURS.value
    at.use()
    at.wait(60)
    assert at.reason == Cause.USE.value, "the node is in use for longer than the hours are closed"


# --- load ------------------------------------------------------------------------------------------------


def test_the_work_of_others_pauses_until_it_has_been_little_for_five_minutes() -> None:
    at = desk(Terms(load_limit=1.5))
    at.others = 1.4
    at.wait(600)
    assert at.pause is None
    at.others = 1.6
    at.wait(600)
    assert at.reason == Cause.LOAD.value
    at.others = 0.2
    at.wait(299)
    assert at.pause is not None
    at.wait(2)
    assert at.pause is None
    assert len(at.steps) <= 6


# --- people ----------------------------------------------------------------------------------------------


def test_a_persons_pause_stays_as_it_is() -> None:
    at = desk()
    at.begin(1200, "jane")
    at.wait(1190, used=True)
    assert at.pause is not None
    assert at.pause.by == "jane"
    assert at.steps == []


def test_the_nodes_own_pause_follows_a_persons_without_a_gap() -> None:
    at = desk()
    at.begin(60, "jane")
    for _ in range(300):
        at.wait(1, used=True)
        assert at.pause is not None
    assert at.reason == Cause.USE.value


def test_after_a_persons_pause_an_idle_node_lends() -> None:
    at = desk()
    at.use()
    at.begin(3600, "jane")
    at.wait(3601)
    assert at.pause is None
    assert at.steps == []


def test_when_a_person_resumes_the_cause_does_not_count_until_it_is_over() -> None:
    at = overruled(2 * 3600)
    assert at.pause is None
    at.wait(QUARTER_S + 1)
    at.wait(1, used=True)
    assert at.reason == Cause.USE.value


def test_what_a_person_has_overruled_survives_a_restart_of_the_runner() -> None:
    at = overruled(60)
    at.restart()
    at.wait(600, used=True)
    assert at.pause is None
    at.wait(QUARTER_S + SETTLED_S)
    at.wait(1, used=True)
    assert at.reason == Cause.USE.value


def test_a_cause_that_the_next_runner_does_not_see_at_once_stays_overruled() -> None:
    at = overruled(60)
    at.restart()
    used_at, at.used_at = at.used_at, None
    at.wait(5)
    at.used_at = used_at
    at.wait(300, used=True)
    assert at.pause is None


def test_a_person_who_ends_a_pause_of_a_person_overrules_the_causes_as_well() -> None:
    at = desk()
    at.begin(3600, "jane")
    at.wait(60, used=True)
    at.resume()
    at.wait(60, used=True)
    assert at.pause is None


def test_only_the_causes_of_that_moment_are_overruled() -> None:
    at = Desk(Terms(QUARTER_S, AT_NIGHT.lend), cap_s=24 * 3600)
    at.wait(120)
    assert at.reason == Cause.HOURS.value
    at.resume()
    at.wait(60)
    assert at.pause is None
    at.use()
    at.wait(1)
    assert at.reason == Cause.USE.value
    at.wait(20 * 3600, every=60)
    assert at.reason == Cause.HOURS.value, "the next morning, the hours count again"


def test_a_person_who_shortens_a_pause_does_not_overrule() -> None:
    at = desk()
    at.wait(60, used=True)
    at.begin(30, "jane")
    at.wait(60, used=True)
    assert at.reason == Cause.USE.value


# --- clocks, and starts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [-7200.0, 7200.0])
def test_a_clock_that_jumps_is_no_person_who_resumes(jump_s: float) -> None:
    at = desk()
    at.wait(60, used=True)
    at.offset += jump_s
    at.wait(3600, used=True)
    assert at.pause is not None


def test_a_clock_that_is_set_back_right_after_a_pause_began_is_no_person_who_resumes() -> None:
    at = Desk(AT_NIGHT)
    at.wait(1)
    assert at.left_s == at.cap_s
    at.offset -= 3600
    at.wait(at.cap_s + 60)
    assert at.reason == Cause.HOURS.value, "the pause that ended by itself is followed by another"


def test_a_sleep_of_the_computer_is_no_person_who_resumes() -> None:
    """The monotonic clock stands still meanwhile, and the pause is over by the clock on the wall."""
    at = desk()
    at.wait(60, used=True)
    at.offset += 8 * 3600
    at.pause = None
    at.wait(2, used=True)
    assert at.reason == Cause.USE.value


def test_a_pause_of_the_runner_before_lasts_until_this_one_knows_who_is_there() -> None:
    at = Desk(IN_USE)
    at.begin(600, None, Cause.USE.value)
    at.wait(30)
    assert at.pause is not None
    at.use()
    at.wait(60)
    assert at.reason == Cause.USE.value
    assert at.steps == []


def test_a_pause_for_which_there_is_no_cause_any_more_is_ended() -> None:
    """The owner changed the hours, and started the node again."""
    at = Desk(IN_USE)
    at.begin(4 * 3600, None, Cause.HOURS.value)
    at.wait(62)
    assert at.pause is None
    at.wait(3600, every=10)
    assert len(at.steps) == 1


def test_a_persons_pause_is_never_ended() -> None:
    at = Desk(IN_USE)
    at.begin(3600, "jane")
    at.wait(3599)
    assert at.pause is not None
    assert at.steps == []


def test_a_pause_that_is_much_too_long_is_shortened() -> None:
    at = Desk(IN_USE)
    at.begin(4 * 3600, None, Cause.HOURS.value)
    at.wait(120, used=True)
    assert at.reason == Cause.USE.value
    assert at.left_s <= QUARTER_S


def test_a_pause_that_is_renewed_after_the_clock_was_set_back_is_renewed_once() -> None:
    """Its end is the same by the clock on the wall, so it looks like the one before."""
    at = desk(Terms(lend=parse_hours("12:10-12:00")))
    assert at.pause is not None
    at.offset -= 10
    before = len(at.steps)
    at.wait(at.left_s + 5)
    assert len(at.steps) == before + 1
    assert at.pause is not None, "it is closed for five seconds more"


def test_a_pause_that_ends_in_time_was_not_ended_by_a_person_whatever_the_clock_says() -> None:
    """The runner was stopped, so it did not renew the pause; and the clock was set back."""
    at = desk()
    at.use()
    at.wait(1)
    at.wait(1)
    at.offset -= 7200
    at.now += QUARTER_S
    at.pause = None
    at.use()
    at.look()
    assert at.reason == Cause.USE.value


def test_use_right_after_the_node_has_resumed_by_itself_pauses_it() -> None:
    at = Desk(IN_USE)
    at.begin(4 * 3600, None, Cause.HOURS.value)
    while at.pause is not None:
        at.wait(1)
    at.wait(1, used=True)
    assert at.reason == Cause.USE.value
