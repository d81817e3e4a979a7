"""What a broker keeps of the log: bytes in, events out, every one of them through the codec."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from distribute.codec import decode
from distribute.core import events as ev
from distribute.core.authors import subject_author
from distribute.core.events import Event
from distribute.core.ids import BatchId, Scope, Under
from distribute.core.recorded import Recorded
from distribute.ports import Only


class StoredEvents:
    """Events by sequence (from 1 on), and the sequences of each scope and of all under each batch."""

    def __init__(self) -> None:
        self._records: list[Recorded] = []
        self._of_scope: dict[Scope | Under, list[int]] = {}

    def store(self, body: bytes, time: float) -> Recorded:
        """Keep an encoded event. `time` is the log's, in seconds since 1970."""
        recorded = Recorded(self.last_seq + 1, time, decode(body))
        self._records.append(recorded)
        event = recorded.event
        self._of_scope.setdefault(event.scope, []).append(recorded.seq)
        if not isinstance(event, ev.NodeEvent):
            self._of_scope.setdefault(Under(_batch_of(event)), []).append(recorded.seq)
        return recorded

    @property
    def last_seq(self) -> int:
        """The sequence of the last event; 0: there is none."""
        return len(self._records)

    def get(self, seq: int) -> Recorded:
        """The event at a sequence. Raises `KeyError` where there is none."""
        if not 0 < seq <= len(self._records):
            raise KeyError(seq)
        return self._records[seq - 1]

    def between(self, after: int, until: int) -> Sequence[Recorded]:
        """The events behind sequence `after`, up to and with `until`."""
        return self._records[after:until]

    def last_seq_of(self, scope: Scope | Under) -> int:
        """The sequence of a scope's last event; 0: it has none."""
        sequences = self._of_scope.get(scope)
        return sequences[-1] if sequences else 0

    def last_of(self, scope: Scope | Under) -> Recorded | None:
        """A scope's last event."""
        seq = self.last_seq_of(scope)
        return self.get(seq) if seq else None

    def of_scope(self, scope: Scope | Under) -> list[Recorded]:
        """All events of a scope."""
        return [self.get(seq) for seq in self._of_scope.get(scope, ())]

    def first_of(self, scope: Scope | Under, behind: int) -> Recorded | None:
        """A scope's first event behind a sequence."""
        sequences = self._of_scope.get(scope, [])
        position = bisect_right(sequences, behind)
        return self.get(sequences[position]) if position < len(sequences) else None


def wanted(only: Only, event: Event) -> bool:
    """Is the event one of those that a reader asked for?"""
    if only.scope is not None:
        return only.scope == event.scope
    if event.type in only.also:
        return True
    if only.types is not None and event.type not in only.types:
        return False
    match event:
        case ev.BatchEvent():
            return only.node is None and only.batch in {None, event.scope}
        case ev.JobEvent():
            return only.batch in {None, event.batch_id} and only.node in {None, subject_author(event)}
        case ev.BuildEvent():
            return only.batch in {None, event.batch_id} and only.node in {None, event.node}
        case _:
            return only.batch is None and only.node in {None, event.node}


def _batch_of(event: ev.BatchEvent | ev.JobEvent | ev.BuildEvent) -> BatchId:
    return event.scope if isinstance(event, ev.BatchEvent) else event.batch_id
