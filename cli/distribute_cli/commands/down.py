"""`distribute down`: ends the cluster that runs on this computer."""

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
        typer.Option("--dir", metavar="D", help="That of a cluster that was started with --dir D."),
    ] = None,
) -> None:
    """End the cluster that runs on this computer, and its running jobs. What it stores stays.

    Jobs that have ended are waited for until their results are stored; `down` once more does not wait.
    """
    from distribute.config.folders import embedded_cluster_file
    from distribute_cli.here import end, note_in

    place = embedded_cluster_file() if directory is None else note_in(directory.absolute())
    note = await end(place, session.output.hint)
    session.output.done(f"the cluster in {note.dir} has ended", note.model_dump())
    session.output.hint("what it stores stays: `distribute up` goes on with it")


app = verb(down, needs_cluster=False)
