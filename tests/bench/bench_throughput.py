"""Jobs per second: one batch of 5,000 `/bin/true` on 16 slots, from submission until it is archived.

The broker syncs every event to the disk before it acknowledges it. The floors, measured right before and
after, are `xargs` with as many processes, and a file that is synced after each record of an event's size.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import tempfile
import time
from statistics import fmean
from typing import NamedTuple

from .figure import Figure, Floor
from .running_lab import KEEPER, cpu_s, event_of, pids_of, running_lab, submit

JOBS = 5000
WARM_UP_JOBS = 200
SLOTS = 16
TARGET = 1200
JOB = "/bin/true"
RECORD_BYTES = 400
SYNCING_S = 1.0


class Floors(NamedTuple):
    """The rates of this machine without a scheduler: jobs/s, CPU seconds per job, synced records/s."""

    jobs_a_second: float
    cpu_s_a_job: float
    syncs_a_second: float


def run() -> list[Figure]:
    """Measure the floors, the cluster, and the floors again."""
    before = _floors()
    seconds, events, cpu_s_a_job = asyncio.run(_run_batch())
    floors = Floors(*map(fmean, zip(before, _floors(), strict=True)))
    rate = JOBS / seconds
    xargs, syncs = Floor(f"xargs -P {SLOTS}", floors.jobs_a_second), Floor("fsyncs", floors.syncs_a_second)
    own = Floor("xargs and the jobs", 1e6 * floors.cpu_s_a_job)
    return [
        Figure("jobs", rate, "jobs/s", TARGET, xargs),
        Figure("events, synced to the disk", events / seconds, "events/s", None, syncs),
        Figure("processor time a job, all together", 1e6 * sum(cpu_s_a_job.values()), "µs", None, own),
        Figure("events a job", events / JOBS, "events"),
        *(
            Figure(f"processor time a job: {name}", 1e6 * each, "µs")
            for name, each in sorted(cpu_s_a_job.items())
        ),
    ]


async def _run_batch() -> tuple[float, int, dict[str, float]]:
    """Run the batch. Returns its seconds, its number of events, and the CPU seconds per job of each process.

    Those of the keeper include its jobs.
    """
    async with running_lab(cpus=SLOTS) as (processes, cluster):
        warm_up = await submit(cluster, "warm-up", [(JOB,)] * WARM_UP_JOBS)
        await event_of(cluster, "batch_archived", after=warm_up)
        used = {name: cpu_s(pid) for name, pid in pids_of(processes).items()}
        since = time.perf_counter()
        submitted = await submit(cluster, "measured", [(JOB,)] * JOBS)
        await event_of(cluster, "batch_archived", after=submitted)
        seconds = time.perf_counter() - since
        events = await cluster.log.last_seq() - submitted + 1
        more = {name: (cpu_s(pid) - used[name]) / JOBS for name, pid in pids_of(processes).items()}
    more[f"{KEEPER}, jobs included"] = more.pop(KEEPER)
    return seconds, events, more


def _floors() -> Floors:
    used_before = _cpu_of_children_s()
    since = time.perf_counter()
    names = "\n".join(map(str, range(JOBS)))
    subprocess.run(["xargs", "-P", str(SLOTS), "-n", "1", JOB], input=names, text=True, check=True)
    seconds = time.perf_counter() - since
    return Floors(JOBS / seconds, (_cpu_of_children_s() - used_before) / JOBS, _syncs_a_second())


def _cpu_of_children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _syncs_a_second() -> float:
    record = os.urandom(RECORD_BYTES)
    count = 0
    with tempfile.TemporaryFile(buffering=0) as file:
        since = time.perf_counter()
        while (seconds := time.perf_counter() - since) < SYNCING_S:
            file.write(record)
            os.fsync(file.fileno())
            count += 1
    return count / seconds
