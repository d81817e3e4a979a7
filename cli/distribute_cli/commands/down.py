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
            help="Data folder of the cluster to end. [default: that of `up` without --dir]",
        ),
    ] = None,
) -> None:
    """End the cluster that `up` runs on this computer, and its running jobs. Its data stays.

    It waits until the results of jobs that have ended are stored. A second `down` does not wait.
    """
    from distribute.client.words import argument
    from distribute.config.folders import embedded_cluster_file
    from distribute_cli.local.cluster_record import end, record_in

    place = embedded_cluster_file() if directory is None else record_in(directory.absolute())
    record = await end(place, session.output.hint)
    session.output.done(f"the cluster in {record.dir} has ended", record.document)
    session.output.hint(f"its data stays; `distribute up --dir {argument(record.dir)}` continues")


app = verb(down, needs_cluster=False)
