"""Seconds that `history` takes in a log of a million events: of one job, and of batches of three sizes.

Half of the events are those of one batch of 100,000 jobs. A scheduler answers queries. Each history runs in a
process of its own. The floor is the time to read the events of the largest batch as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from distribute.client.history import History, batch_history, job_history
from distribute.core.ids import BatchId, JobId
from distribute.core.log.recorded import Recorded
from distribute.core.projections.bursts import Bursts
from distribute.core.spec.specs import BatchSpec
from distribute.nats.cluster import Cluster
from distribute.nats.stream.subjects import filters
from distribute.ports import Only

from .acting import Acts, figures_of
from .figure import Figure
from .streams import Writer, nodes, run_of_a_batch, sweep

LARGE, MIDDLE, SMALL = 100_000, 10_000, 1000
SMALL_BATCHES = 90
TARGET_S = 0.5


def _batches() -> Iterator[BatchSpec]:
    yield sweep(0, LARGE)
    yield sweep(1, MIDDLE)
    for number in range(SMALL_BATCHES):
        yield sweep(2 + number, SMALL)


LARGEST, TENTH, LAST = sweep(0, 1).id, sweep(1, 1).id, sweep(1 + SMALL_BATCHES, 1).id


def run() -> list[Figure]:
    """Fill a broker, and tell histories."""
    return figures_of(ACTS, _events(), f"read {LARGE} jobs' as bytes", filters(Only(batch=LARGEST)))


def _events() -> Iterator[Recorded]:
    writer = Writer()
    yield from nodes(writer)
    for spec in _batches():
        yield from run_of_a_batch(writer, spec)


async def of_job(batch: BatchId, job: str, cluster: Cluster) -> None:
    """As `distribute history JOB` does."""
    if len(await _told(job_history(cluster, JobId(*batch, job)))) != 8:
        raise AssertionError("a job has five events here, and its batch three")


async def of_batch(batch: BatchId, jobs: int, cluster: Cluster) -> None:
    """As `distribute history BATCH` does."""
    bursts, events = Bursts(), 0
    async for told in batch_history(cluster, batch):
        events += sum(line.events for line in bursts.take(told))
    if events + sum(line.events for line in bursts.rest()) != 5 * jobs + 3:
        raise AssertionError("some events are not told")


async def _told(history: History) -> list[str]:
    return [told.sentence async for told in history if told.misfit is None]


ACTS: Acts = (
    ("of a job, one of 1,000", TARGET_S, partial(of_job, LAST, f"s{1 + SMALL_BATCHES}-re00500")),
    ("of a job, one of 100,000", TARGET_S, partial(of_job, LARGEST, "s0-re50000")),
    ("of a batch of 1,000", None, partial(of_batch, LAST, SMALL)),
    ("of a batch of 10,000", None, partial(of_batch, TENTH, MIDDLE)),
    ("of a batch of 100,000", None, partial(of_batch, LARGEST, LARGE)),
)
