"""The log with its archives, of which one may be gone, or named by an event that does not count."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, count
from pathlib import Path
from typing import Any

import pytest

from client_kit import MemoryCluster
from distribute.archives import Archives
from distribute.core.errors import IntegrityError, LogReplaced
from distribute.core.folding.fold import apply
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import State
from distribute.ports import EventLog, Only
from distribute.stored_events import wanted
from distribute.testing import builders as make
from distribute.whole_log import WholeLog
from distribute_services.archiver.compacting import store_archive

SWEEP, OTHER = make.batch(1), make.batch(1, batch="other")
OURS = Only(batch=SWEEP.id)


async def archived(cluster: MemoryCluster) -> str:
    """Store an archive of the first batch as it is now. Returns its digest."""
    state = State()
    for recorded in cluster.log.stored.between(0, cluster.log.stored.last_seq):
        apply(state, recorded)
    return (await store_archive(cluster, state.batches[SWEEP.id])).sha256


async def compacted_log(cluster: MemoryCluster, *behind: Event) -> tuple[WholeLog, list[Recorded]]:
    """A log with a compacted batch, and then these events; and its events as they were written."""
    await cluster.say(make.submitted(SWEEP), make.kill_requested(SWEEP))
    archive = await archived(cluster)
    await cluster.say(make.compacted(2, SWEEP, archive=archive, events=2), *behind)
    written = list(cluster.log.stored.between(0, 99))
    await cluster.log.purge(SWEEP.id, before=3)
    return WholeLog(cluster.log, lambda: cluster.store), written


async def read(log: EventLog, only: Only) -> list[Recorded]:
    until = await log.last_seq()
    return [recorded async for records in log.follow(after=0, only=only, until=until) for recorded in records]


async def test_an_event_is_found_in_its_archive_although_another_archive_is_gone(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path)
    told = [
        make.submitted(SWEEP), make.submitted(OTHER), make.kill_requested(SWEEP), make.kill_requested(OTHER),
    ]  # fmt: skip
    await cluster.say(*told)
    state = State()
    for recorded in cluster.log.stored.between(0, 4):
        apply(state, recorded)
    kept = await store_archive(cluster, state.batches[SWEEP.id])
    await cluster.say(
        make.compacted(3, SWEEP, archive=kept.sha256, events=2), make.compacted(4, OTHER, first_seq=2)
    )
    for batch in (SWEEP, OTHER):
        await cluster.log.purge(batch.id, before=5)
    log = WholeLog(cluster.log, lambda: cluster.store)
    assert (await log.get(3)).event == told[2]
    with pytest.raises(IntegrityError, match=r"the archive of lab/other, 0+, is damaged or gone"):
        await log.get(4)
    with pytest.raises(KeyError):
        await log.get(7)


@pytest.mark.parametrize(
    "names",
    [
        {"last_seq": 3, "first_seq": 1},
        {"last_seq": 3, "first_seq": 3, "events": 2},
        {"last_seq": 2},
        {"last_seq": 2**60},
        {"last_seq": 1, "first_seq": 9},
    ],
)
async def test_a_forged_compaction_behind_a_true_one_hides_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: dict[str, Any]
) -> None:
    cluster = MemoryCluster(tmp_path)
    forged = make.compacted(names.pop("last_seq"), SWEEP, archive="0" * 64, **names)
    log, written = await compacted_log(cluster, forged)
    assert await read(log, OURS) == written
    assert await read(log, Only()) == written
    raws = [raw.seq async for raws in log.follow_raw(after=0, until=4, only=OURS) for raw in raws]
    assert raws == [1, 2, 3, 4]
    assert await log.get(2) == written[1]
    assert await log.last(SWEEP.id, "submitted") == written[0]
    assert "so it does not count; the archive: " in caplog.text


async def test_who_reads_a_range_gets_its_events_and_no_others(tmp_path: Path) -> None:
    """Of two compacted batches whose events lie between each other and those of a third, which goes on."""
    cluster, third = MemoryCluster(tmp_path), make.batch(1, batch="third")
    batches = SWEEP, OTHER, third
    await cluster.say(*map(make.submitted, batches), *map(make.retry_requested, batches))
    await cluster.say(*map(make.kill_requested, reversed(batches)))
    state = State()
    for recorded in cluster.log.stored.between(0, 9):
        apply(state, recorded)
    for number, batch in enumerate((SWEEP, OTHER), start=1):
        kept = await store_archive(cluster, state.batches[batch.id])
        names = {"archive": kept.sha256, "events": 3, "first_seq": number}
        await cluster.say(make.compacted(10 - number, batch, **names))
    written = list(cluster.log.stored.between(0, 11))
    for batch in (SWEEP, OTHER):
        await cluster.log.purge(batch.id, before=10)
    log = WholeLog(cluster.log, lambda: cluster.store)
    for only in (Only(), Only(types=frozenset({"kill_requested"})), OURS):
        for after, until in combinations(range(12), 2):
            expected = [one for one in written if after < one.seq <= until and wanted(only, one.event)]
            reading = log.follow(after=after, only=only, until=until)
            assert [one async for records in reading for one in records] == expected, (after, until)
            raws = log.follow_raw(after=after, only=only, until=until)
            assert [raw.seq async for some in raws for raw in some] == [one.seq for one in expected]


async def test_an_archive_does_not_count_if_the_fold_refuses_the_event_that_names_it(tmp_path: Path) -> None:
    """The broker lost the end of its log, and each author appended once more what was lost of his."""
    cluster = MemoryCluster(tmp_path)
    await cluster.say(make.submitted(SWEEP), make.kill_requested(SWEEP))
    kept = await archived(cluster)
    cluster.log.stored.lose_end(1)
    await cluster.say(make.submitted(OTHER), make.kill_requested(SWEEP))
    await cluster.say(make.compacted(2, SWEEP, archive=kept, events=2))
    log = WholeLog(cluster.log, lambda: cluster.store)
    assert await read(log, OURS) == await read(cluster.log, OURS)
    assert await read(log, Only()) == await read(cluster.log, Only())


async def test_a_name_that_is_used_again_needs_no_lost_archive_whatever_is_forged(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path)
    log, _ = await compacted_log(cluster, make.deleted(), make.submitted(SWEEP))
    for archive in (tmp_path / "inputs").iterdir():
        archive.unlink()
    await cluster.say(make.compacted(4, SWEEP, archive="0" * 64))
    assert [recorded.seq for recorded in await read(log, OURS)] == [3, 4, 5, 6]


async def test_an_archive_is_missed_also_if_a_deleted_batch_had_that_name_before(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path)
    await cluster.say(
        make.submitted(SWEEP), make.deleted(), make.submitted(SWEEP), make.kill_requested(SWEEP)
    )
    await cluster.say(make.compacted(4, SWEEP, archive="0" * 64, events=2, first_seq=3))
    log = WholeLog(cluster.log, lambda: cluster.store)
    assert [recorded.seq for recorded in await read(log, OURS)] == [1, 2, 3, 4, 5], "nothing was removed"
    await cluster.log.purge(SWEEP.id, before=5)
    with pytest.raises(IntegrityError, match=r"the archive of lab/sweep, 0+, is damaged or gone"):
        await read(log, OURS)


async def test_no_archive_is_missed_if_the_log_has_an_event_before_the_submission(tmp_path: Path) -> None:
    """The broker lost its log's end, and the scheduler's word came again before the person's."""
    cluster = MemoryCluster(tmp_path)
    await cluster.say(make.assigned(), make.submitted(SWEEP), make.kill_requested(SWEEP))
    await cluster.say(make.compacted(3, SWEEP, archive="0" * 64, events=2, first_seq=2))
    log = WholeLog(cluster.log, lambda: cluster.store)
    assert [recorded.seq for recorded in await read(log, OURS)] == [1, 2, 3, 4]


