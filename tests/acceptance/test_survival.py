"""Every service and the broker are killed in turn while jobs run, and each job counts exactly once.

`DISTRIBUTE_SURVIVAL_JOBS` sets the number of jobs; the project promises this for 10,000.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from acceptance.lab import job_folders
from acceptance.processes import Processes
from distribute.core.checking.invariants import check
from distribute.core.folding.fold import apply
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.state.state import State, Status
from distribute.nats.cluster import Cluster, open_cluster
from distribute.ports import Only

JOBS = int(os.environ.get("DISTRIBUTE_SURVIVAL_JOBS", "400"))
NODES = {"left": ["--cpus", "4"], "right": ["--cpus", "4"]}
BATCH = BatchId("lab", "survivors")


def write_batch(path: Path) -> None:
    jobs = "\n".join(
        f'    - {{name: j{number}, command: "echo {number} >distribute_save/number.txt; echo told {number}"}}'
        for number in range(JOBS)
    )
    path.write_text(
        "meta: {namespace: lab, batch_name: survivors, resources: {cpus: 1}}\n"
        f"command:\n  jobs:\n{jobs}\n"
    )


def distribute(server: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "distribute_cli", *arguments, "--server", server],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


async def finished_jobs(cluster: Cluster, wanted: int) -> int:
    """Follow the log until `wanted` jobs have finished. Returns the sequence of the last."""
    count = 0
    only = Only(types=frozenset({"finished"}), batch=BATCH)
    async for records in cluster.log.follow(after=0, only=only):
        count += len(records)
        if count >= wanted:
            return records[-1].seq
    raise AssertionError("following ended by itself")


async def test_every_job_counts_once_whatever_process_is_killed(tmp_path: Path) -> None:
    write_batch(tmp_path / "jobs.yaml")
    async with (
        Processes(tmp_path, NODES) as processes,
        open_cluster(processes.broker.address, "test") as cluster,
    ):
        added = distribute(processes.server, "add", str(tmp_path / "jobs.yaml"), "--anyway")
        assert added.returncode == 0, added.stderr
        for step, victim in enumerate(("scheduler", "archiver", "left", "broker"), start=1):
            await finished_jobs(cluster, JOBS * step // 6)
            if victim == "broker":
                await processes.broker.stop(kill=True)
                await processes.broker.start()
            else:
                assert processes.end(victim, signal.SIGKILL) == -signal.SIGKILL
                processes.start(victim)
        waited = distribute(processes.server, "wait", str(BATCH))
        assert waited.returncode == 0, waited.stdout + waited.stderr
        pulled = distribute(processes.server, "pull", str(BATCH), "--save-dir", str(tmp_path / "results"))
        assert pulled.returncode == 0, pulled.stdout + pulled.stderr
        await assert_each_counted_once(cluster)
    results = tmp_path / "results" / "survivors"
    assert {path.name for path in job_folders(results)} == {f"j{number}" for number in range(JOBS)}
    for number in range(JOBS):
        folder = results / f"j{number}"
        assert {path.name for path in folder.iterdir()} == {"number.txt", "stdout.txt"}
        assert (folder / "number.txt").read_text() == f"{number}\n"
        assert (folder / "stdout.txt").read_text() == f"told {number}\n"


async def assert_each_counted_once(cluster: Cluster) -> None:
    state = State()
    accepted: Counter[str] = Counter()
    archived: Counter[str] = Counter()
    joined: Counter[str] = Counter()
    async for records in cluster.log.follow(after=0, until=await cluster.log.last_seq()):
        for recorded in records:
            apply(state, recorded)
            match recorded.event:
                case ev.Finished(succeeded=True, job=job):
                    accepted[job] += 1
                case ev.JobArchived(job=job):
                    archived[job] += 1
                case ev.Joined(node=node):
                    joined[node] += 1
                case _:
                    pass
    check(state)
    assert joined == {"left": 2, "right": 1}, "the node that was killed came back, the other never went"
    assert state.misfits == 0, state.last_misfit
    batch = state.batches[BATCH]
    assert batch.counts[Status.SUCCEEDED] == JOBS
    assert accepted == archived == Counter({f"j{number}": 1 for number in range(JOBS)})
