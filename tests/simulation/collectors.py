"""People who bring in batches that ran elsewhere. Who is interrupted begins again, when the world is calm."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

from distribute.client.collect.archive import collect
from distribute.client.collect.run import Built, Ended, Left, Run
from distribute.core.ids import BatchId, JobId
from distribute.core.log.events import RanAt
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, Resources

if TYPE_CHECKING:
    from .people import Visit

ENDED_AT = datetime(2025, 12, 24, 18, tzinfo=UTC)
ENDS: tuple[Literal["succeeded", "failed", "killed"], ...] = ("succeeded", "succeeded", "failed", "killed")
NAMES = ("c1", "c2")


class Elsewhere:
    """What ran elsewhere: a batch of one of a few names, whose jobs left a line of output, or nothing.

    `number` tells its run from others of the name.
    """

    def __init__(self, random: Random, user: str, number: int) -> None:
        self.user = user
        self._number = number
        names = [f"j{n}" for n in range(random.choice((1, 3, 12)))]
        self._ends = [(random.choice(ENDS), random.random() < 0.7) for _ in names]
        build = random.choice((None, "make"))
        self._has_built = random.random() < 0.8
        jobs = tuple(CommandJob(name=name, command="x", resources=Resources(cpus=1)) for name in names)
        self.spec = BatchSpec(
            namespace="lab", batch=random.choice(NAMES), work=CommandWork(build=build, jobs=jobs)
        )

    @property
    def batch(self) -> BatchId:
        """Its name."""
        return self.spec.id

    @property
    def ran_at(self) -> RanAt:
        """What the log knows it by."""
        return RanAt(system="slurm", folder=f"{self._number:064x}")

    def printed(self) -> dict[JobId, bytes]:
        """What each job printed that printed anything."""
        jobs = [JobId(*self.batch, job.name) for job in self.spec.work.jobs]
        return {
            job: f"{job} ran elsewhere, run {self._number}\n".encode()
            for job, (_, has_left) in zip(jobs, self._ends, strict=True)
            if has_left
        }

    def run_in(self, folder: Path) -> Run:
        """The run, with its results in `folder`."""
        printed, ended = self.printed(), []
        for job, (end, _) in zip(self.spec.work.jobs, self._ends, strict=True):
            left = None
            if (text := printed.get(JobId(*self.batch, job.name))) is not None:
                left = Left(folder / job.name)
                left.folder.mkdir()
                left.printed.write_bytes(text)
                os.utime(left.printed, (0, 0))  # else a seed would not replay exactly
            ended.append(Ended(end, "nid001", ENDED_AT, exit_code=0 if end == "succeeded" else 1, left=left))
        return Run(self.spec, self.ran_at, ended, {}, self._built_in(folder))

    def _built_in(self, folder: Path) -> Built | None:
        """How its build ended, with what that printed in `folder`."""
        if not self.spec.needs_build:
            return None
        printed = folder / "build output"
        printed.write_bytes(b"make\n")
        os.utime(printed, (0, 0))
        return Built("nid001", self._has_built, None if self._has_built else "exit code 2", 1.0, printed)


async def bring_in(visit: Visit, elsewhere: Elsewhere) -> None:
    """Collect a batch, or the rest of it."""
    truth = visit.world.truth
    for job, text in elsewhere.printed().items():
        truth.printed.setdefault((job, 1), []).append(text)
    found = await collect(visit.cluster, visit.person, elsewhere.run_in(visit.world.new_folder()))
    total = len(elsewhere.spec.work.jobs)
    truth.happened["a batch is collected at once"] += found.new == total
    truth.happened["a batch is collected in parts"] += 0 < found.new < total
