"""Jobs outlive their node-runner: it is killed, told to end, or upgraded, and the next one takes them up."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from acceptance.lab import PATIENCE_S, Lab, batch_id, command_batch, open_lab
from distribute.core.checking.invariants import check
from distribute.core.folding.fold import apply
from distribute.core.log.recorded import LATE_S
from distribute.core.state.state import State
from distribute.ports import Only
from distribute.runtime import KEEP_JOBS

KILLS = int(os.environ.get("DISTRIBUTE_KILLS", "50"))
JOBS = 50
LONGEST_S = 1.0
"""A runner lives for so long after it has started or joined, at most."""


@pytest.mark.slow
async def test_no_job_is_lost_or_run_twice_whenever_the_runner_is_killed(tmp_path: Path) -> None:
    """One job lasts until the last kill, so that each runner has one to take up, however slow it is."""
    chance = random.Random(50)
    ran, gate = tmp_path / "ran", tmp_path / "gate"
    async with open_lab(tmp_path / "lab", {"ws1": ["--cpus", "8"]}) as lab:
        until_the_end = f"until test -e {gate}; do sleep 0.1; done"
        lasting = [until_the_end, *(f"sleep {chance.uniform(0, 20):.2f}" for _ in range(JOBS - 1))]
        jobs = {
            f"job{number}": f"echo $DISTRIBUTE_JOB >> {ran}; echo begins; {lasts}; "
            "(setsid sleep 0.1 &); echo ends; echo $DISTRIBUTE_JOB > distribute_save/name"
            for number, lasts in enumerate(lasting)
        }
        await lab.add(command_batch("lab/b", jobs))
        before = 0
        for life in range(KILLS):
            if life % 3:  # the others may be killed while they start
                await lab.event("joined", node="ws1", after=before)
            before = await lab.cluster.log.last_seq()
            await asyncio.sleep(chance.uniform(0, LONGEST_S))
            assert lab.processes.end("ws1", signal.SIGKILL) == -signal.SIGKILL
            lab.processes.start("ws1")
        gate.touch()
        await lab.over("lab/b")
        await assert_each_ran_once(lab, ran)
        assert await lives_that_took_jobs_up(lab) > KILLS / 5
        folder, _ = await lab.pull("lab/b")
        for job in jobs:
            assert (folder / job / "name").read_text() == f"{job}\n"
            assert (folder / job / "stdout.txt").read_text() == "begins\nends\n"


async def lives_that_took_jobs_up(lab: Lab) -> int:
    count = 0
    joins = Only(types=frozenset({"joined"}))
    async for records in lab.cluster.log.follow(after=0, only=joins, until=await lab.cluster.log.last_seq()):
        count += sum(bool(recorded.event.keeps) for recorded in records)
    return count


async def assert_each_ran_once(lab: Lab, ran: Path) -> None:
    assert Counter(ran.read_text().split()) == Counter({f"job{number}": 1 for number in range(JOBS)})
    found = await lab.jobs("lab/b")
    assert {job["state"] for job in found.values()} == {"succeeded"}
    state = State()
    async for records in lab.cluster.log.follow(after=0, until=await lab.cluster.log.last_seq()):
        for recorded in records:
            apply(state, recorded)
    check(state)
    assert (state.misfits, len(state.batches[batch_id("lab/b")].outcomes.node)) == (0, JOBS)


async def test_a_job_that_ends_while_no_runner_lives_is_reported_as_it_ended(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    jobs = {
        "fails": f"echo out; until test -e '{gate}'; do sleep 0.1; done; exit 7",
        "times-out": {"command": "sleep 1000", "timeout": "5s"},
        "goes-on": "while [ ! -e go ]; do sleep 0.1; done",
    }
    async with open_lab(tmp_path / "lab", {"ws1": ["--cpus", "4", "--grace-s", "0.5"]}) as lab:
        submitted_at = time.time()
        await lab.add(command_batch("lab/b", jobs))
        for job in jobs:
            await lab.event("started", batch="lab/b", where=lambda event, job=job: event.job == job)
        lab.processes.end("ws1", signal.SIGKILL)
        killed_at = time.time()
        gate.touch()
        async with asyncio.timeout(PATIENCE_S):
            while len(list((lab.folder / "ws1" / "work").glob("*/exit.json"))) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # the keeper has no runner to tell
        over_at = time.time()
        await asyncio.sleep(LATE_S)
        lab.processes.start("ws1")
        for job in ("fails", "times-out"):
            await lab.event("finished", batch="lab/b", where=lambda event, job=job: event.job == job)
        found = await lab.jobs("lab/b")
        assert (found["fails"]["exit_code"], found["goes-on"]["state"]) == (7, "running")
        assert found["times-out"]["reason"] == "ran for longer than its timeout of 5 s"
        assert found["times-out"]["wall_s"] >= 5
        for job in ("fails", "times-out"):
            (finished,) = [e for e in await lab.events("finished", batch="lab/b") if e.job == job]
            assert killed_at <= finished.ended_at.timestamp() <= over_at
            assert finished.wall_s < over_at - submitted_at
            assert found[job]["finished_at"] < finished.time.isoformat()
        await lab.distribute("kill", "lab/b/goes-on")
        await lab.over("lab/b")
        said = await lab.distribute("logs", "lab/b/fails")
        assert said.out == "out\n"


async def test_a_runner_that_is_told_to_keep_its_jobs_starts_none_anew(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with open_lab(tmp_path / "lab", {"ws1": ["--cpus", "2"]}) as lab:
        job = f"cat made; until test -e '{gate}'; do sleep 0.05; done; cat made"
        batch = command_batch("lab/b", {"job1": job})
        batch["command"]["initialize"] = {"build": "echo built > made"}
        await lab.add(batch)
        await lab.event("started", batch="lab/b")
        assert lab.processes.end("ws1", KEEP_JOBS) == 0
        leaving = await lab.event("leaving", node="ws1")
        assert [attempt.job for attempt in leaving.event.keeps] == ["job1"]
        lab.processes.start("ws1")
        joined = await lab.event("joined", node="ws1", after=leaving.seq)
        assert [attempt.job for attempt in joined.event.keeps] == ["job1"]
        await lab.add(command_batch("lab/other", {"job2": "true"}))
        await lab.over("lab/other")
        gate.touch()
        await lab.over("lab/b")
        kinds = [event.type for event in await lab.events(
            "assigned", "claimed", "started", "finished", "released", "build_started", batch="lab/b"
        )]  # fmt: skip
        assert kinds == ["assigned", "claimed", "build_started", "started", "finished"]
        assert (await lab.distribute("logs", "lab/b/job1")).out == "built\nbuilt\n"


async def test_a_job_that_was_given_away_meanwhile_is_ended(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1"], "ws2": ["--cpus", "1"]}, lost_s=4.0) as lab:
        await lab.add(command_batch("lab/b", {"job1": "sleep 1000"}))
        node = (await lab.event("started", batch="lab/b")).event.node
        lab.processes.end(node, signal.SIGKILL)
        released = await lab.event("released", batch="lab/b")
        assert (released.event.node, released.event.reason) == (node, "node_lost")
        assert lab.job_processes(node), "it runs on, unseen"
        lab.processes.start(node)
        await lab.node_is_idle(node)
        await lab.distribute("kill", "lab/b")
        await lab.over("lab/b")


@pytest.mark.parametrize("is_paused", [False, True])
async def test_jobs_whose_runner_does_not_come_back_are_ended(tmp_path: Path, is_paused: bool) -> None:
    job = "setsid sleep 1000 & test $DISTRIBUTE_ATTEMPT -gt 1 || sleep 1000"
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1", "--max-unseen-s", "5"]}) as lab:
        await lab.add(command_batch("lab/b", {"job1": job}))
        await lab.event("started", batch="lab/b")
        if is_paused:
            await lab.distribute("pause", "--node", "ws1", "--duration", "1h", "--detach")
            await lab.event("paused", node="ws1")
        lab.processes.end("ws1", signal.SIGKILL)
        assert lab.job_processes("ws1"), "the keeper holds them"
        await lab.node_is_idle("ws1")
        lab.processes.start("ws1")
        if is_paused:
            await lab.distribute("resume", "--node", "ws1")
        await lab.over("lab/b")
        (found,) = (await lab.jobs("lab/b")).values()
        assert (found["state"], found["attempt"]) == ("succeeded", 2)


@pytest.mark.slow
async def test_jobs_go_on_however_long_their_new_runner_finds_no_head(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1", "--max-unseen-s", "15"]}) as lab:
        await lab.add(command_batch("lab/b", {"job1": "until test -e go; do sleep 0.1; done"}))
        await lab.event("started", batch="lab/b")
        (go,) = [path.parent / "go" for path in (tmp_path / "ws1" / "work").glob("*/job/input")]
        await lab.processes.broker.stop(kill=True)
        lab.processes.end("ws1", signal.SIGKILL)
        lab.processes.start("ws1")
        await asyncio.sleep(20)
        await lab.processes.broker.start()
        go.touch()
        await lab.over("lab/b")
        (found,) = (await lab.jobs("lab/b")).values()
        assert (found["state"], found["attempt"]) == ("succeeded", 1)
