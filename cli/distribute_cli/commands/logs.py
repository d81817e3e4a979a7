"""`distribute logs JOB`: shows what it printed; with a batch, what its builds printed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distribute_cli.completing import complete_target
from distribute_cli.session import Session
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.client.documents import JobDocument
    from distribute.client.output_text import Text
    from distribute.client.queries import Queries
    from distribute.core.ids import BatchId, JobId
    from distribute.ports import Cluster
    from distribute_cli.output.form import JobText, Output


async def logs(
    session: Session,
    target: Annotated[
        str,
        typer.Argument(
            metavar="JOB|BATCH",
            help="[NAMESPACE/]BATCH/JOB; or a batch, for the output of its builds.",
            autocompletion=complete_target,
        ),
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on while the job, or the batch, runs.")
    ] = False,
    attempt: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Which attempt. [default: the last]")
    ] = None,
) -> None:
    """Show what a job printed, live or archived; of a batch, what its builds printed.

    --follow goes on until the job is over; of a batch, it follows every build until the batch is over.
    With --json, the text is in logs[].output, and is printed when it is complete.
    """
    from distribute.client.targets import find_target
    from distribute.core.ids import BatchId

    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_target(queries, target)
        if isinstance(found, BatchId):
            await _show_builds(cluster, session.output, found, follow=follow)
        else:
            await _show_job(cluster, queries, session.output, found, attempt, follow=follow)


async def _show_builds(cluster: Cluster, output: Output, batch: BatchId, *, follow: bool) -> None:
    from distribute.client.build_logs import build_output, build_output_so_far, read_builds
    from distribute.client.words import argument, printable
    from distribute.core.errors import Refused
    from distribute_cli.output.builds import how_built, running_text

    builds = await read_builds(cluster, batch)
    name = printable(str(batch))
    if not builds.has_build:
        job = argument(f"{batch}/JOB")
        raise Refused(f"{name} has no build; `distribute logs {job}` shows a job's output")
    if follow:
        await _follow_builds(cluster, output, batch)
        if output.is_live:
            return
        builds = await read_builds(cluster, batch)
    elif not builds.ended and not builds.running:
        raise Refused(f"{name} was not built on any node yet; -f waits for that")
    with output.job_text(batch._asdict()) as text:
        for node, build in sorted(builds.ended.items()):
            whose = {
                "node": node,
                "succeeded": build.succeeded,
                "reason": build.reason,
                "kept_from": build.kept_from if build.type == "build_finished" else None,
            }
            text.begin(whose, f"{node} ({how_built(build)})")
            await _write(text, build_output(cluster, build))
        for node in sorted(builds.running):
            text.begin({"node": node, "succeeded": None, "reason": None}, f"{node} (being built)")
            await _write(text, await build_output_so_far(cluster, batch, node))
    if builds.running:
        output.hint(f"{name} is {running_text(builds.running)}; -f follows it")


async def _follow_builds(cluster: Cluster, output: Output, batch: BatchId) -> None:
    """Show what builds print until the batch is over. For JSON, which is one document, only wait."""
    from distribute.client.build_logs import Ended, Printed, follow_builds
    from distribute.client.follow import follow_to_end
    from distribute_cli.output.builds import how_built

    if not output.is_live:
        await follow_to_end(cluster, batch)
        return
    with output.job_text(batch._asdict()) as text:
        shown = ""

        def take(news: Printed | Ended) -> None:
            nonlocal shown
            if isinstance(news, Printed):
                if shown != news.node:
                    text.begin({"node": news.node}, news.node)
                    shown = news.node
                text.write(news.piece)
                return
            shown = ""
            text.begin({"node": news.node}, f"{news.node} ({how_built(news.build)})")

        await follow_builds(cluster, batch, take)


async def _write(text: JobText, pieces: Text) -> int:
    """Write the pieces. Returns how many bytes they had."""
    length = 0
    async with aclosing(pieces) as coming:
        async for piece in coming:
            text.write(piece)
            length += len(piece)
    return length


async def _show_job(
    cluster: Cluster, queries: Queries, output: Output, job: JobId, attempt: int | None, *, follow: bool
) -> None:
    from distribute.client.logs import job_output
    from distribute.client.outside import outside_of, told_of_outside
    from distribute.client.words import printable
    from distribute_cli.output.words import NOT_BEGUN

    printed = await job_output(cluster, job, attempt, follow=follow)
    if follow and attempt is None and printed.finished() is None:
        _hint_silence(output, job, await _standing(queries, job), NOT_BEGUN)
    with output.job_text({"namespace": job.namespace, "batch": job.batch}) as text:
        whose: dict[str, Any] = {"job": job.job, "attempt": printed.attempt, "outside": None}
        text.begin(whose)
        length = await _write(text, printed.pieces)
        finished = printed.finished()
        outside = whose["outside"] = outside_of(finished)
        found = await _standing(queries, job)
        killed = found if _is_killed(found, printed.attempt) else None
        whose["killed_by"] = killed["killed_by"] if killed is not None else None
    if not follow and attempt is None and finished is None and killed is None and not length:
        _hint_silence(output, job, found, NOT_BEGUN | {"running", "paused"})
    if outside is not None:
        output.warn(f"{printable(str(job))}: {told_of_outside(outside)}")
    if killed is not None:
        verb = "was" if killed["state"] == "killed" else "is"
        output.hint(f"{printable(str(job))} {verb} {printable(killed['reason'] or 'killed')}")


async def _standing(queries: Queries, job: JobId) -> JobDocument | None:
    """How the job stands. None: its batch is deleted by now."""
    from distribute.core.errors import Refused

    try:
        return await queries.job(job)
    except Refused:
        return None


def _is_killed(found: JobDocument | None, attempt: int) -> bool:
    """Was this attempt of the job killed, or is it being killed?"""
    return found is not None and found["killed_by"] is not None and found["attempt"] == attempt


def _hint_silence(output: Output, job: JobId, found: JobDocument | None, states: frozenset[str]) -> None:
    """If the job is in one of these states, say that this is why there is nothing to read yet.

    Often a job waits for its build.
    """
    from distribute.client.words import argument, printable

    if found is None or found["state"] not in states:
        return
    where = f" on {printable(found['node'])}" if found["node"] is not None else ""
    told = f"{printable(str(job))} has printed nothing yet: it is {found['state']}{where}"
    if found["state"] == "building":
        told += f"; `distribute logs -f {argument(str(job.batch_id))}` shows what the build prints"
    output.hint(told)


app = verb(logs)
