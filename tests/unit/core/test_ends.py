"""Which events ended a batch for which another waits: those that it accepted, however few are read."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from distribute.core.folding.fold import apply
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.projections.course import Course
from distribute.core.projections.ends import END_TYPES, Ends, ends_told
from distribute.core.state.state import State
from distribute.testing import builders as make

SPEC = make.batch(1)
FIRST = make.submitted(SPEC)
WORDS: tuple[Event, ...] = (
    make.assigned(), make.claimed(), make.finished(outputs=None), make.completed(),
    make.finished(succeeded=False, outputs=None), make.completed(state="failed"),
    make.completed(state="failed", reason="forged"), make.retry_requested(), make.deleted(),
    make.completed(submission="of-another-batch"), make.submitted(SPEC), make.held(), make.hold_released(),
    make.submitted(SPEC, replaces=FIRST.id),
    make.submitted(make.batch(3, last_job="job3"), replaces=FIRST.id),
)  # fmt: skip


def folded(events: Sequence[Event]) -> tuple[State, list[Recorded], list[Recorded]]:
    """The state, all events, and the ends among them that it accepted."""
    state, ends = State(), []
    log = [Recorded(seq, float(seq), event) for seq, event in enumerate(events, start=1)]
    for recorded in log:
        if apply(state, recorded) is None and recorded.event.type in END_TYPES:
            ends.append(recorded)
    return state, log, ends


def _fold(log: Sequence[Recorded]) -> State:
    state = State()
    misfits = [state.last_misfit for recorded in log if apply(state, recorded) is not None]
    assert not misfits
    return state


def told(state: State, log: list[Recorded]) -> list[Recorded] | None:
    course = Course.of(state.find(SPEC.id))
    return ends_told([one for one in log if one.seq > course.seq and one.event.type in END_TYPES], course)


def test_an_end_that_the_batch_refused_because_a_job_runs_is_none() -> None:
    forged = make.completed(state="failed", reason="forged")
    begun: list[Event] = [FIRST, make.assigned(), make.claimed(), forged]
    assert told(*folded(begun)[:2]) == []
    state, log, _ = folded([*begun, make.finished(outputs=None), make.completed()])
    assert told(state, log) == log[-1:]


def test_of_a_batch_that_ran_again_few_events_do_not_tell() -> None:
    ran: list[Event] = [FIRST, make.kill_requested(), make.completed(state="killed"), make.retry_requested()]
    assert told(*folded(ran)[:2]) is None


def test_a_batch_that_was_replaced_while_it_ran_ends_as_the_one_in_which_it_goes_on() -> None:
    then = make.submitted(SPEC, replaces=FIRST.id)
    ran: list[Event] = [FIRST, make.held(), then, make.kill_requested(), make.completed(state="killed")]
    ends = Ends(SPEC.id)
    for recorded in folded(ran)[1]:
        ends.fold(recorded)
    found = _fold(ends.accepted).batches[SPEC.id]
    assert (found.end, found.submissions, found.names) == ("killed", (FIRST.id, then.id), [])


def test_an_end_that_the_log_has_lost_is_not_told() -> None:
    state, log, _ = folded([FIRST, make.kill_requested(), make.completed(state="killed")])
    assert told(state, log[:-1]) is None


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_few_events_and_all_events_tell_what_the_fold_accepted(words: list[Event]) -> None:
    state, log, accepted = folded([FIRST, *words])
    ends = Ends(SPEC.id)
    for recorded in log:
        ends.fold(recorded)
    assert [one for one in ends.accepted if one.event.type in END_TYPES] == accepted
    found = state.find(SPEC.id)
    again = _fold(ends.accepted).find(SPEC.id)
    assert (found and (found.submissions, found.end)) == (again and (again.submissions, again.end))
    few = told(state, log)
    if found is not None and few is not None:
        assert few == [one for one in accepted if one.seq > found.seq]
