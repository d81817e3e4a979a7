"""`distribute status [BATCH|JOB]`: batches and their counts; with one, its jobs; with a job, all of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from distribute_cli.nodes_file import NodesFileOption, warn_of_nodes_file
from distribute_cli.session import Session, user_name
from distribute_cli.shown_batch import show_batch
from distribute_cli.targets import ShownArgument
from distribute_cli.verbs import verb

BATCH_STATES = frozenset({"queued", "building", "running", "completed", "failed", "killed"})


class State(StrEnum):
    """The states of batches and jobs that `status` shows."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    BUILDING = "building"
    RUNNING = "running"
    PAUSED = "paused"
    RETRYING = "retrying"
    COMPLETED = "completed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"


JOB_STATES = frozenset(one.value for one in State) - {"completed"}


async def status(
    session: Session,
    batch: ShownArgument = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="List all jobs of the batch.")] = False,
    state: Annotated[
        list[State] | None,
        typer.Option("--state", help="List only what is in this state: batches, or jobs (may be repeated)."),
    ] = None,
    mine: Annotated[bool, typer.Option("--mine", help="List only the batches that you submitted.")] = False,
    user: Annotated[
        str | None, typer.Option(metavar="U", help="List only the batches that user U submitted.")
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="List only the N batches that were submitted last.")
    ] = None,
    nodes_file: NodesFileOption = None,
) -> None:
    """Show the batches and their counts; with a batch, its jobs; with a job, everything about it.

    Of a batch of more than 100 jobs, the table lists 100: first those that failed, then those that are
    running, paused or assigned, then the rest in file order. --all, --json and --quiet list all.
    """
    from distribute.core.errors import InputError

    warn_of_nodes_file(session.output, nodes_file)
    states = [one.value for one in state] if state else None
    if mine and user is not None:
        raise InputError("--mine and --user: give one of them")
    wanted_user = user_name() if mine else user
    if batch is None:
        _refuse_states(states, BATCH_STATES, "a batch")
        if every:
            raise InputError("--all lists all jobs of one batch: name it, as NAMESPACE/BATCH")
    else:
        _refuse_states(states, JOB_STATES, "a job")
        if wanted_user is not None or last is not None:
            raise InputError("--mine, --user and --last select batches: leave out BATCH")

    async with session.cluster(named="with the answer") as cluster:
        queries = session.queries(cluster)
        if batch is None:
            given = {"user": wanted_user, "states": states, "last": last}
            which = {name: value for name, value in given.items() if value is not None}
            session.output.batches(await queries.batches(**which), selected=bool(which))
            return
        from distribute.client.targets import find_target
        from distribute.core.ids import JobId

        named = await find_target(queries, batch)
        if isinstance(named, JobId):
            if every or states is not None:
                raise InputError("--all and --state select jobs of a batch: name the batch alone")
            from distribute.client.job_story import read_story

            session.output.job(await read_story(cluster, queries, named))
            return
        most = None if every else session.output.most_jobs
        await show_batch(session.output, cluster, queries, named, states=states, most=most)


def _refuse_states(states: list[str] | None, possible: frozenset[str], what: str) -> None:
    """Refuse states that such a thing never has."""
    from distribute.core.errors import InputError

    if wrong := sorted(set(states or ()) - possible):
        raise InputError(
            f"--state: {what} is never {wrong[0]!r}; its states are {', '.join(sorted(possible))}"
        )


app = verb(status, reads=True)
