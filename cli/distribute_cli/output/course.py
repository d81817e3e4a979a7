"""What `watch`, `wait` and `add --wait` print: how far a batch is, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from distribute.client.follow import follow_to_end
from distribute.client.words import argument, printable
from distribute.core.errors import Refused
from distribute.core.ids import BatchId
from distribute.core.words import counted
from distribute_cli.output.builds import building_since
from distribute_cli.output.words import MOST_FAILURES, named

SHOW_AGAIN_S = 1.0

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument, JobDocument
    from distribute.client.queries import Queries
    from distribute.ports import Cluster
    from distribute_cli.output.form import Bar, Output


async def watch_to_end(cluster: Cluster, queries: Queries, output: Output, batch: BatchId) -> int:
    """Show a batch's progress until it is over, and say how it ended. Returns the exit code."""
    with progress_of(output, batch) as progress:
        ended = await follow_to_end(cluster, batch, on_figures=progress.show)
    return await tell_end(cluster, queries, output, batch, ended)


async def tell_end(
    cluster: Cluster, queries: Queries, output: Output, batch: BatchId, ended: BatchDocument
) -> int:
    """Say how a batch ended, and name the first jobs and builds that failed. Returns the exit code."""
    failed = await _first_failures(queries, batch) if ended["jobs"]["failed"] else []
    output.done(end_line(batch, ended, failed), {**ended, "failed_jobs": failed})
    if failed or ended["build_failed"]:
        from distribute_cli.output.failures import failure_lines

        for line in failure_lines(ended, failed):
            output.hint(line)
    return 0 if ended["state"] == "completed" else 1


def end_line(batch: BatchId, ended: BatchDocument, failed: Sequence[JobDocument]) -> str:
    """How a batch ended. `failed` are the first jobs that failed."""
    why = f" ({printable(ended['reason'])})" if ended["reason"] else ""
    by = f" by {printable(ended['killed_by'])}" if ended["state"] == "killed" and ended["killed_by"] else ""
    return f"{printable(str(batch))} {ended['state']}{by}: {_figures(ended, failed)}{why}"


async def _first_failures(queries: Queries, batch: BatchId) -> list[JobDocument]:
    """The first jobs that failed, as far as the scheduler has read; none if the batch is deleted by now."""
    try:
        found = (await queries.batch(batch, most=MOST_FAILURES))["job_list"]  # failed jobs come first
    except Refused:
        return []
    return [job for job in found if job["state"] == "failed"]


def _figures(ended: BatchDocument, failed: Sequence[JobDocument]) -> str:
    """`4 of 4 jobs succeeded`, or `2 of 9 jobs failed, 1 killed: first a (exit 1 on ws07)`."""
    jobs = ended["jobs"]
    if not jobs["failed"] and not jobs["killed"]:
        return f"{jobs['succeeded']} of {counted(jobs['total'], 'job')} succeeded"
    counts = [(jobs["failed"], "failed"), (jobs["killed"], "killed")]
    (first, state), *more = [(count, state) for count, state in counts if count]
    text = f"{first} of {counted(jobs['total'], 'job')} {state}"
    text += "".join(f", {count} {other}" for count, other in more)
    if not failed:
        return text
    return f"{text}: {'' if jobs['failed'] == 1 else 'first '}{named(failed[0], ended)}"


def hint_results(output: Output, batch: BatchId) -> None:
    """Tell a person what to do with a batch that is over."""
    name = argument(str(batch))
    output.hint(f"`distribute pull {name}` brings its results; `distribute status {name}` lists its jobs")


@contextmanager
def told_if_interrupted(output: Output, line: str) -> Iterator[None]:
    """Print a line if Ctrl-C ends what the block does."""
    try:
        yield
    except asyncio.CancelledError:
        output.hint(line)
        raise


def runs_on(batch: BatchId) -> str:
    """What to tell a person who no longer waits for a batch."""
    name = argument(str(batch))
    return (
        f"{printable(str(batch))} runs on: `distribute watch {name}` shows it again, "
        f"`distribute kill {name}` ends it"
    )


@contextmanager
def progress_of(output: Output, batch: BatchId) -> Iterator[Progress]:
    """Show a bar of a batch's progress while the context lasts."""
    with output.bar(printable(str(batch))) as bar:
        progress = Progress(bar)
        again = asyncio.create_task(progress.show_again())
        try:
            yield progress
        finally:
            again.cancel()


class Progress:
    """Shows how far a batch is."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._last: BatchDocument | None = None

    def show(self, standing: BatchDocument) -> None:
        self._last = standing
        _show(standing, self._bar)

    async def show_again(self) -> None:
        """Show it again now and then: nothing happens to a batch while a build or its last job runs."""
        while True:
            await asyncio.sleep(SHOW_AGAIN_S)
            if self._last is not None:
                self.show(self._last)


def _show(standing: BatchDocument, bar: Bar) -> None:
    jobs = standing["jobs"]
    over = jobs["succeeded"] + jobs["failed"] + jobs["killed"]
    counts = (
        ("running", jobs["running"]),
        ("queued", jobs["queued"]),
        ("failed", jobs["failed"]),
        ("killed", jobs["killed"]),
    )
    notes = [building_since(standing)] if standing["building"] else []
    notes += [f"{count} {state}" for state, count in counts if count]
    notes += [f"being killed by {printable(standing['killed_by'])}"] if standing["killed_by"] else []
    notes += [f"held by {printable(by)}"] if (by := standing.get("held_by")) else []
    age = datetime.now(UTC) - datetime.fromisoformat(standing["submitted_at"])
    bar.update(over, jobs["total"], ", ".join(notes), age.total_seconds())
