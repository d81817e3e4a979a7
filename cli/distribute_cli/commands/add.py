"""`distribute add [FILE]`: submits a batch."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distribute_cli.dirty import DirtyOption
from distribute_cli.session import Session
from distribute_cli.submitting.options import AnywayOption, DryOption, ListOption, WaitOption
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.client.queries import Queries
    from distribute.client.replacing import Replacement
    from distribute.client.seen import Seen
    from distribute.config.loading import LoadedBatch
    from distribute.core.ids import BatchId
    from distribute.core.spec.specs import BatchSpec
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output


async def add(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The batch's YAML file.")] = Path(DEFAULT_FILE),
    dry: DryOption = False,
    list_jobs: ListOption = False,
    show_caps: Annotated[
        bool, typer.Option("--show-caps", "-s", help="Also show what each node can do.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="First kill and delete the batch that has this name.")
    ] = False,
    keep_succeeded: Annotated[
        bool,
        typer.Option("--keep-succeeded", help="With --replace: run only changed, failed and new jobs."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --replace: don't ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --replace: also if it is another person's batch.")
    ] = False,
    wait: WaitOption = False,
    priority: Annotated[
        int | None,
        typer.Option(
            min=-100, max=100, metavar="P", help="The priority, instead of the file's. Higher runs first."
        ),
    ] = None,
    anyway: AnywayOption = False,
    dirty: DirtyOption = False,
) -> int:
    """Submit a batch: check it, store its inputs, and submit it, whole or not at all."""
    from distribute.client.replacing import Replacement
    from distribute.client.waiting import with_after
    from distribute.client.words import argument, printable
    from distribute_cli.output.planned import listed
    from distribute_cli.output.replaced import agree_to_keep
    from distribute_cli.output.submitted import agree_to_replace, check_batch

    _check_options(dry=dry, list_jobs=list_jobs, replace=replace, keep_succeeded=keep_succeeded)
    output = session.output
    loaded = _load(output, file, dirty=dirty)
    spec = loaded.spec if priority is None else loaded.spec.model_copy(update={"priority": priority})
    planned = listed(output, spec) if list_jobs and not keep_succeeded else {}
    async with session.cluster(named="now") as cluster:
        queries = session.queries(cluster)
        if show_caps:
            output.capabilities(await queries.nodes())
        spec = await with_after(cluster, queries, session.person, spec, loaded.file.meta.after)
        document = await check_batch(cluster, queries, output, spec, replace=replace, anyway=anyway)
        seen: Seen | None = None
        replacement = Replacement(cluster, queries, session.person, spec) if keep_succeeded else None
        if replacement is not None:
            document |= await agree_to_keep(
                queries, output, session.person, spec, await replacement.compare(force=force),
                list_jobs=list_jobs, yes=yes, dry=dry,
            )  # fmt: skip
        elif replace:
            seen, replaced = await agree_to_replace(
                cluster, queries, output, session.person, spec.id, yes=yes, force=force, dry=dry
            )
            document |= replaced
        name = printable(str(spec.id))
        if dry:
            output.done(f"{name} would be {_done(spec, replacement)}", document | planned)
            return 0
        document |= await _send(session, cluster, loaded, spec, replacement, seen, force=force)
        if wait:
            return await _watch(output, cluster, queries, spec.id)
        output.done(f"{name} is {_done(spec, replacement)}", document)
        output.hint(f"`distribute watch {argument(str(spec.id))}` shows its progress")
        return 0


def _load(output: Output, file: Path, *, dirty: bool) -> LoadedBatch:
    """Read the file, and say what looks wrong."""
    from distribute_cli.loading import load_batch

    loaded = load_batch(output, file, dirty=dirty)
    for warning in loaded.warnings:
        output.warn(warning)
    return loaded


async def _watch(output: Output, cluster: Cluster, queries: Queries, batch: BatchId) -> int:
    """Show the batch's progress to its end. Returns the exit code."""
    from distribute_cli.output.course import hint_results, runs_on, told_if_interrupted, watch_to_end

    with told_if_interrupted(output, runs_on(batch)):
        code = await watch_to_end(cluster, queries, output, batch)
    hint_results(output, batch)
    return code


def _check_options(*, dry: bool, list_jobs: bool, replace: bool, keep_succeeded: bool) -> None:
    """Raise `InputError` if an option lacks the one that it goes with."""
    from distribute.core.errors import InputError

    if list_jobs and not dry:
        raise InputError("--list shows what would be submitted: add --dry")
    if keep_succeeded and not replace:
        raise InputError("--keep-succeeded keeps jobs of the batch that is replaced: add --replace")


def _done(spec: BatchSpec, replacement: Replacement | None) -> str:
    """What is done: `submitted: 12 jobs`, or `replaced: 9 jobs are kept, 3 run again`."""
    from distribute.core.words import counted
    from distribute_cli.output.replaced import told

    if replacement is None or replacement.compared is None:
        return f"submitted: {counted(len(spec.work.jobs), 'job')}"
    return f"replaced: {told(replacement.compared)}"


async def _send(
    session: Session,
    cluster: Cluster,
    loaded: LoadedBatch,
    spec: BatchSpec,
    replacement: Replacement | None,
    seen: Seen | None,
    *,
    force: bool,
) -> dict[str, Any]:
    """Store the inputs, and submit. Returns how many jobs were kept in the end, as the JSON of `add`.

    `seen`: how the batch stood that is replaced without keeping jobs. None: none is.
    """
    from distribute.client.submit import submit
    from distribute_cli.output.plain_output import NoBar
    from distribute_cli.output.replaced import counts, told_if_held

    sending = session.output.bar("sending inputs", of_bytes=True) if loaded.sources else nullcontext(NoBar())
    with sending as bar:
        if replacement is not None:
            with told_if_held(session.output, spec.id, replacement):
                return counts(await replacement.submit(loaded.sources, force=force, on_bytes=bar.update))
        await submit(
            cluster,
            session.person,
            spec,
            loaded.sources,
            replace=seen is not None,
            seen=seen,
            force=force,
            on_bytes=bar.update,
        )
        return {}


app = verb(add)
