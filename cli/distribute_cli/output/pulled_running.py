"""What `pull --running` prints: what it fetched of jobs that run, and what it could not fetch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from distribute.client.pull.fetching import Pulled
from distribute.client.pull.running import Fetched
from distribute.client.pull.running_pull import Running, fetch_running, list_running_jobs
from distribute.client.pull.target_folder import shown
from distribute.client.words import printable
from distribute.config.sections.units import format_size
from distribute.core.ids import JobId
from distribute.core.words import counted
from distribute_cli.filter_words import pull_command
from distribute_cli.output.local_files import local_document, local_warnings, named
from distribute_cli.output.results import MOST_LINES
from distribute_cli.output.running_files import moment

if TYPE_CHECKING:
    from distribute.client.queries import Queries
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output
    from distribute_cli.output.pulled import Choice


async def pull_running(
    cluster: Cluster,
    queries: Queries,
    output: Output,
    target: BatchId | JobId,
    choice: Choice,
    *,
    dry: bool = False,
) -> int:
    """Fetch what jobs have now that run, or list it (`dry`), and say what was done.

    Returns:
        The exit code: 1 if something was not fetched, or the filter matches nothing.

    Raises:
        Refused: there is no such batch or job, no job runs, or the folder is another batch's.
        InputError: a pattern is neither a regular expression nor a piece of any path.
        StorageFull, InputError: the folder has no room, or can't be made.
    """
    batch = target.batch_id if isinstance(target, JobId) else target
    running = await list_running_jobs(cluster, queries, target, choice.wanted, choice.place.base)
    pulled, fetched = Pulled(), Fetched()
    if not dry and running.matches:
        with output.bar(f"fetching from {printable(str(target))}", of_bytes=True) as bar:
            pulled, fetched = await fetch_running(
                cluster,
                queries,
                running,
                choice.place.folder,
                bar.update,
                edited=choice.edited,
                folders=choice.folders,
            )
    problems = [*running.problems, *_problems(running), *pulled.problems]
    document = _document(running, batch) | {"problems": problems}
    if dry:
        output.files(document)
    else:
        _tell_what_came(output, document, pulled, fetched, choice, batch)
    for line in (*_warnings(running, fetched, problems), *local_warnings(batch, pulled, choice.again)):
        output.warn(line)
    if not running.matches:
        count = counted(sum(len(one.filtered) for one in running.listings), "file")
        output.warn(f"no file of {printable(str(target))} matches, of {count} that are there now")
    is_whole = not problems and len(pulled.edited) == len(pulled.beside) and running.matches
    return 0 if is_whole else 1


def _tell_what_came(
    output: Output,
    document: dict[str, Any],
    pulled: Pulled,
    fetched: Fetched,
    choice: Choice,
    batch: BatchId,
) -> None:
    folder = choice.place.path
    came = {
        "folder": str(folder),
        "fetched": pulled.fetched,
        "kept": pulled.kept,
        "size_bytes": pulled.size_bytes,
        "changed": [shown(parts) for parts in fetched.changed],
        "gone": [shown(parts) for parts in fetched.gone],
        **local_document(pulled),
    }
    kept = f"; {pulled.kept} more are as before" if pulled.kept else ""
    files, size = counted(pulled.fetched, "file"), format_size(pulled.size_bytes)
    output.done(f"fetched {files} ({size}) as of now into {printable(str(folder))}{kept}", document | came)
    output.hint(
        f"these are no results yet: `{pull_command(str(batch))}` replaces them when the jobs are over"
    )


def _problems(running: Running) -> Iterator[str]:
    for listing in running.listings:
        yield from listing.problems


def _document(running: Running, batch: BatchId) -> dict[str, Any]:
    files = [
        {"path": shown(file.parts), "size_bytes": file.size_bytes, "mtime": moment(file.mtime_ns)}
        for listing in running.listings
        for file in listing.files
    ]
    links = [link for listing in running.listings for link in listing.links]
    return {
        "namespace": batch.namespace,
        "batch": batch.batch,
        "running": [
            {"job": visit.job.job, "attempt": visit.attempt, "node": visit.node} for visit, _ in running.jobs
        ],
        "files": files,
        "links": [{"path": shown(parts), "target": target} for parts, target in links],
        "filtered": [shown(parts) for listing in running.listings for parts in listing.filtered],
        "left_out": [line for listing in running.listings for line in listing.left_out],
    }


def _warnings(running: Running, fetched: Fetched, problems: list[str]) -> Iterator[str]:
    left_out = [line for listing in running.listings for line in listing.left_out]
    for lines in (left_out, problems):
        yield from map(printable, lines[:MOST_LINES])
        if (more := len(lines) - MOST_LINES) > 0:
            yield f"and {counted(more, 'more line')} like these: --json has all"
    if fetched.changed:
        yield f"written to meanwhile, so parts may be older than others: {named(fetched.changed)}"
    if fetched.gone:
        yield f"removed by the job meanwhile: {named(fetched.gone)}"
