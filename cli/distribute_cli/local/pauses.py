"""Pausing the nodes of this computer through their keepers, without a network or a node-runner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from distribute.client.keepers import Held, Keeper, keepers
from distribute.config.sections.units import format_size
from distribute.core.errors import DistributeError, Refused
from distribute.core.telling.listing import rfc3339
from distribute.core.words import counted
from distribute_cli.local.gpu_memory import GpuMemory
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
    unpaused_line,
)
from distribute_cli.session import cluster_document

if TYPE_CHECKING:
    from distribute_cli.output.form import Countdown, Output
    from distribute_cli.session import Session


class Here(NamedTuple):
    """The nodes of this computer that are meant. `refused`: why some can't be asked."""

    nodes: tuple[tuple[Keeper, Held], ...]
    refused: tuple[str, ...]


async def nodes_here(session: Session, node: str | None) -> Here | None:
    """The nodes of this computer: all, or that of this name. None: the node is elsewhere.

    A person who says where the cluster is means a node of that.

    Raises:
        Refused: no node runs on this computer, or none takes requests of this user.
    """
    if node is not None and session.where.options:
        return None
    here = await _look(node)
    if node is not None:
        return _of_this_cluster(session, here) if here.nodes else None
    if here.nodes:
        return here
    if here.refused:
        raise Refused("\n".join(here.refused))
    raise Refused(
        "no node runs on this computer, so there is nothing to pause here; `--node NAME` is for one elsewhere"
    )


def _of_this_cluster(session: Session, here: Here) -> Here:
    """Of nodes of one name, those of the person's cluster; all, if none is of that."""
    if len(here.nodes) == 1:
        return here
    try:
        server = cluster_document(session.address())["server"]
    except DistributeError:
        return here  # it is not set up: then the pause needs none
    own = tuple((keeper, held) for keeper, held in here.nodes if held.server == server)
    return here._replace(nodes=own or here.nodes)


async def _look(node: str | None) -> Here:
    """The nodes of this computer, or those of a name. Of these alone it doesn't tell which can't be asked."""
    found, refused = await _ask_all(keepers(), Keeper.look)
    if node is not None:
        return Here(tuple((keeper, held) for keeper, held in found if held.node == node), ())
    return Here(tuple(found), tuple(refused))


async def pause_here(output: Output, here: Here, wish: Wish) -> int:
    """Pause nodes of this computer. Returns the exit code."""
    with told_to_end() as told:
        paused, failed = await _ask_all(
            [keeper for keeper, _ in here.nodes],
            lambda keeper: keeper.pause(wish.duration_s, by=wish.by, reason=wish.reason),
        )
        problems = [*here.refused, *failed]
        for problem in problems:
            output.warn(problem)
        if not paused:
            return 1
        await _tell(output, [held for _, held in paused], wish)
        if not wish.detach:
            problems += await _count_down(output, paused, told)
    return 1 if problems else 0


async def resume_here(output: Output, here: Here) -> int:
    """End the pauses of nodes of this computer. Returns the exit code."""
    resumed, failed = await _ask_all([keeper for keeper, _ in here.nodes], Keeper.resume)
    problems = [*here.refused, *failed]
    for problem in problems:
        output.warn(problem)
    if not resumed:
        return 1
    nodes = sorted({held.node for _, held in resumed})
    was_paused = sorted({held.node for _, held in here.nodes if held.is_paused})
    line = resumed_line(was_paused) if was_paused else unpaused_line(nodes)
    output.done(line, {"resumed": was_paused, "nodes": nodes})
    return 1 if problems else 0


async def _tell(output: Output, paused: Sequence[Held], wish: Wish) -> None:
    """Say what is paused, and for how long."""
    nodes = sorted({held.node for held in paused})
    until = max(held.until or 0.0 for held in paused)
    gpu_bytes = await GpuMemory().held_by(pid for held in paused for pid in held.pids)
    document = {"paused": [_document(held) for held in paused], "gpu_memory_bytes": gpu_bytes}
    output.done(paused_line(nodes, until, until - time.time()), document)
    for held in paused:
        if (told := cut_line(held.node, wish, (held.until or 0.0) - (held.since or 0.0))) is not None:
            output.warn(told)
    if wish.detach:
        output.hint(f"it holds {held_text(paused, gpu_bytes)}; {resume_hint(wish.node)}")


