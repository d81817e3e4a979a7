"""`distribute history BATCH|JOB|--node N`: tells what happened, in order, and who did it."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.completing import complete_node
from distribute_cli.session import Session
from distribute_cli.targets import ShownArgument
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.client.history import History
    from distribute.ports import Cluster


async def history(
    session: Session,
    target: ShownArgument = None,
    node: Annotated[
        str | None,
        typer.Option(metavar="N", help="Tell of node N instead.", autocompletion=complete_node),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", "-a", help="Tell every event on a line of its own.")
    ] = False,
    last: Annotated[int | None, typer.Option(min=1, metavar="N", help="Tell only the last N.")] = None,
) -> None:
    """Tell what happened to a batch, a job or a node: who did what, when, how long after the last.

    A batch that was deleted is still told of, and so are earlier ones of its name. More than four events of a
    batch that are alike are told together; --all tells each. An event that was refused is marked, and why.
    With --json, the answer is a list of all events as they are stored.
    """
    from distribute.core.errors import InputError
    from distribute_cli.values import checked_name

    if (target is None) == (node is None):
        raise InputError("history: name a batch or a job, or else a node with --node")
    if node is not None:
        checked_name("--node", node)
    async with session.cluster() as cluster:
        with session.output.history(every=every or node is not None, last=last) as take:
            async with aclosing(await _history(session, cluster, target, node)) as telling:
                async for told in telling:
                    take(told)


async def _history(session: Session, cluster: Cluster, target: str | None, node: str | None) -> History:
    from distribute.client.history import batch_history, job_history, node_history
    from distribute.client.targets import find_target
    from distribute.core.errors import UnknownName
    from distribute.core.ids import JobId

    if node is not None:
        return node_history(cluster, node)
    assert target is not None, "else there is a node"
    try:
        found = await find_target(session.queries(cluster), target)
    except UnknownName as error:
        raise error.advising("one that was deleted is found by its whole name, NAMESPACE/BATCH") from error
    return job_history(cluster, found) if isinstance(found, JobId) else batch_history(cluster, found)


app = verb(history, reads=True)
