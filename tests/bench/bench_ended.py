"""Seconds that a person's verbs take on a batch of 100,000 jobs that is over.

The batch has five events a job. A scheduler answers queries. Each verb runs in a process of its own. The
floor is the time to read all events as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from distribute.client.build_logs import read_builds
from distribute.client.control import delete
from distribute.client.follow import follow_to_end
from distribute.client.logs import job_output
from distribute.client.person import Person
from distribute.client.pull.filters import Filter
from distribute.client.pull.listing import list_results
from distribute.core.ids import JobId
from distribute.core.log.recorded import Recorded
from distribute.nats.cluster import Cluster
from distribute.nats.stream.subjects import ALL_EVENTS
from distribute.runtime import new_id

from .acting import Acts, figures_of
from .figure import Figure
from .streams import Writer, nodes, run_of_a_batch, sweep

JOBS = 100_000
TARGET_S = 1.0
BATCH = sweep(0, 1).id


def run() -> list[Figure]:
    """Fill a broker, and run the verbs."""
    return figures_of(ACTS, _events(), "read as bytes", [ALL_EVENTS])


def _events() -> Iterator[Recorded]:
    writer = Writer()
    yield from nodes(writer)
    yield from run_of_a_batch(writer, sweep(0, JOBS))


async def wait(cluster: Cluster) -> None:
    """As `distribute wait` does."""
    if not (await follow_to_end(cluster, BATCH))["archived"]:
        raise AssertionError("the batch is not archived")


async def logs(cluster: Cluster) -> None:
    """As `distribute logs` does, up to the reading of the output."""
    if (await job_output(cluster, JobId(*BATCH, f"s0-re{JOBS // 2:05}"))).attempt != 1:
        raise AssertionError("not the job's only attempt")


async def build_logs(cluster: Cluster) -> None:
    """As `distribute logs --build` does. The batch has no builds."""
    if (await read_builds(cluster, BATCH)).ended:
        raise AssertionError("a build that nobody ran")


async def pull_dry(cluster: Cluster) -> None:
    """As `distribute pull --dry` does."""
    if len((await list_results(cluster, BATCH, Filter())).files) != 2 * JOBS:
        raise AssertionError("not every file is listed")


async def delete_it(cluster: Cluster) -> None:
    """As `distribute delete` does."""
    await delete(cluster, Person("me", new_id, lambda: datetime.now(UTC)), BATCH, force=True)


ACTS: Acts = (
    ("wait", TARGET_S, wait),
    ("logs of a job", TARGET_S, logs),
    ("logs of its builds", TARGET_S, build_logs),
    ("pull --dry", None, pull_dry),
    ("delete", TARGET_S, delete_it),
)
