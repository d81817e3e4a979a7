"""Find out what a refused guard means: a conflict, our own event after a lost answer, or neither."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from distribute.core.errors import Conflict, LogReplaced
from distribute.core.ids import BatchId, Guarded
from distribute.core.log.recorded import Guard
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import Stored, leader_get
from distribute.nats.stream import parts
from distribute.nats.stream.subjects import scope_filter


class ScopeGuard(NamedTuple):
    """A guard, and its scope (or everything under a batch).

    `is_event` tells whether readers accept a message as an event. `now_at` gives the new sequence of an event
    that was appended again because the log had lost it. `closed_with` is the batch whose compaction makes the
    event out of date, if there is one.
    """

    stream: str
    scope: Guarded
    guard: Guard
    is_event: Callable[[Stored], Awaitable[bool]]
    now_at: Callable[[Guarded, int], Awaitable[int]]
    closed_with: BatchId | None = None

    @property
    def filter(self) -> str:
        return scope_filter(self.scope)


class Settled(NamedTuple):
    """The event is stored at `stored_seq`. If that is None, send it again with the guard `expected_seq`."""

    stored_seq: int | None
    expected_seq: int


async def settle(connection: Connection, condition: ScopeGuard, message_id: str) -> Settled:
    """Find out what a refused guard means.

    If our event is in the log, it is the first of its scope behind the one that the guard names, whatever
    came after it. So we look at the first event there, not at the scope's last one. We skip garbage, as
    readers do; otherwise one garbage message would block its scope for ever.

    Raises:
        Conflict: another event was appended to the scope.
        LogReplaced: the log has less of the scope than the author of the event knew.
        NobodyAnswers, Unreachable: the broker could not be asked.
    """
    stream, scope, guard, is_event, now_at, closed_with = condition
    if guard.last_seq:
        guard = guard._replace(last_seq=await now_at(scope, guard.last_seq))
    last = await leader_get(connection, stream, {"last_by_subj": condition.filter})
    found_seq = last.seq if last is not None else 0
    if guard.holds(found_seq):
        return Settled(None, found_seq)
    if found_seq < guard.last_seq:
        if await _was_removed(connection, stream, guard.last_seq):
            compacted_seq = await _compacted_seq(connection, stream, closed_with)
            if compacted_seq > guard.behind:
                raise Conflict(scope, guard.last_seq, beaten_by_seq=compacted_seq, last_seq=found_seq)
            return Settled(None, found_seq)  # it was the last one, and the scope has none behind it
        raise LogReplaced(
            f"{connection.address}: the log has lost its end, or was restored from an older copy: the last "
            f"event of {scope} was at {guard.last_seq}, and now it is at {found_seq}"
        )
    passed_seq = guard.behind
    while True:
        wanted = {"seq": passed_seq + 1, "next_by_subj": condition.filter}
        first = await leader_get(connection, stream, wanted)
        if first is None:
            return Settled(None, max(passed_seq, found_seq))
        if _is_of(first, message_id):
            return Settled(_last_part_seq(first), 0)
        if await is_event(first):
            beaten_by_seq = _last_part_seq(first)
            raise Conflict(scope, guard.last_seq, beaten_by_seq=beaten_by_seq, last_seq=found_seq)
        passed_seq = first.seq


async def _was_removed(connection: Connection, stream: str, seq: int) -> bool:
    """Was the message at this sequence removed, as by a compaction? The stream goes on behind it."""
    there = await leader_get(connection, stream, {"seq": seq, "next_by_subj": ">"})
    return there is not None and there.seq > seq


async def _compacted_seq(connection: Connection, stream: str, batch: BatchId | None) -> int:
    """The sequence at which the batch was compacted; 0: it was not, or there is no batch to ask about."""
    if batch is None:
        return 0
    last = await leader_get(connection, stream, {"last_by_subj": scope_filter(batch, "compacted")})
    return last.seq if last is not None else 0


def _is_of(stored: Stored, message_id: str) -> bool:
    found = stored.fields.get("Nats-Msg-Id", "")
    return found == message_id or (parts.is_part(stored.payload) and found.rpartition(".")[0] == message_id)


def _last_part_seq(stored: Stored) -> int:
    if not parts.is_part(stored.payload):
        return stored.seq
    index, count = parts.place(stored.payload)
    return stored.seq + count - 1 - index
