"""`distribute events`: streams the events of the cluster to other programs."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.ports import Cluster


async def events(
    session: Session,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with the events that are still to come.")
    ] = False,
    since: Annotated[
        str,
        typer.Option(
            metavar="SEQ|TIME",
            help="Begin behind event SEQ, with those of TIME (2030-01-31T18:00), or so long ago (2h).",
        ),
    ] = "0",
    kinds: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="T", help="Only events of this type (may be repeated)."),
    ] = None,
) -> None:
    """Stream all events of the cluster in the order of the log, one on a line, each once.

    With --json, each line is a JSON object: the event as it is stored, with its seq and time. To resume after
    the last event that you handled, give its seq to --since. -f goes on through restarts of the head. Events
    come as they were written; whether one was refused, `history` tells.
    """
    from distribute.client.event_stream import check_types, stream

    types = check_types("--type", kinds) if kinds else None
    since_seq = _as_sequence(since)
    async with session.cluster() as cluster:
        after = since_seq if since_seq is not None else await _before(cluster, since)
        async with aclosing(stream(cluster, after, types, follow=follow)) as coming:
            async for recorded in coming:
                session.output.event(recorded)


def _as_sequence(since: str) -> int | None:
    """The sequence that --since gives. None: it gives a time."""
    return int(since) if since.isascii() and since.isdecimal() else None


async def _before(cluster: Cluster, since: str) -> int:
    from distribute.client.event_stream import last_before
    from distribute_cli.values import past_moment

    moment = past_moment("--since", since, datetime.now(UTC), or_else=", or the seq of an event: 1234")
    return await last_before(cluster.log, moment.timestamp())


app = verb(events, reads=True)
