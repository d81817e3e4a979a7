"""The head's clock differs from the broker's, by minutes or hours: every node is judged as if they agreed.

Property by hypothesis: the same course, with the log's clock shifted, ends in the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_kit import Lab, told
from distribute.core.log.events import Event
from distribute.core.scheduling.liveness import paused_s, ran_s, run_s
from distribute.core.scheduling.matching import Obstacle
from distribute.testing import builders as make

HOURS = 3600.0
SKEWS = st.floats(-6 * HOURS, 6 * HOURS) | st.sampled_from([-3 * 365 * 24 * HOURS, 3 * 365 * 24 * HOURS])


def pause(lab: Lab, for_s: float, keeps: tuple[str, ...] = ("job1",)) -> Event:
    """The node's word that it is paused, by a clock that is the head's."""
    event = make.paused("ws1", keeps=keeps)
    length = timedelta(seconds=for_s)
    return event.model_copy(update={"until": event.time + length})


def seconds_until_available(event: Event, author_ahead_s: float, log_ahead_s: float) -> tuple[Obstacle, int]:
    """What keeps the node from jobs behind an event, and for how many seconds. The node beats all the time.

    The author's and the log's clock are so far ahead of the head's.
    """
    lab = Lab(make.joined(), make.submitted(), log_ahead_s=log_ahead_s)
    assert lab.assign() == {"job1": "ws1"}, "by its own event, the head learns what the log's clock shows"
    ahead = timedelta(seconds=author_ahead_s)
    until = getattr(event, "until") + ahead  # noqa: B009
    lab.happen(event.model_copy(update={"time": event.time + ahead, "until": until}), apart_s=0.0)
    node = lab.state.nodes["ws1"]
    obstacle = lab.agenda.obstacle_of(node)
    assert obstacle is not None
    for second in range(1, 2000):
        lab.wait(1)
        if lab.agenda.obstacle_of(node) is not obstacle:
            return obstacle, second
    raise AssertionError(f"the node {obstacle.value} for ever")


def seconds_until_given_away(skew_s: float, ran_for_s: int, paused_for_s: int = 0) -> tuple[int, int]:
    """How long a node is silent until it is lost, and until its job is another's."""
    lab = Lab(log_ahead_s=skew_s)
    lab.happen(make.joined(), make.submitted())
    for job in lab.assign():
        lab.run(job)
    if paused_for_s:
        lab.happen(pause(lab, 10 * HOURS), apart_s=0.0)
        lab.pass_quickly(paused_for_s)
        lab.happen(make.resumed(), apart_s=0.0)
    lab.pass_quickly(ran_for_s)
    lab.happen(make.joined("ws2"), apart_s=0.0)
    lab.quiet.add("ws1")
    lost_after = 0
    for second in range(1, 2000):
        lab.wait(1)
        made = lab.decide()
        lab.happen(*made, apart_s=0.0)
        if ("lost", "ws1") in told(made):
            lost_after = second
        if ("assigned", "job1", "ws2") in told(made):
            return lost_after, second
    raise AssertionError("the job waits for its node for ever")


@settings(max_examples=10)
@given(skew_s=SKEWS)
def test_a_head_whose_clock_is_wrong_is_as_patient_as_one_whose_clock_is_right(skew_s: float) -> None:
    lost_after, given_away_after = seconds_until_given_away(skew_s, ran_for_s=7200)
    assert lost_after == 60
    assert given_away_after == pytest.approx(720, abs=2)


@settings(max_examples=10)
@given(skew_s=SKEWS, paused_for_s=st.integers(1, 5000))
def test_time_paused_is_no_time_run(skew_s: float, paused_for_s: int) -> None:
    _, given_away_after = seconds_until_given_away(skew_s, ran_for_s=1200, paused_for_s=paused_for_s)
    assert given_away_after == pytest.approx(120, abs=2)


pauses = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500), st.booleans()), max_size=8)


@settings(max_examples=30)
@given(pauses=pauses)
def test_an_attempt_ran_for_as_long_as_no_pause_held_it(pauses: list[tuple[int, int, bool]]) -> None:
    """Each pause: so long after the one before, for so long, and whether it ends by a word or by itself."""
    lab = Lab(make.joined(), make.submitted())
    for job in lab.assign():
        lab.run(job)
    started_at, paused = lab.now, 0.0
    for ran, length, by_word in pauses:
        lab.pass_quickly(ran)
        lab.happen(pause(lab, 10 * HOURS if by_word else length), apart_s=0.0)
        lab.pass_quickly(length)
        if by_word:
            lab.happen(make.resumed(), apart_s=0.0)
        paused += length
    lab.pass_quickly(10)
    (attempt,), node = lab.batch().active.values(), lab.state.nodes["ws1"]
    assert run_s(node, attempt, lab.now) == pytest.approx(lab.now - started_at - paused)
    assert paused_s(node.pauses, started_at, lab.now) == pytest.approx(paused)
    assert ran_s(node, attempt) == 0.0, "it is not lost"


AUTHORS = st.floats(-6 * HOURS, 6 * HOURS)
ENDS = (
    (Obstacle.PAUSED, make.paused),
    (Obstacle.DRAINING, make.drain_requested),
    (Obstacle.QUARANTINED, make.quarantined),
)


@pytest.mark.parametrize(("obstacle", "begin"), ENDS, ids=[obstacle.name for obstacle, _ in ENDS])
@settings(max_examples=10)
@given(author_ahead_s=AUTHORS, log_ahead_s=SKEWS, length_s=st.integers(5, 500))
def test_what_ends_by_itself_lasts_as_long_as_its_author_said(
    obstacle: Obstacle,
    begin: Callable[..., Event],
    author_ahead_s: float,
    log_ahead_s: float,
    length_s: int,
) -> None:
    event = begin(until=make.EPOCH + timedelta(seconds=length_s))
    found, after_s = seconds_until_available(event, author_ahead_s, log_ahead_s)
    assert found is obstacle
    assert after_s == pytest.approx(length_s, abs=2)


@settings(max_examples=10)
@given(author_ahead_s=AUTHORS, log_ahead_s=SKEWS, length_s=st.integers(30, 500))
def test_a_silent_node_is_lost_a_minute_after_its_pause(
    author_ahead_s: float, log_ahead_s: float, length_s: int
) -> None:
    lab = Lab(make.joined(), make.submitted(), log_ahead_s=log_ahead_s)
    lab.assign()
    lab.run("job1")
    word, ahead = pause(lab, length_s), timedelta(seconds=author_ahead_s)
    lab.quiet.add("ws1")
    late = {"time": word.time + ahead, "until": getattr(word, "until") + ahead}  # noqa: B009
    lab.happen(word.model_copy(update=late), apart_s=0.0)
    for second in range(1, 2000):
        lab.wait(1)
        if ("lost", "ws1") in told(lab.decide()):
            assert second == pytest.approx(length_s + 60, abs=2)
            return
    raise AssertionError("the node is never lost")


def test_pauses_before_an_attempt_are_forgotten_with_the_next_one() -> None:
    lab = Lab(make.joined())
    for _ in range(3):
        lab.happen(pause(lab, 100, keeps=()), make.resumed())
    assert len(lab.state.nodes["ws1"].pauses) == 1