async def test_no_archive_is_missed_that_a_forged_compaction_behind_a_forged_deletion_names(
    tmp_path: Path,
) -> None:
    cluster = MemoryCluster(tmp_path)
    await cluster.say(make.submitted(SWEEP), make.deleted(), make.kill_requested(SWEEP))
    await cluster.say(make.compacted(3, SWEEP, archive="0" * 64, first_seq=3))
    log = WholeLog(cluster.log, lambda: cluster.store)
    assert [recorded.seq for recorded in await read(log, OURS)] == [1, 2, 3, 4]


async def test_no_archive_is_missed_that_a_compaction_forged_before_the_submission_names(
    tmp_path: Path,
) -> None:
    cluster = MemoryCluster(tmp_path)
    await cluster.say(make.submitted(OTHER), make.compacted(1, SWEEP, archive="0" * 64))
    log = WholeLog(cluster.log, lambda: cluster.store)
    with pytest.raises(IntegrityError, match=r"`distribute delete lab/sweep` frees the name"):
        await read(log, OURS)
    await cluster.say(make.submitted(SWEEP), make.kill_requested(SWEEP))
    assert [recorded.seq for recorded in await read(log, OURS)] == [2, 3, 4]


async def test_an_archive_is_missed_whatever_another_forged_compaction_names(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path)
    log, _ = await compacted_log(cluster, make.compacted(3, SWEEP, archive="0" * 64, first_seq=3))
    for archive in (tmp_path / "inputs").iterdir():
        archive.unlink()
    with pytest.raises(IntegrityError, match=r"the archive of lab/sweep, [0-9a-f]+, is damaged or gone"):
        await read(log, OURS)


