"""`distribute down`: ends the cluster that `up` runs on this computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def down(
    session: Session,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="D",
            help="Data folder of the cluster to end. [default: that of the one that runs]",
        ),
    ] = None,
    keep_jobs: Annotated[
        bool,
        typer.Option(
            "--keep-jobs", help="Let running jobs run on; the next `up` takes them up. It begins builds anew."
        ),
    ] = False,
) -> None:
    """End the cluster that `up` runs on this computer, and its running jobs. Its data stays.

    If several run, it asks which. It waits until the results of jobs that have ended are stored. A second
    `down` does not wait.
    """
    from distribute_cli.local import ending
    from distribute_cli.local.cluster_record import start_command
    from distribute_cli.output.asking import answer_to

    if directory is not None:
        record = ending.cluster_in(directory.absolute())
    else:
        record, *others = records = ending.clusters_of_up()
        if others:
            chosen = ending.chosen(records, await answer_to(ending.question(records)))
            record = ending.cluster_in(Path(chosen.dir))  # it may have ended while the question stood
    await ending.end(record, session.output.hint, keep_jobs=keep_jobs)
    session.output.done(f"the cluster in {record.dir} has ended", record.document)
    command = record.command or start_command(record.verb, Path(record.dir))
    session.output.hint(f"its data stays; `{command}` continues")


app = verb(down, needs_cluster=False)
