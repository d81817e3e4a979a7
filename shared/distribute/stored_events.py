"""What a broker keeps of the log: bytes in, events out, every one of them through the codec."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from distribute.codec import decode
from distribute.core.ids import Assignments, BatchId, Guarded, Scope, Under
from distribute.core.log import events as ev
from distribute.core.log.authors import subject_author
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.ports import BEGINNING, Only, Place


class StoredEvents:
    """Messages by sequence (from 1 on), and the sequences of each scope and of all under each batch.

    A message that nobody can read as an event has a sequence, too, and so has one that was purged; readers
    pass both by.
    """

    def __init__(self) -> None:
        self._messages: list[Recorded | None] = []
        self._of_scope: dict[Guarded, list[int]] = {}
        self._purged: set[int] = set()

    def store(self, body: bytes, time: float) -> Recorded:
        """Keep an encoded event. `time` is the log's, in seconds since 1970."""
        recorded = Recorded(self.last_seq + 1, time, decode(body))
        self._messages.append(recorded)
        for scope in _scopes_of(recorded.event):
            self._of_scope.setdefault(scope, []).append(recorded.seq)
        return recorded

    def store_garbage(self, scope: Scope) -> None:
        """Keep a message of a scope that nobody can read."""
        self._messages.append(None)
        self._of_scope.setdefault(scope, []).append(self.last_seq)

    def lose_end(self, count: int) -> list[Recorded]:
        """Lose the last messages. Returns the events among them."""
        lost: list[Recorded] = []
        for _ in range(min(count, self.last_seq)):
            seq, message = self.last_seq, self._messages.pop()
            self._purged.discard(seq)
            for sequences in self._of_scope.values():
                if sequences and sequences[-1] == seq:
                    sequences.pop()
            if message is not None:
                lost.insert(0, message)
        return lost

    def purge(self, batch: BatchId, before: int) -> None:
        """Remove the messages under a batch below a sequence."""
        purged = {seq for seq in self._of_scope.get(Under(batch), ()) if seq < before}
        for seq in purged:
            self._messages[seq - 1] = None
        for scope, sequences in self._of_scope.items():
            self._of_scope[scope] = [seq for seq in sequences if seq not in purged]
        self._purged |= purged

    def was_purged(self, seq: int) -> bool:
        """Was the message at a sequence removed?"""
        return seq in self._purged

    @property
    def last_seq(self) -> int:
        """The sequence of the last message; 0: there is none."""
        return len(self._messages)

    @property
    def last_event_seq(self) -> int:
        """The sequence of the last event; 0: there is none."""
        return next((event.seq for event in reversed(self._messages) if event is not None), 0)

    @property
    def end(self) -> Place:
        """The place of the last event."""
        seq = self.last_event_seq
        return Place(seq, self.get(seq).time) if seq else BEGINNING

    def get(self, seq: int) -> Recorded:
        """The event at a sequence. Raises `KeyError` if there is none."""
        found = self._messages[seq - 1] if 0 < seq <= self.last_seq else None
        if found is None:
            raise KeyError(seq)
        return found

    def is_same(self, seq: int, time: float | None) -> bool:
        """Whether there still is a message at a sequence, of this time if that is known."""
        if seq == 0 or time is None:
            return seq <= self.last_seq
        found = self._messages[seq - 1] if seq <= self.last_seq else None
        return self.was_purged(seq) or (found is not None and found.time == time)

    def between(self, after: int, until: int) -> Sequence[Recorded]:
        """The events behind sequence `after`, up to and with `until`."""
        return [message for message in self._messages[after:until] if message is not None]

    def last_seq_of(self, scope: Guarded) -> int:
        """The sequence of a scope's last message; 0: it has none."""
        sequences = self._of_scope.get(scope)
        return sequences[-1] if sequences else 0

    def last_of(self, scope: Guarded, event_type: str | None = None) -> Recorded | None:
        """A scope's last event, or its last one of a type."""
        newest_first = self._events(reversed(self._of_scope.get(scope, ())))
        return next((found for found in newest_first if event_type in {None, found.event.type}), None)

    def first_of(self, scope: Guarded, behind: int) -> Recorded | None:
        """A scope's first event behind a sequence."""
        return next(self._events(self._seqs_behind(scope, behind)), None)

    def since(self, scope: Guarded, behind: int) -> list[Recorded]:
        """A scope's events behind a sequence."""
        return list(self._events(self._seqs_behind(scope, behind)))

    def _seqs_behind(self, scope: Guarded, behind: int) -> list[int]:
        sequences = self._of_scope.get(scope, [])
        return sequences[bisect_right(sequences, behind) :]

    def _events(self, sequences: Iterable[int]) -> Iterator[Recorded]:
        for seq in sequences:
            message = self._messages[seq - 1]
            if message is not None:
                yield message


def _scopes_of(event: Event) -> list[Guarded]:
    if isinstance(event, ev.NodeEvent):
        return [event.scope]
    under = Under(event.batch_id)
    if isinstance(event, ev.Assigned):
        return [event.scope, under, Assignments(under)]
    return [event.scope, under]


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
            return only.node is None and (only.batch is None or only.batch == event.scope)
        case ev.JobEvent():
            return (only.node is None or only.node == subject_author(event)) and (
                only.batch is None or only.batch == event.batch_id
            )
        case ev.BuildEvent():
            return only.node in {None, event.node} and (only.batch is None or only.batch == event.batch_id)
        case _:
            return only.batch is None and only.node in {None, event.node}