async def test_who_reads_while_a_batch_is_compacted_reads_on_until_events_are_removed(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path)
    await cluster.say(make.submitted(SWEEP), make.kill_requested(SWEEP))
    log = WholeLog(cluster.log, lambda: cluster.store)
    first, second = log.follow(after=0, until=2), log.follow(after=0, until=2)
    begun = [list(await anext(reading)) for reading in (first, second)]
    await cluster.say(make.compacted(2, SWEEP, archive=await archived(cluster), events=2))
    rest = [recorded async for records in first for recorded in records]
    assert [recorded.seq for recorded in begun[0] + rest] == [1, 2]
    await cluster.log.purge(SWEEP.id, before=3)
    with pytest.raises(LogReplaced, match="lab/sweep was compacted while its events were read"):
        async for _ in second:
            pass


async def test_who_opens_what_a_forged_event_names_while_the_batch_is_compacted_gets_its_archive(
    tmp_path: Path,
) -> None:
    """What refutes the forged event is removed before the reader looks at it."""
    cluster = MemoryCluster(tmp_path)
    await cluster.say(make.submitted(SWEEP), make.kill_requested(SWEEP))
    await cluster.say(make.compacted(1, SWEEP, archive="0" * 64))
    archives = Archives(cluster.log, lambda: cluster.store)
    found = await archives.of(SWEEP.id)
    assert found is not None
    await cluster.say(make.compacted(3, SWEEP, archive=await archived(cluster), events=3))
    await cluster.log.purge(SWEEP.id, before=4)
    async with archives.opened(found) as log:
        assert log is not None
        assert (await log.get(2)).event.type == "kill_requested"


class CountingStore:
    """Counts how often each archive is fetched."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.fetched: Counter[str] = Counter()

    async def get_input(self, sha256: str, path: Path) -> None:
        self.fetched[sha256] += 1
        await self._store.get_input(sha256, path)


@pytest.mark.parametrize("at_once", [1, 3])
async def test_a_time_is_found_with_each_archive_fetched_once_at_most(tmp_path: Path, at_once: int) -> None:
    """Of batches that were there one behind the other, or several at a time. An event comes each second."""
    cluster, seconds = MemoryCluster(tmp_path), count(1)
    cluster.log._clock = lambda: float(next(seconds))
    batches = [make.batch(1, batch=f"b{number}") for number in range(24)]
    for number in range(len(batches) + at_once):
        if number < len(batches):
            await cluster.say(make.submitted(batches[number]), make.retry_requested(batches[number]))
        if number >= at_once:
            await cluster.say(make.kill_requested(batches[number - at_once]))
    end = await cluster.log.last_seq()
    state = State()
    for recorded in cluster.log.stored.between(0, end):
        apply(state, recorded)
    for batch in batches:
        own = [one.seq for one in cluster.log.stored.between(0, end) if one.event.scope == batch.id]
        kept = await store_archive(cluster, state.batches[batch.id])
        names = {"archive": kept.sha256, "events": len(own), "first_seq": own[0]}
        await cluster.say(make.compacted(own[-1], batch, **names))
        await cluster.log.purge(batch.id, before=own[-1] + 1)
    store = CountingStore(cluster.store)
    log = WholeLog(cluster.log, lambda: store)  # type: ignore[arg-type, return-value]
    for time in range(end + 2):
        store.fetched.clear()
        assert await log.last_before(time + 0.5) == time
        assert set(store.fetched.values()) <= {1}
        assert store.fetched.total() <= 5 + at_once, "of 24"
