"""Pausing and resuming a node from anywhere: a person asks in the log, and the node answers there."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.control import refuse_expected, say_of_node
from distribute.client.words import printable
from distribute.core.errors import LogReplaced, Refused
from distribute.core.ids import NodeId
from distribute.core.log.events import Paused, PauseRequested, Resumed, ResumeRequested
from distribute.ports import BEGINNING, Only, Place

if TYPE_CHECKING:
    from distribute.client.documents import NodeStory
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.ports import Cluster


class Request(NamedTuple):
    """What a person asked a node for: the id of the event, and its place in the log."""

    node: str
    id: str
    seq: int


async def ask_pause(
    cluster: Cluster,
    queries: Queries,
    person: Person,
    node: str,
    duration_s: float,
    *,
    reason: str | None = None,
) -> Request:
    """Ask a node to lend nothing for so long. Its jobs are frozen meanwhile. Replaces an earlier pause.

    Args:
        cluster: where the node is.
        queries: tells whether it exists.
        person: who wants it.
        node: its name.
        duration_s: for how long.
        reason: why; people see it beside the node.

    Raises:
        Refused: there is no such node, or it has left.
    """
    _refuse_gone(await queries.node(node))
    stamp = person.stamp()
    until = stamp["time"] + timedelta(seconds=duration_s)
    event = PauseRequested(**stamp, node=node, until=until, reason=reason or None)
    return Request(node, event.id, await say_of_node(cluster, event))


async def ask_resume(cluster: Cluster, queries: Queries, person: Person, node: str) -> Request:
    """Ask a node to end its pause. The arguments, and what is raised, are as those of `ask_pause`."""
    _refuse_gone(await queries.node(node))
    event = ResumeRequested(**person.stamp(), node=node)
    return Request(node, event.id, await say_of_node(cluster, event))


async def answer_of(cluster: Cluster, request: Request) -> tuple[Paused | Resumed, int]:
    """What the node answers, and the sequence of that. Waits for it, however long the node is silent.

    If the log loses the request, this connection appends it again, and the answer follows that.
    """
    after = Place(request.seq, None)
    while True:
        try:
            return await _said(cluster, request.node, await _known(cluster, after, request.id), request.id)
        except LogReplaced:
            after = BEGINNING


async def next_change(cluster: Cluster, pause: Paused, seq: int) -> tuple[Paused | Resumed, int]:
    """What the node says next after this pause, which was at a sequence, and the sequence of that.

    If the log loses the pause, the node appends it again, and the change follows that.
    """
    after = Place(seq, None)
    while True:
        try:
            after = await _known(cluster, after, pause.id)
            return await _said(cluster, pause.node, after, behind=pause.id if after == BEGINNING else None)
        except LogReplaced:
            after = BEGINNING


async def _known(cluster: Cluster, place: Place, event_id: str) -> Place:
    """The place of an event, with its time; the beginning of the log if the event is not there any more."""
    try:
        recorded = await cluster.log.get(place.seq)
    except KeyError:
        return BEGINNING
    return Place(recorded.seq, recorded.time) if recorded.event.id == event_id else BEGINNING


async def _said(
    cluster: Cluster, node: str, after: Place, answers: str | None = None, *, behind: str | None = None
) -> tuple[Paused | Resumed, int]:
    """What the node says of its pause behind a place, and behind the event with the id `behind`."""
    only = Only(scope=NodeId(node))
    async with aclosing(cluster.log.follow(after=after.seq, at=after.time, only=only)) as following:
        async for records in following:
            for recorded in records:
                event = recorded.event
                if not isinstance(event, Paused | Resumed) or event.author != node:
                    continue
                if behind is not None:
                    behind = None if event.id == behind else behind
                elif answers in {None, event.causation}:
                    return event, recorded.seq
    raise AssertionError("following a log never ends")


def _refuse_gone(node: NodeStory) -> None:
    refuse_expected(node)
    if node["state"] == "left":
        raise Refused(f"{printable(node['node'])} has left: it lends nothing anyway")
