"""Pausing a node of the cluster from anywhere: asked for in the log, and answered there by the node."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from distribute.client.pausing import answer_of, ask_pause, ask_resume, next_change
from distribute.client.words import printable
from distribute.core.errors import DistributeError, Refused
from distribute.core.log.events import Paused, Resumed
from distribute.core.telling.listing import rfc3339
from distribute.core.words import counted
from distribute_cli.pausing import (
    SHOW_EVERY_S,
    Wish,
    clock_time,
    cut_line,
    is_told,
    paused_line,
    resume_hint,
    resumed_line,
    told_to_end,
)

if TYPE_CHECKING:
    from distribute.client.pausing import Request
    from distribute.client.queries import Queries
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output
    from distribute_cli.session import Session

ANSWER_S = 10.0
"""Max. seconds to wait for the node's answer."""
LOOK_EVERY_S = 5.0


async def pause_there(session: Session, node: str, wish: Wish) -> int:
    """Pause a node of the cluster. Returns the exit code."""
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        with told_to_end() as told:
            request = await ask_pause(
                cluster, queries, session.person, node, wish.duration_s, reason=wish.reason
            )
            answer = await _answer(cluster, request, told)
            if told.is_set():
                return await _end(session, cluster, node, time.time() + wish.duration_s)
            if answer is None:
                return _tell_silence(session.output, node)
            said, seq = answer
            if not isinstance(said, Paused):
                raise Refused(f"{printable(node)} could not be paused: its own log says why")
            until = _tell(session.output, node, said, wish)
            if wish.detach:
                return 0
            return await _count_down(session, cluster, queries, said, until, seq, told)


def _tell(output: Output, node: str, said: Paused, wish: Wish) -> float:
    """Say for how long the node is paused. Returns the end, in seconds since 1970 by our clock."""
    left_s = (said.until - said.time).total_seconds()
    until = time.time() + left_s
    document = {"node": node, "until": rfc3339(until), "by": said.by, "reason": said.reason or None}
    paused = [{**document, "jobs": len(said.keeps)}]
    output.done(paused_line([node], until, left_s), {"paused": paused, "gpu_memory_bytes": None})
    if (cut := cut_line(node, wish, left_s)) is not None:
        output.warn(cut)
    if wish.detach:
        output.hint(resume_hint(wish.node))
    return until


async def resume_there(session: Session, node: str) -> int:
    """End the pause of a node of the cluster. Returns the exit code."""
    async with session.cluster() as cluster:
        request = await ask_resume(cluster, session.queries(cluster), session.person, node)
        answer = await _answer(cluster, request, asyncio.Event())
    if answer is None:
        return _tell_silence(session.output, node)
    if not isinstance(answer[0], Resumed):
        raise Refused(f"{printable(node)} could not be resumed: its own log says why")
    session.output.done(resumed_line([node]), {"resumed": [node], "nodes": [node]})
    return 0


async def _answer(
    cluster: Cluster, request: Request, told: asyncio.Event
) -> tuple[Paused | Resumed, int] | None:
    """The node's answer. None: it does not come, or this program was told to end before."""
    answer, end = asyncio.ensure_future(answer_of(cluster, request)), asyncio.ensure_future(told.wait())
    waits: set[asyncio.Future[Any]] = {answer, end}
    try:
        await asyncio.wait(waits, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    finally:
        answer.cancel()
        end.cancel()


def _tell_silence(output: Output, node: str) -> int:
    output.warn(f"{printable(node)} does not answer: it does so when it hears of it, if that is not too late")
    return 1


async def _count_down(
    session: Session,
    cluster: Cluster,
    queries: Queries,
    pause: Paused,
    until: float,
    seq: int,
    told: asyncio.Event,
) -> int:
    """Show how long the pause lasts still, until the node says that it is over, or has another one.

    If told to, end it.
    """
    output, node = session.output, pause.node
    change = asyncio.ensure_future(next_change(cluster, pause, seq))
    try:
        with output.countdown("Ctrl-C resumes") as shown:
            held, looked_at = "", -LOOK_EVERY_S
            while not change.done() and not told.is_set() and until + ANSWER_S > time.time():
                if time.monotonic() - looked_at >= LOOK_EVERY_S:
                    held, looked_at = await _held(queries, node), time.monotonic()
                shown.show(max(0.0, until - time.time()), held)
                await is_told(told, SHOW_EVERY_S)
        if change.done():
            said, _ = change.result()
            if isinstance(said, Paused):
                end = time.time() + (said.until - said.time).total_seconds()
                output.hint(f"another pause has replaced this one: it lasts until {clock_time(end)}")
            else:
                output.hint(resumed_line([node]))
            return 0
        return await _end(session, cluster, node, until) if told.is_set() else 0
    finally:
        change.cancel()


async def _end(session: Session, cluster: Cluster, node: str, until: float) -> int:
    """Have a pause ended that a person has interrupted."""
    try:
        async with asyncio.timeout(ANSWER_S):
            request = await ask_resume(cluster, session.queries(cluster), session.person, node)
            await answer_of(cluster, request)
    except TimeoutError:
        session.output.warn(
            f"{printable(node)} does not answer: its pause ends by itself, by {clock_time(until)}"
        )
        return 1
    session.output.hint(resumed_line([node]))
    return 0


async def _held(queries: Queries, node: str) -> str:
    """What the node holds, as far as the cluster knows."""
    try:
        found: Any = await queries.node(node)
    except DistributeError:
        return ""
    return f"holds {counted(found['running'], 'job')}"
