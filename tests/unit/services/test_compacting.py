"""Which batches the archiver compacts."""

from __future__ import annotations

import asyncio
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from client_kit import MemoryCluster
from core_kit import Lab
from distribute.core.errors import IntegrityError, LogReplaced, Refused
from distribute.core.folding.fold import apply
from distribute.core.ids import BatchId
from distribute.core.log.events import Compacted
from distribute.core.log.recorded import Recorded
from distribute.core.spec.specs import After
from distribute.core.state.state import State
from distribute.ports import Cluster
from distribute.testing import builders as make
from distribute.whole_log import WholeLog
from distribute_services.archiver.compacting import (
    Wish,
    closed_batch,
    compact,
    remove_archived,
    store_archive,
)
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


async def test_a_batch_is_not_compacted_without_what_an_older_archive_of_its_name_had(tmp_path: Path) -> None:
    """Else nobody would look for that archive any more, even if a backup of it were restored."""
    cluster = MemoryCluster(tmp_path)
    moved = await stored(cluster)
    await remove_archived(cluster, moved)
    assert isinstance(moved.event, Compacted)
    await cluster.say(make.deleted(), make.submitted(make.batch(1)), make.kill_requested())
    state = State()
    apply(state, cluster.log.stored.get(5))
    whole = cast(
        Cluster, SimpleNamespace(log=WholeLog(cluster.log, lambda: cluster.store), store=cluster.store)
    )
    assert (await store_archive(whole, state.batches[SWEEP])).events == 6
    (tmp_path / "inputs" / moved.event.archive).unlink()
    with pytest.raises(Refused, match="the archive of an older batch of this name is damaged or gone"):
        await store_archive(whole, state.batches[SWEEP])


async def test_a_batch_is_compacted_whatever_was_forged_before_it(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path)
    forged = make.compacted(1, archive="0" * 64)
    await cluster.say(make.released(), forged, make.submitted(make.batch(1)), make.kill_requested())
    state = State()
    apply(state, cluster.log.stored.get(3))
    whole = cast(
        Cluster, SimpleNamespace(log=WholeLog(cluster.log, lambda: cluster.store), store=cluster.store)
    )
    assert (await store_archive(whole, state.batches[SWEEP])).events == 4


async def test_of_two_archivers_the_slower_one_answers_as_the_faster_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, state, other = MemoryCluster(tmp_path), State(), State()
    both_stored, one_puts, get_input = asyncio.Barrier(2), asyncio.Lock(), cluster.store.get_input
    put_input = cluster.store.put_input

    async def put_alone(path: Path, sha256: str) -> None:
        async with one_puts:
            await put_input(path, sha256)

    async def get_together(sha256: str, path: Path) -> None:
        await get_input(sha256, path)
        await both_stored.wait()

    monkeypatch.setattr(cluster.store, "put_input", put_alone)
    monkeypatch.setattr(cluster.store, "get_input", get_together)
    first = make.submitted(make.batch(1))
    ends = {"submission": first.id}
    await cluster.say(
        first, make.kill_requested(), make.completed(state="killed", **ends), make.batch_archived(**ends)
    )
    for recorded in cluster.log.stored.between(0, 9):
        apply(state, recorded)
        apply(other, recorded)
    wish = Wish(SWEEP, inf, "jane")
    both = (compact(cluster, each, wish, lambda: 2e9, make.new_id) for each in (state, other))
    faster, slower = await asyncio.gather(*both)
    assert faster == slower
    assert cluster.log.stored.last_seq == faster[1] == 5


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"namespace":"","batch":"x"}'])
def test_what_is_no_question_is_refused(payload: bytes) -> None:
    with pytest.raises(Refused, match="not a question"):
        Wish.read(payload)
