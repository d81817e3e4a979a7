"""Who asks after an act sees the act, whichever of two busy schedulers answers first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from client_kit import JANE
from distribute.client.control import drain, kill, undrain
from distribute.client.holding import hold, release
from distribute.client.queries import Queries
from distribute.client.submit import submit
from distribute.core.errors import NobodyAnswers
from distribute.core.log.recorded import Guard, Recorded
from distribute.core.scheduling.liveness import Lease
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster, open_cluster
from distribute.testing import builders as make
from distribute_services.scheduler import up_to_now
from distribute_services.scheduler.service import SchedulerService

WITHIN_S = 60.0
LAG_S = 0.003
TIMES = 17
"""With six acts each, 100 acts."""


def fail(*what: object) -> None:
    raise AssertionError(f"no scheduler answered in time: {what}")


def slow_down(cluster: Cluster) -> None:
    """Have the events of a scheduler's log come late."""
    follow = cluster.log.follow

    async def late(**which: Any) -> AsyncGenerator[Sequence[Recorded], None]:
        async for records in follow(**which):
            await asyncio.sleep(LAG_S)
            yield records

    cluster.log.follow = late  # type: ignore[method-assign]


@asynccontextmanager
async def slow_scheduler(broker: Broker, name: str) -> AsyncIterator[None]:
    """A scheduler that answers queries while the block runs. It is always behind the log."""
    stop = asyncio.Event()
    async with open_cluster(broker.address, name) as cluster, asyncio.TaskGroup() as group:
        slow_down(cluster)
        group.create_task(SchedulerService(cluster, Lease()).run(stop))
        yield
        stop.set()


async def answers(cluster: Cluster) -> bool:
    try:
        await cluster.queries.ask("digests", timeout_s=WITHIN_S)
    except NobodyAnswers:
        return False
    return True


async def keep_busy(cluster: Cluster) -> None:
    """Have something happen all the time."""
    seq = await cluster.log.append(make.joined("other"), Guard(0))
    while True:
        seq = await cluster.log.append(make.undrained("other"), Guard(seq))


async def test_who_asks_after_an_act_sees_the_act(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up_to_now, "WITHIN_S", WITHIN_S)
    async with AsyncExitStack() as stack:
        for name in ("scheduler", "standby"):
            await stack.enter_async_context(slow_scheduler(broker, name))
        # Another program of the same person, which knows nothing of the acts.
        elsewhere = await stack.enter_async_context(open_cluster(broker.address, "elsewhere"))
        busy = await stack.enter_async_context(open_cluster(broker.address, "busy"))
        while not await answers(cluster):  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(0.01)
        load = asyncio.create_task(keep_busy(busy))
        stack.callback(load.cancel)
        queries = Queries(elsewhere, on_silence=fail, on_behind=fail)
        await cluster.log.append(make.joined("ws1"), Guard(0))
        for number in range(TIMES):
            await act_and_ask(cluster, queries, f"sweep{number}")


async def act_and_ask(cluster: Cluster, queries: Queries, name: str) -> None:
    """Ask after each act whether it is seen."""
    spec = make.batch(1, batch=name, capabilities=["none"])
    await submit(cluster, JANE, spec, {})
    assert (await queries.batch(spec.id))["jobs"]["queued"] == 1
    await hold(cluster, JANE, spec.id)
    assert (await queries.batch(spec.id))["held_by"] == "jane"
    await release(cluster, JANE, spec.id)
    assert (await queries.batches(last=1))["batches"][0]["held_by"] is None
    await kill(cluster, queries, JANE, spec.id)
    assert (await queries.batch(spec.id))["killed_by"] == "jane"
    await drain(cluster, queries, JANE, "ws1", reason=name)
    assert (await queries.node("ws1"))["reason"] == name
    await undrain(cluster, queries, JANE, "ws1")
    (node,) = (node for node in (await queries.nodes())["nodes"] if node["node"] == "ws1")
    assert node["reason"] is None
