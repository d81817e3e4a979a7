"""What `watch`, `wait` and `add --wait` print: how far a batch is, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.follow import follow_to_end
from distribute.client.logs import last_line
from distribute.client.words import argument, printable
from distribute.core.errors import Refused
from distribute.core.ids import BatchId, JobId
from distribute.core.words import counted
from distribute_cli.output.words import NOTHING, exit_text

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument, JobCounts, JobDocument
    from distribute.client.queries import Queries
    from distribute.ports import Cluster
    from distribute_cli.output.form import Bar, Output


async def watch_to_end(cluster: Cluster, queries: Queries, output: Output, batch: BatchId) -> int:
    """Show a batch's progress until it is over, and say how it ended. Returns the exit code."""
    with output.bar(printable(str(batch))) as bar:
        ended = await follow_to_end(cluster, batch, on_figures=lambda standing: _show(standing, bar))
    return await tell_end(cluster, queries, output, batch, ended)


async def tell_end(
    cluster: Cluster, queries: Queries, output: Output, batch: BatchId, ended: BatchDocument
) -> int:
    """Say how a batch ended, with the first job that failed. Returns the exit code."""
    failed = await _first_failure(queries, batch) if ended["jobs"]["failed"] else None
    name = printable(str(batch))
    why = f" ({printable(ended['reason'])})" if ended["reason"] else ""
    output.done(f"{name} {ended['state']}: {_figures(ended['jobs'], failed)}{why}", ended)
    if failed is not None and failed["attempt"]:
        job = JobId(*batch, failed["job"])
        if line := await last_line(cluster, job, failed["attempt"]):
            output.hint(f"its last line: {printable(line)}")
        output.hint(f"`distribute logs {argument(str(job))}` shows all that it printed")
    return 0 if ended["state"] == "completed" else 1


async def _first_failure(queries: Queries, batch: BatchId) -> JobDocument | None:
    """The first job that failed. None: the scheduler has not read of it yet, or the batch is deleted."""
    try:
        found = (await queries.batch(batch, states=["failed"], most=1))["job_list"]
    except Refused:
        return None
    return found[0] if found else None


def _figures(jobs: JobCounts, failed: JobDocument | None) -> str:
    """`4 of 4 jobs succeeded`, or `2 of 9 jobs failed, 1 killed: first a (exit 1 on ws07)`."""
    if not jobs["failed"] and not jobs["killed"]:
        return f"{jobs['succeeded']} of {counted(jobs['total'], 'job')} succeeded"
    counts = [(jobs["failed"], "failed"), (jobs["killed"], "killed")]
    (first, state), *more = [(count, state) for count, state in counts if count]
    text = f"{first} of {counted(jobs['total'], 'job')} {state}"
    text += "".join(f", {count} {other}" for count, other in more)
    if failed is None:
        return text
    return f"{text}: {'' if jobs['failed'] == 1 else 'first '}{printable(failed['job'])}{_how(failed)}"


def _how(job: JobDocument) -> str:
    """` (exit 1 on ws07)`, ` (SIGKILL on ws07)`; nothing for a job that never ran."""
    if job["node"] is None:
        return ""
    how = exit_text(job)
    how = f"exit {how}" if how.isdigit() else "failed" if how == NOTHING else how
    return f" ({how} on {printable(job['node'])})"


def hint_results(output: Output, batch: BatchId) -> None:
    """Tell a person what to do with a batch that is over."""
    name = argument(str(batch))
    output.hint(f"`distribute pull {name}` brings its results; `distribute status {name}` lists its jobs")


def _show(standing: BatchDocument, bar: Bar) -> None:
    jobs = standing["jobs"]
    over = jobs["succeeded"] + jobs["failed"] + jobs["killed"]
    counts = (
        ("running", jobs["running"]),
        ("queued", jobs["queued"]),
        ("failed", jobs["failed"]),
        ("killed", jobs["killed"]),
    )
    bar.update(over, jobs["total"], ", ".join(f"{count} {state}" for state, count in counts if count))
