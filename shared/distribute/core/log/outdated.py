"""Which later events make a lost event out of date, so that its author must not append it again.

The fold would take an old order or an old report for the newest one. An event that continues another (its
`causation`) needs no rule: the fold refuses it if something else came between.
"""

from __future__ import annotations

from collections.abc import Mapping

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.events import KINDS, Event, type_of


def _types(*kinds: type[Event]) -> frozenset[str]:
    return frozenset(map(type_of, kinds))


_PAUSE = _types(ev.Paused, ev.Resumed)
_PAUSE_REQUEST = _types(ev.PauseRequested, ev.ResumeRequested)
_DRAIN = _types(ev.DrainRequested, ev.Undrained)
_HOLD = _types(ev.Held, ev.HoldReleased)

_BY_KIND: Mapping[type[Event], frozenset[str]] = {
    # A node's reports of itself. Each says how the node is as a whole.
    ev.Joined: _types(ev.Joined, ev.Leaving, ev.Left),
    ev.Leaving: _types(ev.Joined),
    ev.Left: _types(ev.Joined),
    ev.Paused: _PAUSE,
    ev.Resumed: _PAUSE,
    # Orders about a node. The last one counts.
    ev.PauseRequested: _PAUSE_REQUEST,
    ev.ResumeRequested: _PAUSE_REQUEST,
    ev.DrainRequested: _DRAIN,
    ev.Undrained: _DRAIN,
    ev.Listed: _types(ev.Listed, ev.Forgotten),
    ev.Quarantined: _types(ev.Quarantined, ev.Undrained),
    # Orders about a batch. Kills of several jobs add up.
    ev.KillRequested: _types(ev.RetryRequested),
    ev.RetryRequested: _types(ev.KillRequested),
    ev.Reprioritized: _types(ev.Reprioritized),
    ev.Held: _HOLD,
    ev.HoldReleased: _HOLD,
    ev.Edited: _types(ev.Edited),
    ev.Completed: _types(ev.RetryRequested),
    ev.BatchArchived: _types(ev.RetryRequested),
    # The scheduler's decisions about an attempt. A later attempt may have the same number.
    ev.Assigned: _types(ev.Assigned),
    ev.StopOrdered: _types(ev.Assigned),
    ev.Released: _types(ev.Assigned),
    ev.Excused: _types(ev.Assigned),
    # The fold judges these by what they name: an event before, a submission, or a node's incarnation.
    ev.Submitted: frozenset(),
    ev.MoveRequested: frozenset(),
    ev.Compacted: frozenset(),
    ev.Deleted: frozenset(),
    ev.Notified: frozenset(),
    ev.Claimed: frozenset(),
    ev.Started: frozenset(),
    ev.Finished: frozenset(),
    ev.Yielded: frozenset(),
    ev.Collected: frozenset(),
    ev.JobArchived: frozenset(),
    ev.BuildStarted: frozenset(),
    ev.BuildFinished: frozenset(),
    ev.BuildCollected: frozenset(),
    ev.Lost: frozenset(),
    ev.Forgotten: frozenset(),
    ev.Superseded: frozenset(),
}

OUTDATED_BY: Mapping[str, frozenset[str]] = {type_of(kind): types for kind, types in _BY_KIND.items()}
"""By type: the types of later events of the same scope that make an event out of date."""

_DECISIONS = _types(ev.Assigned, ev.StopOrdered, ev.Released, ev.Excused)


def closed_with(event: Event) -> BatchId | None:
    """The batch whose compaction makes a lost or late event out of date. None: no compaction does.

    It removes from the stream what came before a decision of the scheduler, and what came since. So no guard
    of the job can tell any more that the decision is late, and the node that it names would act on it.
    """
    return event.batch_id if isinstance(event, ev.JobEvent) and event.type in _DECISIONS else None


_MISSING = set(KINDS) - _BY_KIND.keys()
assert not _MISSING, f"what makes {_MISSING} out of date?"
