"""A log that was replaced: restored from an older copy, cut short, or begun again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from distribute.core.errors import LogReplaced
from distribute.core.folding.fold import apply
from distribute.core.ids import JobId
from distribute.core.log.recorded import Guard, Recorded
from distribute.core.scheduling.liveness import Lease
from distribute.core.state.state import State
from distribute.nats.broker.embedded import Broker
from distribute.nats.client.jetstream import call
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.provision import LOGS
from distribute.snapshot import dump
from distribute.testing import builders
from distribute_services.scheduler import service as scheduling
from distribute_services.scheduler.service import SNAPSHOT, SchedulerService
from integration.store_kit import remove_one_chunk

WITHIN_S = 60.0


class Copy:
    """An older copy of a broker's data."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self._broker, self._folder = broker, folder

    async def take(self) -> None:
        await self._broker.stop()
        shutil.copytree(self._broker.folder / "jetstream", self._folder)
        await self._broker.start()

    async def restore(self) -> None:
        await self._broker.stop()
        shutil.rmtree(self._broker.folder / "jetstream")
        shutil.copytree(self._folder, self._broker.folder / "jetstream")
        await self._broker.start()


@pytest.fixture
async def copy(broker: Broker, cluster: Cluster, tmp_path: Path) -> Copy:
    """A copy of a log of ten events."""
    taken = Copy(broker, tmp_path / "copy")
    await claim(cluster, 0, 10)
    await taken.take()
    await cluster.connection.returned()
    return taken


async def claim(cluster: Cluster, first: int, count: int) -> None:
    for number in range(first, first + count):
        await cluster.log.append(builders.claimed(f"job{number}"), Guard(0))


async def follow(cluster: Cluster, seen: list[Recorded], reached: asyncio.Event) -> None:
    async for records in cluster.log.follow(after=0):
        seen += records
        if seen[-1].seq >= 20:
            reached.set()


@pytest.mark.parametrize("written_since", [0, 10, 15])
async def test_a_reader_of_a_log_that_an_older_copy_replaced_raises_log_replaced(
    broker: Broker, cluster: Cluster, copy: Copy, written_since: int
) -> None:
    """At once, and also if the older copy has got as many other events meanwhile."""
    seen: list[Recorded] = []
    reached = asyncio.Event()
    following = asyncio.create_task(follow(cluster, seen, reached))
    await claim(cluster, 10, 10)
    await asyncio.wait_for(reached.wait(), WITHIN_S)
    await broker.stop()
    away = Broker(copy._folder.with_name("elsewhere"), sync_always=False, die_with_parent=True)
    if written_since:
        await write_elsewhere(away, copy._folder, written_since)
    await copy.restore()
    with pytest.raises(LogReplaced, match=r"is not the one that was read so far.*older copy"):
        await asyncio.wait_for(following, WITHIN_S)
    assert [recorded.seq for recorded in seen] == list(range(1, 21))


async def write_elsewhere(broker: Broker, copy: Path, count: int) -> None:
    """Write to the copy before any reader of the original log sees it."""
    shutil.copytree(copy, broker.folder / "jetstream")
    async with broker, open_cluster(broker.address, "elsewhere") as cluster:
        await claim(cluster, 100, count)
    shutil.rmtree(copy)
    shutil.copytree(broker.folder / "jetstream", copy)


async def test_live_output_goes_on_after_its_stream_lost_its_end(cluster: Cluster, copy: Copy) -> None:
    job = JobId("lab", "sweep", "job1")
    told: list[bytes] = []
    heard = asyncio.Event()

    async def listen() -> None:
        async for text in cluster.live.follow(job, 1):
            told.append(text)
            heard.set()

    listening = asyncio.create_task(listen())
    for text in (b"before", b"after"):
        heard.clear()
        await cluster.connection.returned()
        async with asyncio.timeout(WITHIN_S):
            while not await consumers(cluster):  # noqa: ASYNC110 - the broker does not notify of consumers
                await asyncio.sleep(0.02)
            await cluster.live.send(job, 1, text)
            await heard.wait()
        await copy.restore()
    listening.cancel()
    assert told == [b"before", b"after"]


async def consumers(cluster: Cluster) -> int:
    info = await call(cluster.connection, f"STREAM.INFO.{LOGS}")
    return int(info["state"]["consumer_count"])


# --- snapshots -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _saves_its_snapshot_however_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "PATIENCE_S", WITHIN_S)


@asynccontextmanager
async def scheduler(cluster: Cluster) -> AsyncIterator[SchedulerService]:
    """A scheduler at work."""
    stop = asyncio.Event()
    service = SchedulerService(cluster, Lease())
    running = asyncio.create_task(service.run(stop))
    try:
        async with asyncio.timeout(WITHIN_S):
            caught_up = asyncio.create_task(service._caught_up.wait())
            await asyncio.wait({running, caught_up}, return_when=asyncio.FIRST_COMPLETED)
        yield service
    finally:
        stop.set()
        await running


def folded(*events: Recorded) -> bytes:
    """A snapshot of the state that these events fold to."""
    state = State()
    for recorded in events:
        apply(state, recorded)
    return dump(state)


async def test_a_scheduler_whose_snapshot_is_of_another_log_folds_this_one(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    other = builders.record([builders.joined(f"other{number}") for number in range(3)])
    await cluster.store.put_snapshot(SNAPSHOT, folded(*other))
    for name in ("ws1", "ws2", "ws3", "ws4"):
        await cluster.log.append(builders.joined(name), Guard(0))
    async with scheduler(cluster) as service:
        assert set(service._scheduler.state.nodes) == {"ws1", "ws2", "ws3", "ws4"}
    assert "the snapshot is of another log" in caplog.text
    # The snapshot that it saved then is of this log.
    caplog.clear()
    async with scheduler(cluster) as service:
        assert set(service._scheduler.state.nodes) == {"ws1", "ws2", "ws3", "ws4"}
    assert "another log" not in caplog.text


async def test_a_scheduler_whose_snapshot_has_lost_its_bytes_folds_the_log(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await cluster.log.append(builders.joined("ws1"), Guard(0))
    async with scheduler(cluster):
        pass
    await remove_one_chunk(cluster.connection, "snapshots", "$O.snapshots.C.>")
    async with scheduler(cluster) as service:
        assert set(service._scheduler.state.nodes) == {"ws1"}
    assert "the snapshot can't be used" in caplog.text


async def test_a_scheduler_whose_snapshot_ends_with_an_event_that_was_removed_folds_the_log(
    cluster: Cluster,
) -> None:
    await cluster.log.append(builders.joined("ws1"), Guard(0))
    seq = await cluster.log.append(builders.joined("ws2"), Guard(0))
    async with scheduler(cluster):
        pass
    await call(cluster.connection, f"STREAM.MSG.DELETE.{EVENTS}", {"seq": seq})
    async with scheduler(cluster) as service:
        assert set(service._scheduler.state.nodes) == {"ws1"}
