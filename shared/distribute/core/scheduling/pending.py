"""Pending events: decided on, but not back from the log. They count as done, so appends can be pipelined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from distribute.core.ids import BatchId, JobId, Scope
from distribute.core.log import events as ev
from distribute.core.scheduling.matching import NOTHING_HELD, Held
from distribute.core.state.state import BatchState


@dataclass(slots=True)
class Pending:
    """The pending events, by scope and in order, and what they will take of nodes and people."""

    of_scope: dict[Scope, list[ev.Event]] = field(default_factory=dict)
    jobs: dict[BatchId, int] = field(default_factory=dict)
    """The number of pending events about jobs of each batch."""
    quarantines: set[str] = field(default_factory=set)
    """The nodes with a pending quarantine."""
    held: dict[str, Held] = field(default_factory=dict)
    """What pending assignments will take, by node."""
    cores: dict[str, int] = field(default_factory=dict)
    """The cores that pending assignments will take, by user."""
    _users: dict[str, str] = field(default_factory=dict)
    """The user of each pending assignment, by the event's id."""

    def __contains__(self, scope: Scope) -> bool:
        return scope in self.of_scope

    def __bool__(self) -> bool:
        return bool(self.of_scope)

    def held_of(self, node: str) -> Held:
        """What pending assignments will take of the node."""
        return self.held.get(node, NOTHING_HELD)

    def add(self, event: ev.Event) -> None:
        """Add a pending event that assigns no job."""
        self.of_scope.setdefault(event.scope, []).append(event)
        if type(event) is ev.Quarantined:
            self.quarantines.add(event.node)
        if event.about == "job":
            self._count(event.batch_id)

    def assign(self, event: ev.Assigned, batch: BatchState) -> None:
        """Add a pending assignment of a job of this batch."""
        self.of_scope.setdefault(event.scope, []).append(event)
        self._count(batch.id)
        user = self._users[event.id] = batch.user
        self.cores[user] = self.cores.get(user, 0) + event.cpus
        held = self.held.get(event.node)
        if held is None:
            held = self.held[event.node] = Held()
        held.add(event.cpus, event.memory_bytes, event.gpus)

    def _count(self, batch_id: BatchId) -> None:
        self.jobs[batch_id] = self.jobs.get(batch_id, 0) + 1

    def settle(self, event: ev.Event) -> list[ev.Event]:
        """Take an event from the log. Returns the events that are no longer pending: the event itself if it
        is ours, or else those of its scope whose guards fail now."""
        if not self.of_scope:
            return []
        scope = event.scope
        expected = self.of_scope.get(scope)
        if expected is None:
            return []
        if expected[0].id == event.id:
            return self._take(scope, 1)
        last = expected[-1]
        # The guard of one in a batch with `max_running` does not cover the job: it may still hold.
        is_open = type(last) is ev.Assigned and last.limited
        return self._take(scope, len(expected) - 1 if is_open else len(expected))

    def drop(self, scope: Scope) -> list[ev.Event]:
        """Remove all pending events about a scope, and return them."""
        return self._take(scope, len(self.of_scope.get(scope, ())))

    def has(self, event: ev.Event) -> bool:
        """Is this event pending?"""
        return any(one.id == event.id for one in self.of_scope.get(event.scope, ()))

    def assignments(self) -> Iterator[ev.Assigned]:
        """The pending assignments."""
        for events in self.of_scope.values():
            yield from (event for event in events if isinstance(event, ev.Assigned))

    def excuses(self, job: JobId) -> bool:
        """Is an `excused` of the job pending?"""
        return any(isinstance(event, ev.Excused) for event in self.of_scope.get(job, ()))

    def of_batch(self, batch_id: BatchId) -> list[Scope]:
        """The jobs of a batch that have pending events."""
        return [
            scope
            for scope, events in self.of_scope.items()
            if isinstance(events[0], ev.JobEvent) and events[0].batch_id == batch_id
        ]

    def _take(self, scope: Scope, count: int) -> list[ev.Event]:
        if not count:
            return []
        events = self.of_scope[scope]
        taken = events[:count]
        del events[:count]
        if not events:
            del self.of_scope[scope]
        for event in taken:
            self._let_go(event)
        return taken

    def _let_go(self, event: ev.Event) -> None:
        if type(event) is ev.Quarantined:
            self.quarantines.discard(event.node)
        if event.about != "job":
            return
        batch_id = event.batch_id
        self.jobs[batch_id] -= 1
        if not self.jobs[batch_id]:
            del self.jobs[batch_id]
        if type(event) is not ev.Assigned:
            return
        user = self._users.pop(event.id)
        self.cores[user] -= event.cpus
        if not self.cores[user]:
            del self.cores[user]
        held = self.held[event.node]
        held.remove(event.cpus, event.memory_bytes, event.gpus)
        if not held.jobs:
            del self.held[event.node]
