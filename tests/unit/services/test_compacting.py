"""Which batches the archiver compacts."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import pytest

from client_kit import MemoryCluster
from core_kit import Lab
from distribute.core.errors import IntegrityError, LogReplaced, Refused
from distribute.core.events import Compacted
from distribute.core.fold import apply
from distribute.core.ids import BatchId
from distribute.core.recorded import Recorded
from distribute.core.specs import After
from distribute.core.state import State
from distribute.testing import builders as make
from distribute_services.archiver.compacting import Wish, closed_batch, remove_archived, store_archive
from distribute_services.archiver.logic import Backlog
from unit.core.test_packing import lab_with_ended_batch

SWEEP = BatchId("lab", "sweep")
ANY_TIME = Wish(SWEEP, inf, "jane")


def test_a_batch_that_is_over_and_archived_is_compacted_packed_or_not() -> None:
    lab = lab_with_ended_batch()
    assert closed_batch(lab.state, ANY_TIME).id == SWEEP
    lab.pack()
    assert closed_batch(lab.state, ANY_TIME).id == SWEEP


def test_a_batch_that_is_gone_or_goes_on_is_refused() -> None:
    with pytest.raises(Refused, match=r"^lab/sweep was deleted meanwhile$"):
        closed_batch(Lab().state, ANY_TIME)
    lab = lab_with_ended_batch()
    lab.happen(make.retry_requested())
    with pytest.raises(Refused, match="lab/sweep runs again: only a batch that is over"):
        closed_batch(lab.state, ANY_TIME)


def test_a_batch_that_ended_later_is_refused() -> None:
    lab = lab_with_ended_batch()
    ended = lab.state.batches[SWEEP].finished_at
    assert ended is not None
    with pytest.raises(Refused, match="lab/sweep ended again meanwhile, at "):
        closed_batch(lab.state, ANY_TIME._replace(over_before=ended))
    assert closed_batch(lab.state, ANY_TIME._replace(over_before=ended + 0.001)).id == SWEEP


def test_a_compacted_batch_is_refused() -> None:
    lab = lab_with_ended_batch()
    lab.happen(make.compacted(lab.state.seq))
    with pytest.raises(Refused, match="lab/sweep was compacted at "):
        closed_batch(lab.state, ANY_TIME)


def test_a_batch_that_another_one_waits_for_is_refused() -> None:
    lab = lab_with_ended_batch()
    submission = lab.state.batches[SWEEP].submission
    after = After(**SWEEP._asdict(), submission=submission)
    lab.happen(make.submitted(make.batch(batch="plot", after=(after,))))
    with pytest.raises(Refused, match="lab/sweep can't be compacted yet: lab/plot waits for it"):
        closed_batch(lab.state, ANY_TIME)
    lab.happen(*lab.decide())
    assert lab.state.batches[BatchId("lab", "plot")].end == "failed", "as the one it was to run after"
    assert closed_batch(lab.state, ANY_TIME).id == SWEEP


@pytest.mark.parametrize("is_accepted", [True, False], ids=["accepted", "refused"])
def test_after_a_restart_only_an_accepted_compaction_removes_events(*, is_accepted: bool) -> None:
    """Else events would be removed that no archive may have. Anybody could write a refused one."""
    lab = lab_with_ended_batch()
    lab.happen(make.compacted(lab.state.seq if is_accepted else 1))
    backlog = Backlog(lab.state)
    backlog.recall(lab.log[-1])
    assert backlog.next_compaction() == (lab.log[-1] if is_accepted else None)
    assert backlog.next() is None


def test_an_archiver_that_reads_while_events_are_removed_reads_anew() -> None:
    late = Recorded(4, 1.0, make.compacted(2))
    with pytest.raises(LogReplaced, match="they were removed while the log was read"):
        Backlog(State(), catch_up_to=3).deliver(late)
    again = Backlog(State(), catch_up_to=4)
    again.deliver(late)
    assert (again.state.misfits, again.next_compaction()) == (1, None)


async def stored(cluster: MemoryCluster) -> Recorded:
    """A batch that is compacted, and whose events are still in the stream."""
    state = State()
    await cluster.say(make.submitted(make.batch(1)), make.kill_requested())
    for recorded in cluster.log.stored.between(0, 2):
        apply(state, recorded)
    kept = await store_archive(cluster, state.batches[SWEEP])
    await cluster.say(make.compacted(2, SWEEP, archive=kept.sha256, events=2))
    return cluster.log.stored.get(3)


async def test_what_an_archive_has_is_removed(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path)
    moved = await stored(cluster)
    await remove_archived(cluster, moved)
    assert cluster.log.stored.between(0, 9) == [moved]


@pytest.mark.parametrize("is_there", [False, True], ids=["archive is gone", "archive of other events"])
async def test_nothing_is_removed_that_no_archive_has(tmp_path: Path, *, is_there: bool) -> None:
    cluster = MemoryCluster(tmp_path)
    moved = await stored(cluster)
    assert isinstance(moved.event, Compacted)
    wrong: dict[str, Any] = {"last_seq": 1, "events": 1} if is_there else {"archive": "0" * 64}
    named = moved._replace(event=moved.event.model_copy(update=wrong))
    before = cluster.log.stored.between(0, 9)
    with pytest.raises(IntegrityError):
        await remove_archived(cluster, named)
    assert cluster.log.stored.between(0, 9) == before


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"namespace":"","batch":"x"}'])
def test_what_is_no_question_is_refused(payload: bytes) -> None:
    with pytest.raises(Refused, match="not a question"):
        Wish.read(payload)
