"""A compacted batch: what is kept of it, and which events still fit it."""

from __future__ import annotations

from typing import Any

import pytest

from core_kit import Lab
from distribute.core.checking.invariants import check
from distribute.core.errors import LogReplaced
from distribute.core.folding.fold import apply
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded, guard_scope
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory
from distribute.core.scheduling.liveness import Lease
from distribute.core.slices import at_once
from distribute.core.spec.specs import After
from distribute.core.state.state import State
from distribute.core.views.views import Compacted, batch_view, batches_view, standing_view, whole_batch
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make
from distribute_services.scheduler.logic import Scheduler
from unit.core.test_packing import lab_with_ended_batch

SWEEP = make.batch()
NOW_S = make.EPOCH.timestamp()


def compacted_lab() -> Lab:
    lab = lab_with_ended_batch()
    lab.happen(make.compacted(lab.state.seq))
    return lab


def misfit(state: State, event: Event) -> str | None:
    return apply(state, Recorded(state.seq + 1, state.time + 1, event))


def shown(state: State) -> dict[str, Any]:
    [batch] = batches_view(state)["batches"]
    return dict(batch)


def test_lists_show_it_as_before() -> None:
    lab = lab_with_ended_batch()
    before = shown(lab.state)
    lab.happen(make.compacted(lab.state.seq))
    after = shown(lab.state)
    assert before.pop("compacted_at") is None
    assert after.pop("compacted_at") is not None
    assert after == before
    assert (lab.state.batches, lab.state.packed) == ({}, {})


def test_its_jobs_are_in_the_archive_only() -> None:
    state = compacted_lab().state
    with pytest.raises(Compacted):
        at_once(whole_batch(state, SWEEP.id))
    with pytest.raises(Compacted):
        batch_view(state, SWEEP.id)
    standing = at_once(standing_view(state, SWEEP.id))
    assert standing["course"]["end"] == "failed"
    assert standing["course"]["compacted_at"] is not None
    assert standing["under_seq"] == state.seq


def test_a_snapshot_has_it() -> None:
    state = compacted_lab().state
    again = load(dump(state))
    assert again.compacted == state.compacted
    assert digest(again) == digest(state)


def test_its_guard_covers_everything_under_the_batch() -> None:
    assert guard_scope(make.compacted(1)) == guard_scope(make.deleted())


@pytest.mark.parametrize(
    "event",
    [
        make.submitted(SWEEP),
        make.retry_requested(),
        make.kill_requested(),
        make.reprioritized(5),
        make.held(),
        make.completed(),
        make.batch_archived(),
        make.compacted(1),
        make.assigned("a", attempt=2),
        make.job_archived("a"),
        make.build_started(),
        make.deleted(submission="another"),
    ],
    ids=lambda event: event.type,
)
def test_nothing_changes_it_any_more(event: Event) -> None:
    state = compacted_lab().state
    before = state.compacted[SWEEP.id]
    assert misfit(state, event) is not None
    assert list(state.compacted) == [SWEEP.id]
    assert state.compacted[SWEEP.id].under_seq == state.seq > before.under_seq
    check(state)


def test_a_message_about_it_fits() -> None:
    assert misfit(compacted_lab().state, make.notified()) is None


def test_it_can_be_deleted_and_its_name_is_free_again() -> None:
    state = compacted_lab().state
    assert misfit(state, make.deleted()) is None
    assert state.find(SWEEP.id) is None
    assert misfit(state, make.submitted(SWEEP)) is None
    check(state)


@pytest.mark.parametrize("behind", [-1, 1, 100])
def test_who_lacks_some_of_its_events_refuses_it(behind: int) -> None:
    state = lab_with_ended_batch().state
    said = misfit(state, make.compacted(state.seq + behind))
    assert said is not None
    assert said.startswith(f"its archive ends with event {state.seq - 1 + behind}, and the last event")
    assert list(state.batches) == [SWEEP.id]


def test_only_a_batch_that_is_over_and_archived_is_compacted() -> None:
    state = make_running().state
    assert misfit(state, make.compacted(state.seq)) == "the batch is not over and archived"
    assert misfit(State(), make.compacted(1)) == "there is no such batch"


def make_running() -> Lab:
    lab = Lab(make.joined("ws1"), make.submitted(SWEEP), make.assigned("job1"))
    lab.run("job1")
    return lab


def test_what_it_waited_for_is_forgotten_once_it_is_deleted() -> None:
    first = make.submitted(make.batch(1, batch="first"))
    after = (After(namespace="lab", batch="first", submission=first.id),)
    lab = Lab(first, make.submitted(make.batch(1, after=after)), make.kill_requested())
    lab.happen(make.completed(state="killed"), make.batch_archived())
    lab.happen(make.compacted(lab.state.seq))
    assert list(lab.state.waits) == [SWEEP.id]
    lab.happen(make.deleted())
    assert (lab.state.waits, lab.state.misfits) == ({}, 0)


def test_a_reader_of_one_batch_accepts_what_the_fold_accepts() -> None:
    story = BatchStory(SWEEP.id)
    records = lab_with_ended_batch_records()
    for recorded in records:
        story.fold(recorded)
    last = records[-1].seq
    said: list[tuple[Event, bool]] = [
        (make.compacted(last), True),
        (make.retry_requested(), False),
        (make.notified(), True),
    ]
    for seq, (event, fits) in enumerate(said, last + 1):
        assert story.fold(Recorded(seq, NOW_S + seq, event)) is fits
    assert story.state is not None, "its jobs are still told of"
    assert Course.of(story.state).compacted_at == NOW_S + last + 1
    assert story.fold(Recorded(last + 4, NOW_S + 99, make.deleted()))
    assert story.state is None


def test_a_scheduler_that_reads_while_events_are_removed_reads_anew() -> None:
    scheduler = Scheduler(State(), lease=Lease(), new_id=make.new_id, now=NOW_S, catch_up_to=3)
    late = Recorded(4, NOW_S, make.compacted(2))
    with pytest.raises(LogReplaced, match="they were removed while the log was read"):
        scheduler.deliver([late], NOW_S)
    again = Scheduler(State(), lease=Lease(), new_id=make.new_id, now=NOW_S, catch_up_to=4)
    assert again.deliver([late], NOW_S) == []
    assert again.state.misfits == 1


def lab_with_ended_batch_records() -> list[Recorded]:
    """The events of a batch that is over."""
    events: list[Event] = [
        make.submitted(SWEEP),
        make.kill_requested(),
        make.completed(state="killed"),
        make.batch_archived(),
    ]
    return [Recorded(seq, NOW_S + seq, event) for seq, event in enumerate(events, 1)]


def test_the_scheduler_has_nothing_to_do_with_it() -> None:
    lab = compacted_lab()
    assert lab.decide() == []
    assert SWEEP.id not in lab.agenda.waiting
    assert lab.state.misfits == 0
