"""`distribute add [FILE]`: submits a batch."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb


async def add(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The batch's YAML file.")] = Path(DEFAULT_FILE),
    dry: Annotated[bool, typer.Option("--dry", "-d", help="Check everything, but submit nothing.")] = False,
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
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when the batch is over, as `watch` does.")
    ] = False,
    priority: Annotated[
        int | None,
        typer.Option(
            min=-100, max=100, metavar="P", help="The priority, instead of the file's. Higher runs first."
        ),
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Submit even if no node could run it.")] = False,
) -> int:
    """Submit a batch: check it, store its inputs, and submit it, whole or not at all."""
    from distribute.client.submit import submit
    from distribute.client.words import argument, printable
    from distribute.config.loading import load
    from distribute.core.words import counted
    from distribute_cli.output.course import hint_results, runs_on, told_if_interrupted, watch_to_end
    from distribute_cli.output.plain_output import NoBar
    from distribute_cli.output.submitted import agree_to_replace, check_batch

    loaded = load(file)
    spec = loaded.spec if priority is None else loaded.spec.model_copy(update={"priority": priority})
    output = session.output
    async with session.cluster(named="now") as cluster:
        queries = session.queries(cluster)
        if show_caps:
            output.capabilities(await queries.nodes())
        document = await check_batch(cluster, queries, output, spec, replace=replace, anyway=anyway)
        if replace:
            document |= await agree_to_replace(
                cluster, queries, output, session.person, spec.id, yes=yes, force=force, dry=dry
            )
        name, jobs = printable(str(spec.id)), counted(len(spec.work.jobs), "job")
        if dry:
            output.done(f"{name} would be submitted: {jobs}", document)
            return 0
        with output.bar("sending inputs", of_bytes=True) if loaded.sources else nullcontext(NoBar()) as bar:
            await submit(
                cluster,
                session.person,
                spec,
                loaded.sources,
                replace=replace,
                force=force,
                on_bytes=bar.update,
            )
        if wait:
            with told_if_interrupted(output, runs_on(spec.id)):
                code = await watch_to_end(cluster, queries, output, spec.id)
            hint_results(output, spec.id)
            return code
        output.done(f"{name} is submitted: {jobs}", document)
        output.hint(f"`distribute watch {argument(str(spec.id))}` shows its progress")
        return 0


app = verb(add)
