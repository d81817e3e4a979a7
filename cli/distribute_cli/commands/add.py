"""`distribute add [FILE]`: submits a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb


async def add(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The batch's YAML file.")] = Path(DEFAULT_FILE),
    dry: Annotated[bool, typer.Option("--dry", "-d", help="Check everything, submit nothing.")] = False,
    show_caps: Annotated[
        bool, typer.Option("--show-caps", "-s", help="Show what each node can do, too.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Kill and delete the batch that has this name now.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it is over, as `watch` does.")] = False,
    priority: Annotated[
        int | None,
        typer.Option(min=-100, max=100, metavar="P", help="In place of the file's; higher is first."),
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Submit even what no node could run.")] = False,
) -> int:
    """Submit a batch: check it, store its inputs, and hand it in, whole or not at all."""
    from distribute.config.loading import load
    from distribute_cli.ending import hint_results, watch_through
    from distribute_cli.output import argument, printable
    from distribute_cli.reads import Reads
    from distribute_cli.submitting import check, hand_in

    loaded = load(file)
    spec = loaded.spec if priority is None else loaded.spec.model_copy(update={"priority": priority})
    output = session.output
    async with session.cluster() as cluster:
        reads = Reads(cluster, output)
        if show_caps:
            output.capabilities(await reads.nodes())
        document = await check(cluster, reads, output, spec, replace=replace, anyway=anyway)
        name = printable(str(spec.id))
        if dry:
            output.done(f"{name} would be submitted: {len(spec.work.jobs)} jobs", document)
            return 0
        await hand_in(cluster, output, spec, loaded.sources, replace=replace)
        if wait:
            code = await watch_through(cluster, reads, output, spec.id)
            hint_results(output, spec.id)
            return code
        output.done(f"{name} is submitted: {len(spec.work.jobs)} jobs", document)
        output.hint(f"`distribute watch {argument(str(spec.id))}` shows its progress")
        return 0


app = verb(add)
