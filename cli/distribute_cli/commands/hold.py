"""`distribute hold BATCH`: no further job of it begins."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import BatchArgument, ForceOption
from distribute_cli.verbs import verb


async def hold(
    session: Session,
    batch: BatchArgument,
    reason: Annotated[str, typer.Option(metavar="R", help="Why. `status` shows it.")] = "",
    force: ForceOption = False,
    dry: Annotated[bool, typer.Option("--dry", "-d", help="Say what would wait, but hold nothing.")] = False,
) -> None:
    """Let no further job of a batch begin until it is released. Jobs that nodes have go on."""
    from distribute.client.holding import hold as hold_batch
    from distribute.client.targets import find_batch
    from distribute.client.words import argument, printable
    from distribute_cli.output.losses import stays_and_waits, whose
    from distribute_cli.values import checked_text

    checked_text("--reason", reason)
    person = session.person
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_batch(queries, batch)
        standing = await queries.batch(found, most=0)
        held_by = await hold_batch(cluster, person, found, reason=reason, force=force, dry=dry)
    name = whose(standing, person.name)
    if held_by is not None:
        line = f"{name} is held already, by {printable(held_by)}"
    else:
        line = f"{name} {'would be' if dry else 'is'} held: {stays_and_waits(standing['jobs'])}"
    document = {
        "holding": str(found),
        "user": standing["user"],
        "jobs": standing["jobs"],
        "reason": reason or None,
        "held_by": held_by or person.name,
        "dry": dry,
    }
    session.output.done(line, document)
    if not dry:
        session.output.hint(f"`distribute release {argument(str(found))}` ends this")


app = verb(hold)
