"""A node pauses by itself on its owner's terms, and gives jobs back after a long pause."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from distribute.core.ids import JobId
from distribute.core.log import events as ev
from distribute.host import Pause, Presence
from distribute.testing import builders as make
from distribute_services.node_runner.owner import stepping_aside
from distribute_services.node_runner.owner.own_pauses import Cause, Terms
from unit.services.runner_host import WITHIN_S, ModelHost, running_node

IN_USE = Terms(pause_when_active_s=900)
SPEC = make.batch(1)
JOB = JobId(*SPEC.id, "job1")
HERE, AWAY = Presence(0.0, ("terminals",)), Presence(3600.0, ("terminals",))


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepping_aside, "LOOKS_EVERY_S", 0.01)


async def test_a_node_pauses_as_soon_as_its_computer_is_used() -> None:
    async with running_node(terms=IN_USE) as node:
        node.host.used_by = HERE
        paused = await node.event("paused")
        assert (paused.reason, paused.by) == (Cause.USE.value, None)
        assert timedelta(seconds=890) < paused.until - paused.time <= timedelta(seconds=900)
        assert node.host.paused is not None


async def test_a_node_that_somebody_resumed_stays_so_when_its_runner_is_started_again(tmp_path: Path) -> None:
    host, note = ModelHost(), tmp_path / "overruled"
    host.used_by = HERE

    @contextlib.asynccontextmanager
    async def stepping() -> AsyncIterator[None]:
        task = asyncio.create_task(
            stepping_aside.SteppingAside(host, IN_USE, clock=time.time, note=note).watch()
        )
        async with asyncio.timeout(WITHIN_S):
            yield
        task.cancel()
        await asyncio.wait({task})

    async with stepping():
        await host.pause_changed(None)
        await looked(host, times=2)
        host.change_pause(None)
        while not note.exists():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
    async with stepping():
        await looked(host, times=3)
    assert host.paused is None


async def looked(host: ModelHost, times: int) -> None:
    """Wait until the node has looked so often who uses its computer."""
    asked, seen = asyncio.Event(), 0

    async def presence() -> Presence:
        nonlocal seen
        seen += 1
        if seen > times:
            asked.set()
        return HERE

    host.presence = presence
    await asked.wait()


async def test_a_node_whose_owner_has_no_terms_does_not_look(caplog: pytest.LogCaptureFixture) -> None:
    host = ModelHost()
    host.breaks["presence"] = RuntimeError("nobody asks this")
    async with running_node(host) as node:
        await node.gets(SPEC, "job1")
        await node.runs("job1")
    assert "nobody asks" not in caplog.text


async def test_a_fault_of_a_source_is_logged_once_and_the_node_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    host = ModelHost()
    host.used_by = AWAY
    host.breaks["presence"] = OSError("no /proc here")
    async with running_node(host, terms=IN_USE) as node:
        await node.gets(SPEC, "job1")
        await node.runs("job1")
        async with asyncio.timeout(WITHIN_S):
            while "no /proc here" not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.01)
        del host.breaks["presence"]
        host.used_by = HERE
        await node.event("paused")
    assert caplog.text.count("no /proc here") == 1
    assert "this node pauses by itself again" in caplog.text


async def test_after_a_long_pause_a_job_is_ended_and_given_back() -> None:
    async with running_node(vacate_after_s=0.05) as node:
        await node.gets(SPEC, "job1")
        await node.runs("job1")
        node.host.change_pause(Pause(time.time() + 600, "jane", "a talk"))
        yielded = await node.of_job("yielded", "job1")
        assert isinstance(yielded, ev.Yielded)
        assert yielded.reason == "its node was paused for 0.05s: a talk"
        assert node.host.collected == [str(JOB)]
        assert node.host.running["job1"].is_thawed, "it has its grace period"
        assert node.host.disowned == [str(JOB)], "no later runner takes it up as failed"


async def test_after_a_long_pause_a_build_is_ended() -> None:
    async with running_node(vacate_after_s=0.05) as node:
        await node.gets(make.batch(build="make"), "job1")
        await node.event("build_started")
        node.host.change_pause(Pause(time.time() + 600, "jane", "a talk"))
        finished = await node.event("build_finished")
        assert isinstance(finished, ev.BuildFinished)
        assert (finished.killed, finished.reason) == (True, "its node was paused for 0.05s: a talk")
        assert node.host.running["build"].is_ending


async def test_pauses_without_a_gap_count_together() -> None:
    async with running_node(vacate_after_s=0.2) as node:
        await node.gets(SPEC, "job1")
        await node.runs("job1")
        giving_back = asyncio.create_task(node.of_job("yielded", "job1"))
        for second in itertools.count(1):  # if each pause counted by itself, none would ever be long enough
            node.host.change_pause(Pause(time.time() + second, "jane"))
            await asyncio.wait({giving_back}, timeout=0.01)
            if giving_back.done():
                break
        await giving_back


async def test_after_a_short_pause_a_job_goes_on() -> None:
    async with running_node(vacate_after_s=30) as node:
        await node.gets(SPEC, "job1")
        await node.runs("job1")
        node.host.change_pause(Pause(time.time() + 600, "jane"))
        await node.event("paused")
        node.host.change_pause(None)
        await node.event("resumed")
        node.host.end("job1")
        assert (await node.of_job("finished", "job1")).succeeded


async def test_without_vacate_after_a_paused_job_stays() -> None:
    async with running_node() as node:
        await node.gets(SPEC, "job1")
        await node.runs("job1")
        node.host.change_pause(Pause(time.time() + 600, "jane"))
        await node.event("paused")
        assert not node.host.running["job1"].is_ending
        node.host.change_pause(None)
        node.host.end("job1")
        assert (await node.of_job("finished", "job1")).succeeded
