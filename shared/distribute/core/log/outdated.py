"""Which later events make a lost event out of date, so that its author must not append it again.

The fold would take an old order or an old report for the newest one. An event that continues another (its
`causation`) needs no rule: the fold refuses it if something else came between. A decision (`DECISIONS`) was
made on the whole state of its scope: whatever else came there since makes it out of date, and the scheduler
decides again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

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
    # Decisions: `is_overtaken` judges them.
    ev.Completed: frozenset(),
    ev.BatchArchived: frozenset(),
    ev.Assigned: frozenset(),
    ev.StopOrdered: frozenset(),
    ev.Released: frozenset(),
    ev.Excused: frozenset(),
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

ENDS_OF_BATCHES = _types(ev.Completed, ev.BatchArchived)
"""Decisions about a whole batch. Whoever reads one, folding or not, may believe it."""

_ABOUT_JOBS = _types(ev.Assigned, ev.StopOrdered, ev.Released, ev.Excused)

DECISIONS = ENDS_OF_BATCHES | _ABOUT_JOBS
"""What the scheduler decides on the state of a job or a batch, and would decide again on that state."""


def is_overtaken(decision: Event, news: Iterable[Event], own: Container[str]) -> bool:
    """Did anything come to the scope of a lost decision that its author had not read when deciding?

    `news` is what came since the log lost its end, in order. The events of ids `own` are earlier ones of the
    same author, appended again. What follows from the decision itself does not count: a node says again that
    it claimed a job before the scheduler says again that the node has it.
    """
    following = {decision.id}
    for event in news:
        if event.causation in following:
            following.add(event.id)
        elif event.id not in own:
            return True
    return False


def closed_with(event: Event) -> BatchId | None:
    """The batch whose compaction makes a lost or late event out of date. None: no compaction does.

    It removes from the stream what came before a decision of the scheduler, and what came since. So no guard
    of the job can tell any more that the decision is late, and the node that it names would act on it.
    """
    return event.batch_id if isinstance(event, ev.JobEvent) and event.type in _ABOUT_JOBS else None


_MISSING = set(KINDS) - _BY_KIND.keys()
assert not _MISSING, f"what makes {_MISSING} out of date?"