def _document(held: Held) -> dict[str, Any]:
    return {
        "node": held.node,
        "until": rfc3339(held.until),
        "by": held.by,
        "reason": held.reason or None,
        "jobs": held.jobs,
        "processes": len(held.pids),
        "memory_bytes": held.memory_bytes,
        "freezes_by": held.freezes_by,
    }


async def _count_down(
    output: Output, paused: Sequence[tuple[Keeper, Held]], told: asyncio.Event
) -> list[str]:
    """Show how long the pause lasts still, until it is over or replaced. If told to, end it.

    Returns what went wrong.
    """
    with output.countdown("Ctrl-C resumes") as shown:
        try:
            others = await _until_over(shown, dict(paused), told)
        except BaseException:
            # The terminal is gone, or something else is wrong: the jobs go on before anything else.
            await _ask_all([keeper for keeper, _ in paused], Keeper.resume)
            raise
        problems = await _end(dict(paused)) if told.is_set() else []
    for problem in problems:
        output.warn(problem)
    if others:
        until = max(held.until or 0.0 for held in others)
        output.hint(f"another pause has replaced this one: it lasts until {clock_time(until)}")
    elif not problems:
        output.hint(resumed_line(sorted({held.node for _, held in paused})))
    return problems


async def _until_over(shown: Countdown, paused: Mapping[Keeper, Held], told: asyncio.Event) -> list[Held]:
    """Show what is left until all these pauses are over, or told. Returns pauses that have replaced them.

    A keeper that does not answer has ended. The next one goes on with its pause.
    """
    gpus = GpuMemory()
    while True:
        now = dict((await _ask_all(list(paused), Keeper.look))[0])
        seen = {keeper: now.get(keeper, held) for keeper, held in paused.items()}
        mine = [
            held for keeper, held in seen.items() if held.since == paused[keeper].since and _left_s(held) > 0
        ]
        if not mine:
            return [held for held in seen.values() if held.is_paused and _left_s(held) > 0]
        gpu_bytes = await gpus.held_by(pid for held in mine for pid in held.pids)
        shown.show(max(map(_left_s, mine)), f"holds {held_text(mine, gpu_bytes)}")
        if await is_told(told, SHOW_EVERY_S):
            return []


async def _end(paused: Mapping[Keeper, Held]) -> list[str]:
    """End these pauses, and no others. Returns what went wrong."""
    now, silent = await _ask_all(list(paused), Keeper.look)
    mine = [keeper for keeper, held in now if held.since == paused[keeper].since]
    _, failed = await _ask_all(mine, Keeper.resume)
    until = max(held.until or 0.0 for held in paused.values())
    return [f"{problem}; its pause ends by itself, by {clock_time(until)}" for problem in [*silent, *failed]]


def _left_s(held: Held) -> float:
    return (held.until or 0.0) - time.time()


def held_text(paused: Sequence[Held], gpu_bytes: int | None) -> str:
    """What paused nodes hold: `2 jobs: 31 processes, 4.2G of memory, 1.5G of GPU memory`."""
    pids = {pid for held in paused for pid in held.pids}
    jobs = sum(held.jobs for held in paused)
    if not jobs:
        return "no job"
    memory = format_size(sum(held.memory_bytes for held in paused))
    gpus = "" if gpu_bytes is None else f", {format_size(gpu_bytes)} of GPU memory"
    return f"{counted(jobs, 'job')}: {counted(len(pids), 'process', 'processes')}, {memory} of memory{gpus}"


async def _ask_all(
    asked: Sequence[Keeper], ask: Callable[[Keeper], Awaitable[Held]]
) -> tuple[list[tuple[Keeper, Held]], list[str]]:
    """Ask keepers at once. Returns the answers, and what is wrong with the others."""
    answers = await asyncio.gather(*map(ask, asked), return_exceptions=True)
    found, problems = [], []
    for keeper, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Held):
            found.append((keeper, answer))
        elif isinstance(answer, DistributeError):
            problems.append(str(answer))
        else:
            raise answer
    return found, problems
