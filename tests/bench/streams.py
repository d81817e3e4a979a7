"""Streams of events as a lab makes them, in pieces: a million events at once would fill the memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime

from distribute.core.files.manifest import Manifest, Outputs, StoredFile, StoredObject
from distribute.core.ids import ulid
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, Resources

SECOND_OF_START = 1_767_225_600.0
SLOTS = 64
NODES = 16
NODE_CPUS = 4
GIB = 1 << 30


class Writer:
    """Gives events their sequence, time, id and author."""

    def __init__(self) -> None:
        self.seq = 0
        self.random = random.Random(1)

    def stamp(self, author: str) -> dict[str, object]:
        now = SECOND_OF_START + self.seq / 1000
        return {
            "id": ulid(int(now * 1000), self.random.randbytes(10)),
            "time": datetime.fromtimestamp(now, UTC),
            "author": author,
        }

    def record(self, event: Event) -> Recorded:
        self.seq += 1
        return Recorded(self.seq, SECOND_OF_START + self.seq / 1000, event)


def sweep(number: int, jobs: int, **fields: object) -> BatchSpec:
    """The specification of a batch of one-cpu commands."""
    work = CommandWork(
        jobs=tuple(
            CommandJob(name=f"s{number}-re{job:05}", command=("./solver", f"{job}")) for job in range(jobs)
        )
    )
    defaults: dict[str, object] = {
        "namespace": f"group{number % 5}",
        "batch": f"sweep{number}",
        "resources": Resources(cpus=1),
        "work": work,
    }
    return BatchSpec(**defaults | fields)


def nodes(writer: Writer) -> Iterator[Recorded]:
    """Let the lab's nodes join."""
    for number in range(NODES):
        name = node_name(number)
        yield writer.record(
            ev.Joined(
                **writer.stamp(name),
                node=name,
                incarnation=ulid(number, bytes(10)),
                boot_id="1",
                capabilities=frozenset({"python", "gfortran"}),
                cpus=NODE_CPUS,
                memory_bytes=16 * GIB,
                version="1",
            )
        )


def node_name(number: int) -> str:
    return f"ws{number:02}"


def lab(batches: int, jobs: int) -> Iterator[list[Recorded]]:
    """Batches run one after another on `SLOTS` slots, each job's events among those of its neighbours.

    The first piece is the nodes'; then one piece a batch: its submission, five events a job, its end.
    """
    writer = Writer()
    yield list(nodes(writer))
    for number in range(batches):
        yield list(run_of_a_batch(writer, sweep(number, jobs)))


def run_of_a_batch(writer: Writer, spec: BatchSpec) -> Iterator[Recorded]:
    """The events of a batch from its submission to its end, five for each job."""
    user = f"user{writer.random.randrange(8)}"
    yield writer.record(ev.Submitted(**writer.stamp(user), **spec.id._asdict(), user=user, spec=spec))
    names = [job.name for job in spec.work.jobs]
    for first in range(0, len(names), SLOTS):
        wave: list[dict[str, object]] = [
            {**spec.id._asdict(), "job": name, "attempt": 1, "node": node_name(slot % NODES)}
            for slot, name in enumerate(names[first : first + SLOTS])
        ]
        for make in (_assigned, _claimed, _started, _finished, _job_archived):
            for job in wave:
                event = make(writer, job)
                job["causation"] = event.id
                yield writer.record(event)
    yield writer.record(ev.Completed(**writer.stamp(ev.SCHEDULER), **spec.id._asdict(), state="completed"))
    yield writer.record(ev.BatchArchived(**writer.stamp(ev.SCHEDULER), **spec.id._asdict()))


def _assigned(writer: Writer, job: dict[str, object]) -> ev.Assigned:
    return ev.Assigned(**writer.stamp(ev.SCHEDULER), **job, cpus=1)


def _claimed(writer: Writer, job: dict[str, object]) -> ev.Claimed:
    return ev.Claimed(**writer.stamp(str(job["node"])), **job)


def _started(writer: Writer, job: dict[str, object]) -> ev.Started:
    return ev.Started(**writer.stamp(str(job["node"])), **job)


def _job_archived(writer: Writer, job: dict[str, object]) -> ev.JobArchived:
    return ev.JobArchived(**writer.stamp(ev.ARCHIVER), **job)


def _finished(writer: Writer, job: dict[str, object]) -> ev.Finished:
    """A job that leaves what it printed and one file, packed into one object."""
    digest = writer.random.randbytes(32).hex()
    stored = StoredObject(
        name=f"{job['namespace']}/{job['batch']}/{job['job']}/1/0",
        nuid=digest[:22],
        size_bytes=4096,
        chunks=1,
        sha256=digest,
    )
    entries = (
        StoredFile(path="stdout.txt", size_bytes=96, sha256=digest, object=0),
        StoredFile(path="field.csv", size_bytes=4000, sha256=digest, object=0, offset=96),
    )
    return ev.Finished(
        **writer.stamp(str(job["node"])),
        **job,
        succeeded=True,
        exit_code=0,
        wall_s=12.5,
        cpu_s=12.1,
        max_rss_bytes=50_000_000,
        outputs=Outputs(
            inline=Manifest(entries=entries, objects=(stored,)), objects=1, files=2, size_bytes=4096
        ),
    )
