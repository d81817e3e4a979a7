"""What the people of the simulated world may want of a batch."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from distribute.client.editing import Changes
from distribute.client.retrying import Outcome
from distribute.core.ids import BatchId, JobId
from distribute.core.state.state import BatchState, Status


class Wish(NamedTuple):
    """What a person wants of a batch, whatever the verb takes of that."""

    batch: BatchId
    job: JobId
    priority: int
    only: Outcome | None
    unhappy: list[str]
    """Jobs that have failed or were killed: half of them."""
    with_node: JobId
    """A job that a node has, if there is one."""
    changes: Changes
    some: list[str]
    """The jobs to change: all that wait if there are none."""


def wish_for(random: Random, batch: BatchState) -> Wish:
    """What a person may want of a batch."""
    unhappy = [
        name for name, row in batch.rows.items() if batch.status[row] in {Status.FAILED, Status.KILLED}
    ]
    return Wish(
        batch.id,
        JobId(*batch.id, random.choice(batch.names)),
        random.randint(-9, 9),
        random.choice((None, "failed", "killed")),
        random.sample(unhappy, (len(unhappy) + 1) // 2),
        *_changes(Random(batch.under_seq), batch),
    )


def _changes(random: Random, batch: BatchState) -> tuple[JobId, Changes, list[str]]:
    """A job that a person may move, and what they may want changed: of the batch, or of some of its jobs."""
    moved = batch.job_id(random.choice(sorted(batch.active) or [0]))
    some = random.sample(batch.names, random.randint(1, len(batch.names))) if random.random() < 0.4 else []
    of_jobs = Changes(
        cpus=random.choice((None, 1, 2)),
        timeout_s=random.choice((None, 0.0, 1e6)),
        retries=random.choice((None, 0, 2)),
    )
    if some:
        return moved, of_jobs, some
    limits = {"max_running": random.choice((None, 0, 1, 2)), "max_failures": random.choice((None, 0, 1, 3))}
    return moved, of_jobs._replace(**limits), []
