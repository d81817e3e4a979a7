"""`distribute kill BATCH|JOB`: stops a batch or a job."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import ForceOption, TargetArgument
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument
    from distribute.core.ids import BatchId, JobId


class Waiting(StrEnum):
    """What `--state` takes."""

    QUEUED = "queued"


async def kill(
    session: Session,
    target: TargetArgument,
    state: Annotated[
        Waiting | None, typer.Option("--state", help="Kill only the jobs that wait; those that run go on.")
    ] = None,
    force: ForceOption = False,
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="Say what would be killed, but kill nothing.")
    ] = False,
) -> None:
    """Stop a batch, or one job of it: end the running jobs and drop the waiting ones.

    What running jobs have left and printed by then is kept, for `pull` and `logs`.
    """
    from distribute.client.control import kill as kill_target
    from distribute.client.targets import find_target
    from distribute.core.ids import JobId

    person, only_queued = session.person, state is not None
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_target(queries, target)
        batch = await queries.batch(found.batch_id if isinstance(found, JobId) else found, most=0)
        killed_by = await kill_target(
            cluster, queries, person, found, only_queued=only_queued, force=force, dry=dry
        )
    line = _line(found, batch, person.name, only_queued=only_queued, dry=dry, killed_by=killed_by)
    document = {
        "killing": str(found),
        "user": batch["user"],
        "jobs": batch["jobs"],
        "state": state,
        "killed_by": killed_by or person.name,
        "dry": dry,
    }
    session.output.done(line, document)
    if not dry:
        session.output.hint(_hint(found, only_queued=only_queued))


def _line(
    target: BatchId | JobId,
    batch: BatchDocument,
    person: str,
    *,
    only_queued: bool,
    dry: bool,
    killed_by: str | None,
) -> str:
    """What is killed, in words."""
    from distribute.client.words import printable
    from distribute.core.ids import JobId
    from distribute.core.words import counted
    from distribute_cli.output.losses import run_on, running_and_waiting, unfinished, whose

    is_job = isinstance(target, JobId)
    name = printable(str(target)) if is_job else whose(batch, person)
    if killed_by is not None:
        return f"{name} is being killed already, by {printable(killed_by)}"
    if only_queued and not is_job:
        running, waiting = running_and_waiting(batch["jobs"])
        are = "would be" if dry else "is" if waiting == 1 else "are"
        return f"{counted(waiting, 'waiting job')} of {name} {are} killed{run_on(running)}"
    how = "would be killed" if dry else "is being killed"
    return f"{name} {how}" if is_job else f"{name} {how}: {unfinished(batch['jobs'])}"


def _hint(target: BatchId | JobId, *, only_queued: bool) -> str:
    from distribute.client.words import argument
    from distribute.core.ids import JobId

    if isinstance(target, JobId):
        return f"`distribute status {argument(str(target.batch_id))}` shows when it is over"
    kept = "" if only_queued else "; what its jobs leave is kept"
    return f"`distribute wait {argument(str(target))}` returns when it is over{kept}"


app = verb(kill)
