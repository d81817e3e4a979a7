"""What happens in the cluster, one line each in the scheduler's log: nodes, batches, builds, jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.history import known_of
from distribute.core.state.state import State
from distribute.core.telling.sentences import sentence
from distribute.core.telling.wording import NOTHING, Known, Wording
from distribute.core.words import format_duration

log = logging.getLogger(__name__)

NAMED_NODES = 10

UNTOLD = frozenset({"assigned", "claimed", "job_archived", "notified"})
"""The types of events that are only steps between others, or that another service logs."""


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

    def tell(self, accepted: Iterable[Recorded]) -> None:
        """Log these events, if people want to read of them. The state has folded them."""
        for recorded in accepted:
            event = recorded.event
            if event.type in UNTOLD:
                continue
            known = self._known(recorded)
            is_trouble = event.type in {"lost", "quarantined"} or known.silent_s is not None
            log.log(logging.WARNING if is_trouble else logging.INFO, "%s", sentence(event, _WORDING, known))

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

    def _known(self, recorded: Recorded) -> Known:
        """What the sentence says beside the event's own words; notes where nodes are."""
        seq, time, event = recorded
        match event.type:
            case "joined":
                return self._joined(event, time)
            case "lost":
                node = self._state.nodes.get(event.node)
                self._gone(event.node)
                self._lost[event.node] = time - event.silent_s
                return Known(attempts=len(node.attempts) if node is not None else 0)
            case "left" | "forgotten":
                self._gone(event.node)
                return NOTHING
            case "completed" | "finished":
                batch = self._state.batch_of(event)
                is_there = batch is not None and batch.seq < seq  # else another has its name by now
                return known_of(batch, event) if is_there else NOTHING
            case _:
                return NOTHING

    def _joined(self, event: ev.Joined, time: float) -> Known:
        before = self._runners.get(event.node)
        self._runners[event.node] = event.incarnation
        self._silent.pop(event.node, None)
        since = self._lost.pop(event.node, None)
        return Known(before=before, silent_s=None if since is None else time - since)

    def _gone(self, node: str) -> None:
        for noted in (self._runners, self._lost, self._silent):
            noted.pop(node, None)


def _nodes(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_NODES} more" if len(names) > NAMED_NODES else ""
    return f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names[:NAMED_NODES])}{more}"


def _moment(time: datetime) -> str:
    return time.astimezone().isoformat(" ", "minutes")


_WORDING = Wording(_moment)
