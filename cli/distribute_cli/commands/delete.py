"""`distribute delete BATCH`: removes its results and its entry; its name is free again."""

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
    """Delete a batch: its results in the archive, and its entry. One that still runs is killed first."""
    from distribute.core.errors import Refused
    from distribute_cli.asking import answer_to
    from distribute_cli.output import printable
    from distribute_cli.reads import Reads
    from distribute_cli.requests import delete_batch
    from distribute_cli.targets import find_batch

    async with session.cluster() as cluster:
        reads = Reads(cluster, session.output)
        found = await find_batch(reads, batch)
        jobs = (await reads.batch(found, most=0))["jobs"]
        name = printable(str(found))
        question = f"Delete {name} and the results of its {jobs['total']} jobs for good? [y/N]"
        if not yes and (await answer_to(question)).lower() not in {"y", "yes"}:
            raise Refused(f"{name} was not deleted: answer y, or give --yes")
        await delete_batch(cluster, found)
    session.output.done(f"{name} is deleted", {"deleted": str(found)})


app = verb(delete)
