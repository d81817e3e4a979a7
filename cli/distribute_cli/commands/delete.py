"""`distribute delete BATCH`: deletes its results and its entry, so that its name is free again."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE, BatchArgument, ForceOption
from distribute_cli.verbs import verb


async def delete(
    session: Session,
    batch: BatchArgument = DEFAULT_FILE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    force: ForceOption = False,
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="Say what would be lost, but delete nothing.")
    ] = False,
) -> None:
    """Delete a batch: its results in the archive, and its entry. A running batch is killed first."""
    from distribute.client.control import delete as delete_batch
    from distribute.client.saying import refuse_anothers
    from distribute.client.seen import standing_of
    from distribute.client.targets import find_batch
    from distribute.client.words import printable
    from distribute_cli.output.losses import agree, everything, whose

    person = session.person
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_batch(queries, batch)
        seen, standing = await standing_of(cluster, queries, found)
        refuse_anothers(found, standing["user"], person, "delete", force=force)
        name, lost = printable(str(found)), everything(standing["jobs"])
        document = {"user": standing["user"], "jobs": standing["jobs"]}
        if dry:
            line = f"{whose(standing, person.name)} would be deleted for good: {lost}"
            session.output.done(line, {"would_delete": str(found), **document})
            return
        question = f"Delete {whose(standing, person.name)} for good: {lost}?"
        await agree(question, f"{name} was not deleted", yes=yes)
        await delete_batch(cluster, person, found, seen=seen, force=force)
    session.output.done(f"{name} is deleted", {"deleted": str(found), **document})


app = verb(delete)
