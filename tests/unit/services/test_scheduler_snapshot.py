"""The scheduler saves no state that may lack events: nobody who restored it would notice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from distribute.codec import encode
from distribute.core.log.events import Compacted, Event
from distribute.core.scheduling.liveness import Lease
from distribute.memory.cluster import MemoryCluster
from distribute.memory.log import MemoryLog
from distribute.memory.store import FileStore
from distribute.restoring import SNAPSHOT, unread_compaction
from distribute.snapshot import load
from distribute.testing import builders as make
from distribute_services.scheduler.logic import Scheduler
from distribute_services.scheduler.service import SchedulerService

SWEEP = make.batch(1)
OVER = (
    make.submitted(SWEEP),
    make.kill_requested(SWEEP),
    make.completed(SWEEP, state="failed"),
    make.batch_archived(SWEEP),
)
JOINED = make.joined()


class SlowLog(MemoryLog):
    """A log whose readers of all events do not come to a `compacted`."""

    def store(self, *events: Event) -> None:
        for event in events:
            self.stored.store(encode(event), 1.0)

    async def follow(self, **which: Any) -> Any:
        async for records in super().follow(**which):
            for recorded in records:
                if "only" not in which and isinstance(recorded.event, Compacted):
                    await asyncio.get_running_loop().create_future()
                yield [recorded]


async def _saved(log: SlowLog, folder: Path, seq: int) -> bytes | None:
    """What a scheduler saves that reads a log up to a sequence, and ends."""
    cluster, made = MemoryCluster(FileStore(folder)), list[Scheduler]()
    cluster.log = log

    def logic(*args: Any, **kwargs: Any) -> Scheduler:
        made.append(Scheduler(*args, **kwargs))
        return made[-1]

    stop = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(SchedulerService(cluster, Lease(), logic=logic).run(stop))
        while not made or made[0].state.seq < seq:  # noqa: ASYNC110
            await asyncio.sleep(0)
        stop.set()
    return await cluster.store.get_snapshot(SNAPSHOT)


async def test_no_state_is_saved_before_a_compaction_is_read_that_may_have_moved_its_events(
    tmp_path: Path,
) -> None:
    """The events were removed before this scheduler came to them. So its state has no batch at all."""
    log = SlowLog()
    log.store(*OVER, JOINED, make.compacted(4, SWEEP, first_seq=1, events=4))
    await log.purge(SWEEP.id, before=5)
    assert await _saved(log, tmp_path, seq=5) is None


async def test_the_state_is_saved_if_nothing_was_moved(tmp_path: Path) -> None:
    log = SlowLog()
    log.store(*OVER, JOINED)
    saved = await _saved(log, tmp_path, seq=5)
    assert saved is not None
    state = load(saved)
    assert (state.seq, state.find(SWEEP.id) is not None) == (5, True)


@pytest.mark.parametrize(("seq", "found"), [(0, None), (1, 6), (5, 6), (6, None)])
async def test_a_compaction_concerns_who_has_read_what_it_moved_and_not_that_it_did(
    seq: int, found: int | None
) -> None:
    log = SlowLog()
    log.store(*OVER, JOINED, make.compacted(4, SWEEP, first_seq=1, events=4))
    assert await unread_compaction(log, seq) == found
