"""`distribute release BATCH`: jobs of a held batch begin again."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import BatchArgument, ForceOption
from distribute_cli.verbs import verb


async def release(
    session: Session,
    batch: BatchArgument,
    force: ForceOption = False,
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="Say what could begin, but release nothing.")
    ] = False,
) -> None:
    """Let jobs of a held batch begin again, whoever holds it."""
    from distribute.client.holding import release as release_batch
    from distribute.client.targets import find_batch
    from distribute.client.words import printable
    from distribute.core.words import counted
    from distribute_cli.output.losses import whose

    person = session.person
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_batch(queries, batch)
        standing = await queries.batch(found, most=0)
        held_by = await release_batch(cluster, person, found, force=force, dry=dry)
    waiting = counted(standing["jobs"]["queued"], "waiting job")
    by = "" if held_by == person.name else f", held by {printable(held_by)},"
    are = "would be" if dry else "is"
    document = {
        "releasing": str(found),
        "user": standing["user"],
        "jobs": standing["jobs"],
        "held_by": held_by,
        "dry": dry,
    }
    session.output.done(f"{whose(standing, person.name)}{by} {are} released: {waiting}", document)


app = verb(release)
