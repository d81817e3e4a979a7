"""What should not be in the log: what can't be read stops its readers, what fits no state harms nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import nats
import pytest
import pytest_asyncio
from nats.js import JetStreamContext

from acceptance.lab import Lab, command_batch, open_lab
from distribute.core import events as ev
from distribute.core.events import Guard
from distribute.runtime import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    nodes = {"node": ["--cpus", "2"]}
    async with open_lab(tmp_path_factory.mktemp("strange") / "lab", nodes) as lab:
        yield lab


@asynccontextmanager
async def stream(lab: Lab) -> AsyncIterator[JetStreamContext]:
    """JetStream, as somebody's own program sees it."""
    client = await nats.connect(lab.processes.server)
    try:
        yield client.jetstream()
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"type": "teleported", "v": 1}, "unknown type 'teleported'"),
        ({"type": "submitted", "v": 2}, "'submitted' event of version 2"),
    ],
)
async def test_an_event_of_the_future_stops_the_scheduler_and_loses_nothing(
    lab: Lab, event: dict[str, object], told: str
) -> None:
    name = f"lab/{event['type']}"
    gate = lab.folder / f"gate {event['type']}"
    before = {"runs": f"until test -e '{gate}'; do sleep 0.05; done; echo ran", "waits": "echo waited"}
    await lab.add(command_batch(name, before, resources={"cpus": 2}))
    await lab.event("started", batch=name)
    async with stream(lab) as js:
        stored = await js.publish("ev.batch.lab.future.submitted.jane", json.dumps(event).encode())
        assert await lab.processes.ended("scheduler") == 1
        log = lab.processes.log_of("scheduler")
        assert told in log.splitlines()[-1]
        assert f"sequence {stored.seq} of the log" in log.splitlines()[-1]
        assert "upgrade" in log.splitlines()[-1]
        lab.processes.start("scheduler")
        assert await lab.processes.ended("scheduler") == 1
        # What runs goes on meanwhile. What people ask is answered from the log, or not at all.
        gate.touch()
        await lab.event("job_archived", batch=name)
        assert told in (await lab.distribute("status", code=1)).err
        await js.delete_msg("EV", stored.seq)
    lab.processes.start("scheduler")
    await lab.over(name)
    assert {job["state"] for job in (await lab.jobs(name)).values()} == {"succeeded"}


async def test_an_event_that_the_archiver_can_t_read_stops_it_alone(lab: Lab) -> None:
    async with stream(lab) as js:
        lab.processes.end("scheduler", signal.SIGTERM)
        stored = await js.publish("ev.job.lab.b.j.finished.node-x", b'{"type": "finished", "v": 99}')
        assert await lab.processes.ended("archiver") == 1
        last = lab.processes.log_of("archiver").splitlines()[-1]
        assert "'finished' event of version 99" in last
        await js.delete_msg("EV", stored.seq)
    lab.processes.start("scheduler")
    lab.processes.start("archiver")
    await lab.add(command_batch("lab/after", {"job": "true"}))
    await lab.over("lab/after")


async def test_events_that_fit_no_state_are_counted_and_harm_nothing(lab: Lab) -> None:
    await lab.add(command_batch("lab/real", {"job": "echo kept > distribute_save/kept"}))
    await lab.over("lab/real")
    stamp = {"time": datetime.now(UTC), "author": "node"}
    names = {"namespace": "lab", "batch": "real", "node": "node"}
    strange: list[ev.Event] = [
        ev.Claimed(id=new_id(), **stamp, **names, job="nobody's", attempt=1),
        ev.Assigned(id=new_id(), **stamp, **names | {"node": "no such node"}, job="job", attempt=2, cpus=1),
        ev.Finished(id=new_id(), **stamp, **names, job="job", attempt=7, succeeded=False),
        ev.Deleted(id=new_id(), **stamp, namespace="nobody", batch="nothing"),
        ev.Lost(id=new_id(), **stamp, node="no such node", silent_s=1.0),
    ]
    for event in strange:
        last = await lab.cluster.log.last(event.scope)
        await lab.cluster.log.append(event, Guard(last.seq if last is not None else 0))
    # What the archiver makes of a result that nobody waits for does not count either.
    await lab.event("job_archived", batch="lab/real", where=lambda event: event.attempt == 7)
    job = (await lab.jobs("lab/real"))["job"]
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    await lab.add(command_batch("lab/still works", {"job": "true"}))
    await lab.over("lab/still works")
    folder, _ = await lab.pull("lab/real")
    assert (folder / "job" / "kept").read_text() == "kept\n"
    assert "an event did not fit" in lab.processes.log_of("scheduler")
    assert lab.processes.log_of("scheduler").count("there is no such") >= 1


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b"x\x9c damaged"])
async def test_bytes_that_are_no_event(lab: Lab, body: bytes) -> None:
    async with stream(lab) as js:
        stored = await js.publish("ev.batch.lab.garbage.submitted.jane", body)
        assert await lab.processes.ended("scheduler") == 1
        assert f"sequence {stored.seq} of the log" in lab.processes.log_of("scheduler").splitlines()[-1]
        await js.delete_msg("EV", stored.seq)
    lab.processes.start("scheduler")
    await lab.ask("status")
