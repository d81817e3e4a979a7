"""The keeper is killed at random moments while jobs run, every second time together with its runner.

It holds the processes of the jobs, so those that run are lost with it. They run again, and never beside what
is left of an earlier attempt. `DISTRIBUTE_KILLS=50` kills it fifty times.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from acceptance.lab import Lab, batch_id, command_batch, open_lab
from distribute.core.checking.invariants import check
from distribute.core.folding.fold import apply
from distribute.core.state.state import State

KILLS = int(os.environ.get("DISTRIBUTE_KILLS", "6"))
CPUS = 4
AFTER_S = 0.5
"""The keeper is killed within so many seconds after a job has ended."""


@pytest.mark.slow
async def test_no_job_is_lost_or_runs_beside_itself_whenever_the_keeper_is_killed(tmp_path: Path) -> None:
    chance = random.Random(50)
    beside = tmp_path / "beside"
    work = (
        # The lock is that of all its processes, also of the daemon, which lives as long as any of them may.
        f"exec 9> {tmp_path}/$DISTRIBUTE_JOB.lock; flock -n 9 || echo $DISTRIBUTE_JOB >> {beside}; "
        f"(setsid sleep 1000 &); sleep %.2f; echo out > distribute_save/out"
    )
    jobs = {f"job{number}": work % chance.uniform(0.02, 0.3) for number in range(15 * KILLS)}
    async with open_lab(
        tmp_path / "lab", {"ws1": ["--cpus", str(CPUS), "--grace-s", "0.5"]}, lost_s=60.0
    ) as lab:
        await lab.add(command_batch("lab/b", jobs))
        seq = 0
        for number in range(KILLS):
            seq = (await lab.event("joined", node="ws1", after=seq)).seq
            for _ in range(CPUS):  # of those that the last kill met, most are over: they run again first
                seq = (await lab.event("finished", batch="lab/b", after=seq)).seq
            await asyncio.sleep(chance.uniform(0, AFTER_S))
            lab.processes.keeper_of("ws1").kill()
            if number % 2:
                lab.processes.end("ws1", signal.SIGKILL)
                lab.processes.start("ws1")
        await lab.over("lab/b")
        assert not beside.exists(), beside.read_text()
        await assert_each_counted_once(lab, jobs)
        lost = [event.reason for event in await lab.events("released", batch="lab/b")]
        assert set(lost) == {"node_restarted"}, "kills met jobs"


async def assert_each_counted_once(lab: Lab, jobs: dict[str, str]) -> None:
    """A job that was lost with the keeper three times has failed, and says why."""
    found = await lab.jobs("lab/b")
    assert found.keys() == jobs.keys()
    failed = [job["reason"] or "" for job in found.values() if job["state"] != "succeeded"]
    assert all("its node went down 3 times while it ran" in reason for reason in failed)
    assert len(failed) <= len(jobs) / 20
    state = State()
    async for records in lab.cluster.log.follow(after=0, until=await lab.cluster.log.last_seq()):
        for recorded in records:
            apply(state, recorded)
    check(state)
    assert (state.misfits, len(state.batches[batch_id("lab/b")].outcomes.node)) == (0, len(jobs))
