"""`distribute delete BATCH`: deletes its results and its entry, so that its name is free again."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE, BatchArgument
from distribute_cli.verbs import verb


async def delete(
    session: Session,
    batch: BatchArgument = DEFAULT_FILE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a batch: its results in the archive, and its entry. A running batch is killed first."""
    from distribute.client.control import delete as delete_batch
    from distribute.client.words import printable
    from distribute.core.errors import Refused
    from distribute.core.words import counted
    from distribute_cli.output.asking import answer_to
    from distribute_cli.targets import find_batch

    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_batch(queries, batch)
        jobs = (await queries.batch(found, most=0))["jobs"]
        name = printable(str(found))
        question = f"Delete {name} and the results of its {counted(jobs['total'], 'job')} for good? [y/N]"
        if not yes and (await answer_to(question)).lower() not in {"y", "yes"}:
            raise Refused(f"{name} was not deleted: answer y, or give --yes")
        await delete_batch(cluster, session.person, found)
    session.output.done(f"{name} is deleted", {"deleted": str(found)})


app = verb(delete)
