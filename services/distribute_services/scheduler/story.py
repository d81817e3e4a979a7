"""What happens in the cluster, one line each in the scheduler's log: nodes, batches, builds, jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from distribute.config.units import format_duration, format_size
from distribute.core import events as ev
from distribute.core.ids import JobId
from distribute.core.recorded import Recorded
from distribute.core.state import FAILED, KILLED, SUCCEEDED, State
from distribute.core.words import counted, killed_by

log = logging.getLogger(__name__)

MAX_REASON = 300
"""Max. characters of a reason in a line. An event may carry 10,000."""

NAMED_NODES = 10

UNTOLD = frozenset({"assigned", "claimed", "job_archived", "notified"})
"""The types of events that are only steps between others, or that another service logs."""

WHY_RELEASED: Mapping[ev.ReleaseReason, str] = {
    "node_lost": "the node is lost",
    "node_left": "the node left",
    "node_restarted": "its node-runner started again without it",
    "node_rebooted": "the node was rebooted",
    "killed": "it was killed",
    "build_failed": "the batch can't be built there",
    "unclaimed": "the node did not claim it",
    "not_there": "the node does not have it any more",
}


class Story:
    """Logs events that the fold has accepted. `state` is as of the last event before them.

    A trouble and its end are warnings, everything else is information.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._runners = {
            node.name: node.incarnation for node in state.nodes.values() if node.presence == "here"
        }
        """The incarnation of each node that is here."""
        self._lost = {
            node.name: node.silent_from or state.time
            for node in state.nodes.values()
            if node.presence == "lost"
        }
        """Since when each lost node has been silent, by the log's clock."""
        self._silent: dict[str, float] = {}
        """Since when each node that is out of touch has been silent, by our clock."""
        self._tellers: dict[str, Callable[[Any, float], None]] = {
            "submitted": self._submitted,
            "kill_requested": self._kill_requested,
            "retry_requested": self._retry_requested,
            "reprioritized": self._reprioritized,
            "completed": self._completed,
            "batch_archived": self._batch_archived,
            "deleted": self._deleted,
            "started": self._started,
            "stop_ordered": self._stop_ordered,
            "finished": self._finished,
            "yielded": self._yielded,
            "collected": self._collected,
            "released": self._released,
            "excused": self._excused,
            "build_started": self._build_started,
            "build_finished": self._build_finished,
            "build_collected": self._build_collected,
            "joined": self._joined,
            "leaving": self._leaving,
            "left": self._left,
            "lost": self._node_lost,
            "forgotten": self._forgotten,
            "listed": self._listed,
            "pause_requested": self._pause_requested,
            "resume_requested": self._resume_requested,
            "paused": self._paused,
            "resumed": self._resumed,
            "drain_requested": self._drain_requested,
            "undrained": self._undrained,
            "quarantined": self._quarantined,
            "superseded": self._superseded,
        }

    def tell(self, accepted: Iterable[Recorded]) -> None:
        """Log these events, if people want to read of them. The state has folded them."""
        for recorded in accepted:
            teller = self._tellers.get(recorded.event.type)
            if teller is not None:
                teller(recorded.event, recorded.time)

    def look(self, silent: Iterable[str], since: Callable[[str], float], now: float) -> None:
        """Log which nodes fell silent, and which are heard again: one line, however many they are.

        Args:
            silent: the nodes that are silent now, lost ones included.
            since: since when a node has been silent, by our clock.
            now: by our clock.
        """
        nodes = self._state.nodes
        away = {name for name in silent if name in nodes and nodes[name].presence == "here"}
        fell_silent = sorted(away - self._silent.keys())
        self._silent.update((name, since(name)) for name in fell_silent)
        if fell_silent:
            longest = max(now - self._silent[name] for name in fell_silent)
            silence = format_duration(round(longest))
            log.warning("out of touch for %s: %s; no new jobs go there", silence, _nodes(fell_silent))
        back = {name: now - self._silent.pop(name) for name in self._silent.keys() - away}
        heard = sorted(name for name in back if name in nodes and nodes[name].presence == "here")
        if heard:
            silence = format_duration(round(max(back[name] for name in heard)))
            log.warning("heard again after %s: %s", silence, _nodes(heard))

    # --- nodes ---------------------------------------------------------------------------------------

    def _joined(self, event: ev.Joined, time: float) -> None:
        before = self._runners.get(event.node)
        self._runners[event.node] = event.incarnation
        self._silent.pop(event.node, None)
        keeps = f"; it goes on with {counted(len(event.keeps), 'job')}" if event.keeps else ""
        if event.node in self._lost:
            silence = format_duration(max(0, round(time - self._lost.pop(event.node))))
            log.warning("node %s is back after %s%s", event.node, silence, keeps)
            return
        verb = "joined" if before is None else "has restarted" if before != event.incarnation else "is back"
        log.info("node %s %s: %s%s", event.node, verb, _described(event), keeps)

    def _leaving(self, event: ev.Leaving, time: float) -> None:
        log.info("node %s is ending; it still reports %s", event.node, counted(len(event.keeps), "job"))

    def _left(self, event: ev.Left, time: float) -> None:
        self._gone(event.node)
        log.info("node %s left", event.node)

    def _node_lost(self, event: ev.Lost, time: float) -> None:
        node = self._state.nodes.get(event.node)
        jobs = len(node.attempts) if node is not None else 0
        self._gone(event.node)
        self._lost[event.node] = time - event.silent_s
        silence = format_duration(round(event.silent_s))
        log.warning(
            "node %s is lost: silent for %s%s", event.node, silence,
            f"; others take its {counted(jobs, 'job')} when they have room" if jobs else "",
        )  # fmt: skip

    def _forgotten(self, event: ev.Forgotten, time: float) -> None:
        self._gone(event.node)
        log.info("%s had node %s forgotten", event.author, event.node)

    def _listed(self, event: ev.Listed, time: float) -> None:
        if event.capabilities is None:
            log.info("%s no longer lists node %s", event.author, event.node)
            return
        listed = ", ".join(sorted(event.capabilities)) or "none"
        log.info("%s lists node %s, with these capabilities: %s", event.author, event.node, listed)

    def _gone(self, node: str) -> None:
        for noted in (self._runners, self._lost, self._silent):
            noted.pop(node, None)

    def _pause_requested(self, event: ev.PauseRequested, time: float) -> None:
        until = _moment(event.until)
        log.info("%s pauses node %s until %s%s", event.author, event.node, until, _because(event.reason))

    def _resume_requested(self, event: ev.ResumeRequested, time: float) -> None:
        log.info("%s lets node %s lend again", event.author, event.node)

    def _paused(self, event: ev.Paused, time: float) -> None:
        by = f", by {event.by}" if event.by is not None else ""
        log.info(
            "node %s is paused until %s%s%s", event.node, _moment(event.until), by, _because(event.reason)
        )

    def _resumed(self, event: ev.Resumed, time: float) -> None:
        log.info("node %s lends again", event.node)

    def _superseded(self, event: ev.Superseded, time: float) -> None:
        job, size, where = event.attempt.job_id, format_size(event.size_bytes), event.folder[:MAX_REASON]
        log.info(
            "node %s keeps what attempt %d of %s left until %s: %s in %s; it does not count",
            event.node, event.attempt.attempt, job, _moment(event.until), size, where,
        )  # fmt: skip

    def _drain_requested(self, event: ev.DrainRequested, time: float) -> None:
        until = f" until {_moment(event.until)}" if event.until is not None else ""
        log.info("%s drains node %s%s%s", event.author, event.node, until, _because(event.reason))

    def _undrained(self, event: ev.Undrained, time: float) -> None:
        log.info("%s lets node %s take jobs again", event.author, event.node)

    def _quarantined(self, event: ev.Quarantined, time: float) -> None:
        until = _moment(event.until)
        log.warning("node %s is in quarantine until %s%s", event.node, until, _because(event.reason))

    # --- batches -------------------------------------------------------------------------------------

    def _submitted(self, event: ev.Submitted, time: float) -> None:
        jobs = counted(len(event.spec.work.jobs), "job")
        elsewhere = f" that ran at {event.ran_at.system}" if event.ran_at is not None else ""
        log.info("%s submitted %s: %s%s", event.user, event.scope, jobs, elsewhere)

    def _kill_requested(self, event: ev.KillRequested, time: float) -> None:
        what = event.scope if event.job is None else JobId(*event.scope, event.job)
        waiting = "what still waits of " if event.state is not None else ""
        log.info("%s kills %s%s", event.author, waiting, what)

    def _retry_requested(self, event: ev.RetryRequested, time: float) -> None:
        log.info("%s has jobs of %s run again", event.author, event.scope)

    def _reprioritized(self, event: ev.Reprioritized, time: float) -> None:
        log.info("%s gives %s the priority %d", event.author, event.scope, event.priority)

    def _completed(self, event: ev.Completed, time: float) -> None:
        batch = self._state.find(event.scope)
        counts = batch.counts if batch is not None else []
        named = ((SUCCEEDED, "succeeded"), (FAILED, "failed"), (KILLED, "killed"))
        ends = ", ".join(f"{counts[status]} {end}" for status, end in named if counts and counts[status])
        log.info("%s is over: %s%s", event.scope, ends or event.state, _because(event.reason))

    def _batch_archived(self, event: ev.BatchArchived, time: float) -> None:
        log.info("%s is archived", event.scope)

    def _deleted(self, event: ev.Deleted, time: float) -> None:
        log.info("%s deleted %s", event.author, event.scope)

    # --- builds and jobs -----------------------------------------------------------------------------

    def _build_started(self, event: ev.BuildStarted, time: float) -> None:
        log.info("%s is being built on %s", event.batch_id, event.node)

    def _build_finished(self, event: ev.BuildFinished, time: float) -> None:
        failed = "was not built to the end" if event.killed else "could not be built"
        how = "is built" if event.succeeded else failed
        took = format_duration(event.wall_s)
        log.info("%s %s on %s after %s%s", event.batch_id, how, event.node, took, _because(event.reason))

    def _build_collected(self, event: ev.BuildCollected, time: float) -> None:
        how = "succeeded" if event.succeeded else "failed"
        took = format_duration(event.wall_s)
        log.info(
            "the build of %s is collected: it %s on %s after %s%s",
            event.batch_id, how, event.node, took, _because(event.reason),
        )  # fmt: skip

    def _started(self, event: ev.Started, time: float) -> None:
        log.info("%s started on %s", _attempt(event), event.node)

    def _stop_ordered(self, event: ev.StopOrdered, time: float) -> None:
        log.info("%s is to be ended by %s%s", _attempt(event), event.node, _because(killed_by(event.by)))

    def _finished(self, event: ev.Finished, time: float) -> None:
        failed = "was killed" if self._is_killed(event) else "failed"
        self._ended(event, "succeeded" if event.succeeded else failed)

    def _collected(self, event: ev.Collected, time: float) -> None:
        how = "was killed" if event.state == "killed" else event.state
        self._ended(event, f"is collected: it {how}")

    def _ended(self, event: ev.Ending, how: str) -> None:
        reason = event.reason
        if reason is None and event.exit_code:
            reason = f"exit code {event.exit_code}"
        took = format_duration(event.wall_s)
        log.info("%s %s on %s after %s%s", _attempt(event), how, event.node, took, _because(reason))

    def _is_killed(self, event: ev.Finished) -> bool:
        batch = self._state.batch_of(event)
        return batch is not None and batch.status[batch.rows[event.job]] == KILLED

    def _yielded(self, event: ev.Yielded, time: float) -> None:
        log.info("%s was given back by %s%s", _attempt(event), event.node, _because(event.reason))

    def _released(self, event: ev.Released, time: float) -> None:
        why = WHY_RELEASED[event.reason]
        log.info("%s was taken from %s: %s", _attempt(event), event.node, why)

    def _excused(self, event: ev.Excused, time: float) -> None:
        log.info("%s runs again elsewhere: %s may be to blame", _attempt(event), event.node)


def _nodes(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_NODES} more" if len(names) > NAMED_NODES else ""
    return f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names[:NAMED_NODES])}{more}"


def _attempt(event: ev.JobEvent) -> str:
    again = f", attempt {event.attempt}," if event.attempt > 1 else ""
    return f"{event.namespace}/{event.batch}/{event.job}{again}"


def _moment(time: datetime) -> str:
    return time.astimezone().isoformat(" ", "minutes")


def _because(reason: str | None) -> str:
    if not reason:
        return ""
    return f": {reason}" if len(reason) <= MAX_REASON else f": {reason[:MAX_REASON]}…"


def _described(event: ev.Joined) -> str:
    gpus = f", {counted(len(event.gpus), 'GPU')}" if event.gpus else ""
    return f"{counted(event.cpus, 'cpu')}, {format_size(event.memory_bytes)} of memory{gpus}"
