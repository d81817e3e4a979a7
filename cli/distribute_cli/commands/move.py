"""`distribute move JOB`: has a job's node give it back, to run elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.completing import complete_target
from distribute_cli.session import Session
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.client.moving import Moving
    from distribute.core.ids import JobId


async def move(
    session: Session,
    target: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="[NAMESPACE/]BATCH/JOB, or last/JOB.", autocompletion=complete_target
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Also if it is another person's job.")] = False,
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="Say what would be moved, but move nothing.")
    ] = False,
) -> None:
    """Have a running job given back: it ends there, and runs again, on another node if one can take it.

    What it has left and printed by then is archived. It counts as no failure.
    """
    from distribute.client.moving import move as move_job
    from distribute.client.targets import find_job
    from distribute.client.words import argument, printable

    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        job = await find_job(queries, target)
        moving = await move_job(cluster, queries, session.person, job, force=force, dry=dry)
    document = {
        "moving": str(job),
        "user": moving.user,
        "node": moving.node,
        "attempt": moving.attempt,
        "moved_by": moving.moved_by or session.person.name,
        "held_by": moving.held_by,
        "dry": dry,
    }
    session.output.done(_line(job, moving, session.person.name, dry=dry), document)
    if not moving.others:
        session.output.warn(
            f"no other node that is here can take it, so it may run on {printable(moving.node)} again"
        )
    if moving.held_by is not None:
        batch, holder = argument(str(job.batch_id)), printable(moving.held_by)
        session.output.warn(
            f"{holder} holds its batch: it then waits until somebody releases that, "
            f"with `distribute release {batch}`"
        )
    if not dry:
        session.output.hint(f"`distribute status {argument(str(job))}` shows where it runs next")


def _line(job: JobId, moving: Moving, person: str, *, dry: bool) -> str:
    """What is moved, in words."""
    from distribute.client.words import printable

    name = printable(str(job))
    if moving.user != person:
        name = f"{name} of {printable(moving.user)}"
    if moving.moved_by is not None:
        return f"{name} is being moved already, by {printable(moving.moved_by)}"
    return f"{name} {'would be' if dry else 'is being'} moved away from {printable(moving.node)}"


app = verb(move)
