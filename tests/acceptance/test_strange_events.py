"""Garbage in the log, and events that do not fit, stop no process and harm nothing.

Only events of a newer distribute stop their readers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import nats
import pytest
import pytest_asyncio
from nats.js import JetStreamContext

from acceptance.lab import Lab, command_batch, open_lab
from distribute.core.log import events as ev
from distribute.core.log.recorded import Guard
from distribute.runtime import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    nodes = {"node": ["--cpus", "2"]}
    async with open_lab(tmp_path_factory.mktemp("strange") / "lab", nodes) as lab:
        yield lab


@asynccontextmanager
async def stream(lab: Lab) -> AsyncIterator[JetStreamContext]:
    """JetStream, as any program in the lab can use it."""
    client = await nats.connect(lab.processes.server)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def raise_layout(js: JetStreamContext, by: int) -> None:
    """Raise the layout, as the head of a newer distribute does before it writes anything new."""
    info = await js.stream_info("EV")
    metadata = info.config.metadata or {}
    number = int(metadata["distribute_layout"]) + by
    raised_at = {number: info.state.last_seq} if by > 0 else {}
    metadata |= {"distribute_layout": str(number), "distribute_layout_raised": json.dumps(raised_at)}
    await js.update_stream(info.config)


async def test_an_event_of_a_newer_layout_stops_the_head_and_nothing_is_lost(lab: Lab) -> None:
    gate = lab.folder / "gate"
    before = {"runs": f"until test -e '{gate}'; do sleep 0.05; done; echo ran", "waits": "echo waited"}
    await lab.add(command_batch("lab/before", before, resources={"cpus": 2}))
    await lab.event("started", batch="lab/before")
    async with stream(lab) as js:
        await raise_layout(js, 1)
        event = {"type": "teleported", "v": 1}
        stored = await js.publish("ev.batch.lab.future.submitted.jane", json.dumps(event).encode())
        for service in ("scheduler", "archiver"):
            assert await lab.processes.ended(service) == 1
            last = lab.processes.log_of(service).splitlines()[-1]
            assert f"sequence {stored.seq} of the log: an event of the unknown type 'teleported'" in last
            assert "upgrade distribute on this computer" in last
        # Running jobs go on meanwhile. Queries are refused with the same remedy.
        gate.touch()
        await lab.event("finished", batch="lab/before")
        assert "upgrade distribute on this computer" in (await lab.distribute("status", code=4)).err
        await raise_layout(js, -1)
    # Under a layout that is not newer it is garbage.
    lab.processes.start("scheduler")
    lab.processes.start("archiver")
    await lab.over("lab/before")
    assert {job["state"] for job in (await lab.jobs("lab/before")).values()} == {"succeeded"}


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("ev.batch.lab.garbage.submitted.jane", b""),
        ("ev.batch.lab.garbage.submitted.jane", b"\xff\xfe"),
        ("ev.batch.lab.garbage.submitted.jane", b"x\x9c damaged"),
        ("ev.batch.lab.garbage.submitted.jane", b'{"type": "submitted", "v": 99}'),
        ("ev.job.lab.b.j.finished.node-x", b'{"type": "finished", "v": 99}'),
        ("ev.node.node.joined.node", b"[]"),
    ],
)
async def test_bytes_that_are_not_an_event_stop_no_process(lab: Lab, subject: str, body: bytes) -> None:
    async with stream(lab) as js:
        stored = await js.publish(subject, body)
    name = f"lab/after {stored.seq}"
    await lab.add(command_batch(name, {"job": "true"}))
    await lab.over(name)
    await lab.ask("status")
    named = f"passing by garbage: sequence {stored.seq} of the log"
    assert lab.processes.log_of("scheduler").count(named) == 1


async def test_events_that_do_not_fit_are_counted_and_harm_nothing(lab: Lab) -> None:
    await lab.add(command_batch("lab/real", {"job": "echo kept > distribute_save/kept"}))
    await lab.over("lab/real")
    now = datetime.now(UTC)
    stamp, by_scheduler = {"time": now, "author": "node"}, {"time": now, "author": ev.SCHEDULER}
    names = {"namespace": "lab", "batch": "real", "node": "node"}
    strange: list[ev.Event] = [
        ev.Claimed(id=new_id(), **stamp, **names, job="nobody's", attempt=1),
        ev.Assigned(
            id=new_id(), **by_scheduler, **names | {"node": "no such node"}, job="job", attempt=2, cpus=1
        ),
        ev.Finished(id=new_id(), **stamp, **names, job="job", attempt=7, succeeded=False),
        ev.Deleted(id=new_id(), time=now, author="jane", namespace="nobody", batch="nothing"),
        ev.Lost(id=new_id(), **by_scheduler, node="no such node", silent_s=1.0),
    ]
    for event in strange:
        last = await lab.cluster.log.last(event.scope)
        await lab.cluster.log.append(event, Guard(last.seq if last is not None else 0))
    job = (await lab.jobs("lab/real"))["job"]
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    await lab.add(command_batch("lab/still works", {"job": "true"}))
    await lab.over("lab/still works")
    folder, _ = await lab.pull("lab/real")
    assert (folder / "job" / "kept").read_text() == "kept\n"
    assert "an event did not fit" in lab.processes.log_of("scheduler")
    assert lab.processes.log_of("scheduler").count("there is no such") >= 1
