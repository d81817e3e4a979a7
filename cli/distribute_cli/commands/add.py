"""`distribute add [FILE]`: submits a batch."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.dirty import DirtyOption
from distribute_cli.session import Session
from distribute_cli.submitting.options import AnywayOption, DryOption, ListOption, WaitOption
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.config.loading import LoadedBatch
    from distribute.core.specs import BatchSpec
    from distribute.ports import Cluster


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
    from distribute.client.waiting import with_after
    from distribute.client.words import argument, printable
    from distribute.core.errors import InputError
    from distribute.core.words import counted
    from distribute_cli.loading import load_batch
    from distribute_cli.output.course import hint_results, runs_on, told_if_interrupted, watch_to_end
    from distribute_cli.output.planned import listed
    from distribute_cli.output.submitted import agree_to_replace, check_batch

    if list_jobs and not dry:
        raise InputError("--list shows what would be submitted: add --dry")
    loaded = load_batch(session.output, file, dirty=dirty)
    spec = loaded.spec if priority is None else loaded.spec.model_copy(update={"priority": priority})
    output = session.output
    for warning in loaded.warnings:
        output.warn(warning)
    planned = listed(output, spec) if list_jobs else {}
    async with session.cluster(named="now") as cluster:
        queries = session.queries(cluster)
        if show_caps:
            output.capabilities(await queries.nodes())
        spec = await with_after(cluster, queries, session.person, spec, loaded.file.meta.after)
        document = await check_batch(cluster, queries, output, spec, replace=replace, anyway=anyway)
        if replace:
            document |= await agree_to_replace(
                cluster, queries, output, session.person, spec.id, yes=yes, force=force, dry=dry
            )
        name, jobs = printable(str(spec.id)), counted(len(spec.work.jobs), "job")
        if dry:
            output.done(f"{name} would be submitted: {jobs}", document | planned)
            return 0
        await _send(session, cluster, loaded, spec, replace=replace, force=force)
        if wait:
            with told_if_interrupted(output, runs_on(spec.id)):
                code = await watch_to_end(cluster, queries, output, spec.id)
            hint_results(output, spec.id)
            return code
        output.done(f"{name} is submitted: {jobs}", document)
        output.hint(f"`distribute watch {argument(str(spec.id))}` shows its progress")
        return 0


async def _send(
    session: Session, cluster: Cluster, loaded: LoadedBatch, spec: BatchSpec, *, replace: bool, force: bool
) -> None:
    """Store the inputs, and submit."""
    from distribute.client.submit import submit
    from distribute_cli.output.plain_output import NoBar

    sending = session.output.bar("sending inputs", of_bytes=True) if loaded.sources else nullcontext(NoBar())
    with sending as bar:
        await submit(
            cluster,
            session.person,
            spec,
            loaded.sources,
            replace=replace,
            force=force,
            on_bytes=bar.update,
        )


app = verb(add)
