"""One sentence for each type of event of a node. `sentences` has those of all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from distribute.core.folding.fold_node import NodeEvent
from distribute.core.log import events as ev
from distribute.core.telling.wording import MAX_REASON, Known, Wording, because
from distribute.core.words import counted, few, format_duration, format_size

_Asked = (
    ev.Forgotten
    | ev.Listed
    | ev.PauseRequested
    | ev.ResumeRequested
    | ev.DrainRequested
    | ev.Undrained
)  # fmt: skip


OF_MANY: Mapping[str, str] = {
    "joined": "joined or came back",
    "leaving": "began to end",
    "left": "left",
    "lost": "lost",
    "forgotten": "forgotten",
    "listed": "listed",
    "pause_requested": "told to pause",
    "resume_requested": "told to lend again",
    "paused": "paused",
    "resumed": "lent again",
    "drain_requested": "drained",
    "undrained": "let take jobs again",
    "quarantined": "put in quarantine",
    "superseded": "kept what does not count",
}
"""What nodes did, or what became of them, by the type of the events: fits one node as well as many."""


def of_many_nodes(event: NodeEvent, nodes: Sequence[str], times: int) -> str:
    """So many events of one type, of these nodes, in one sentence. `event` is one of them."""
    are = "node" if len(nodes) == 1 else "nodes"
    often = f", {times} times" if times > len(nodes) else ""
    return f"{are} {few(nodes)}: {OF_MANY[event.type]}{often}"


def of_node(event: NodeEvent, wording: Wording, known: Known) -> str:
    """An event of a node in one sentence."""
    if isinstance(event, _Asked):
        return _asked_of_node(event, wording)
    node = f"node {event.node}"
    match event:
        case ev.Joined():
            return _joined(event, known)
        case ev.Leaving():
            return f"{node} is ending; it still reports {counted(len(event.keeps), 'job')}"
        case ev.Left():
            return f"{node} left"
        case ev.Lost():
            jobs = counted(known.attempts, "job")
            others = f"; others take its {jobs} when they have room" if known.attempts else ""
            return f"{node} is lost: silent for {format_duration(round(event.silent_s))}{others}"
        case ev.Paused():
            by = f", by {event.by}" if event.by is not None else ""
            return f"{node} is paused until {wording.moment(event.until)}{by}{because(event.reason)}"
        case ev.Resumed():
            return f"{node} lends again"
        case ev.Quarantined():
            return f"{node} is in quarantine until {wording.moment(event.until)}{because(event.reason)}"
        case ev.Superseded():
            return _superseded(event, wording)
        case _:
            assert_never(event)


def _asked_of_node(event: _Asked, wording: Wording) -> str:
    """What a person wants of a node."""
    by, node = event.author, f"node {event.node}"
    match event:
        case ev.Forgotten():
            return f"{by} had {node} forgotten"
        case ev.Listed():
            if event.capabilities is None:
                return f"{by} no longer lists {node}"
            can = ", ".join(sorted(event.capabilities)) or "none"
            return f"{by} lists {node}, with these capabilities: {can}"
        case ev.PauseRequested():
            return f"{by} pauses {node} until {wording.moment(event.until)}{because(event.reason)}"
        case ev.ResumeRequested():
            return f"{by} lets {node} lend again"
        case ev.DrainRequested():
            until = f" until {wording.moment(event.until)}" if event.until is not None else ""
            return f"{by} drains {node}{until}{because(event.reason)}"
        case ev.Undrained():
            return f"{by} lets {node} take jobs again"
        case _:
            assert_never(event)


def _joined(event: ev.Joined, known: Known) -> str:
    keeps = f"; it goes on with {counted(len(event.keeps), 'job')}" if event.keeps else ""
    if known.silent_s is not None:
        silence = format_duration(max(0, round(known.silent_s)))
        return f"node {event.node} is back after {silence}{keeps}"
    is_new = known.before is None
    verb = "joined" if is_new else "has restarted" if known.before != event.incarnation else "is back"
    gpus = f", {counted(len(event.gpus), 'GPU')}" if event.gpus else ""
    has = f"{counted(event.cpus, 'cpu')}, {format_size(event.memory_bytes)} of memory{gpus}"
    return f"node {event.node} {verb}: {has}{keeps}"


def _superseded(event: ev.Superseded, wording: Wording) -> str:
    job, number, until = event.attempt.job_id, event.attempt.attempt, wording.moment(event.until)
    size, folder = format_size(event.size_bytes), event.folder[:MAX_REASON]
    return (
        f"node {event.node} keeps what attempt {number} of {job} left until {until}: {size} in {folder}; "
        "it does not count"
    )
