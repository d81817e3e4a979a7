"""What happened to the nodes that had the jobs of which a history tells."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from distribute.client.job_log import read_events
from distribute.client.words import local_moment
from distribute.core.ids import JobId, NodeId
from distribute.core.log.events import NodeEvent, types_of
from distribute.core.projections.history import BatchHistory, JobHistory, NodeHistory, Told
from distribute.core.telling.wording import Wording
from distribute.ports import Only
from distribute.saved.log import SavedLog

if TYPE_CHECKING:
    from distribute.core.log.recorded import Recorded
    from distribute.ports import Cluster


class NodesTold:
    """Tells what happened to each node once it has had a job, among the events that gave it jobs.

    A cluster is asked for a node's events when it gets its first job. Of a saved log, each reading goes
    through the whole file: there the events of all nodes come with those of the batch (`with_nodes`).

    `job`: only what this job's nodes do matters; None: those of all jobs.
    """

    def __init__(self, cluster: Cluster, job: JobId | None = None) -> None:
        self._cluster = cluster
        self._job = job
        self._is_saved = isinstance(cluster.log, SavedLog)
        self._histories: dict[str, NodeHistory] = {}
        self._given: set[str] = set()
        self._coming: deque[Told] = deque()

    def with_nodes(self, only: Only) -> Only:
        """What to read, and `note`, to learn of the nodes of these events."""
        return replace(only, also=types_of(NodeEvent)) if self._is_saved else only

    async def note(self, recorded: Recorded) -> None:
        """Note an event: in the order of the log, each that was read."""
        event = recorded.event
        if event.about == "node":
            history = self._histories.setdefault(event.node, NodeHistory(event.node, Wording(local_moment)))
            told = history.tell(recorded)  # all of a node's events decide what counts
            if event.node in self._given:
                self._coming.append(told)
        elif event.type == "assigned" and event.node not in self._given and self._job in {None, event.scope}:
            self._given.add(event.node)
            if not self._is_saved:
                found = [*self._coming, *await self._since(event.node, recorded.seq)]
                self._coming = deque(sorted(found, key=lambda told: told.recorded.seq))

    async def _since(self, node: str, seq: int) -> list[Told]:
        """What happened to a node behind a sequence. Mostly nothing did."""
        last = await self._cluster.log.last(NodeId(node))
        if last is None or last.seq <= seq:
            return []
        history = NodeHistory(node, Wording(local_moment))
        events = await read_events(self._cluster, Only(scope=NodeId(node)), 0, last.seq)
        return [told for told in map(history.tell, events) if told.recorded.seq > seq]

    def before(self, seq: int | None, history: BatchHistory | JobHistory) -> Iterator[Told]:
        """Take what happened to nodes before this sequence. Yields what matters to the batch or job now."""
        while self._coming and (seq is None or self._coming[0].recorded.seq < seq):
            told = self._coming.popleft()
            event = told.recorded.event
            if event.about == "node" and history.is_concerned_by(event):
                yield told
