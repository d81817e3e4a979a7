"""What a refused guard means: a real conflict, our own event after a lost answer, or a deleted namesake."""

from __future__ import annotations

from typing import NamedTuple

from distribute.core.errors import Conflict
from distribute.core.events import Guard
from distribute.core.ids import Scope, Under
from distribute.nats import parts
from distribute.nats.connection import Connection
from distribute.nats.jetstream import Stored, leader_get
from distribute.nats.subjects import scope_filter


class ScopeGuard(NamedTuple):
    """A guard, and the scope of the stream whose last event it speaks of, or everything under a batch."""

    stream: str
    scope: Scope | Under
    guard: Guard

    @property
    def filter(self) -> str:
        return scope_filter(self.scope)


class Settled(NamedTuple):
    """Stored already, at `stored_seq`; or else to be sent again, expecting `expected_seq`."""

    stored_seq: int | None
    expected_seq: int


async def settle(connection: Connection, condition: ScopeGuard, message_id: str) -> Settled:
    """Find out what a refused guard means.

    Were the event in the log, it would be the first of its scope behind what the guard names, whatever
    came after it: so that one decides, not the scope's last.

    Raises:
        Conflict: the scope moved on, by another event.
        NoResponder, Unreachable: the broker could not be asked.
    """
    guard = condition.guard
    last = await leader_get(connection, condition.stream, {"last_by_subj": condition.filter})
    found_seq = last.seq if last is not None else 0
    if guard.holds(found_seq):
        return Settled(None, found_seq)
    first = await leader_get(
        connection, condition.stream, {"seq": guard.behind + 1, "next_by_subj": condition.filter}
    )
    if first is not None and _is_of(first, message_id):
        return Settled(_last_part_seq(first), 0)
    raise Conflict(condition.scope, guard.last_seq, found_seq)


def _is_of(stored: Stored, message_id: str) -> bool:
    found = stored.fields.get("Nats-Msg-Id", "")
    return found == message_id or (parts.is_part(stored.payload) and found.rpartition(".")[0] == message_id)


def _last_part_seq(stored: Stored) -> int:
    if not parts.is_part(stored.payload):
        return stored.seq
    index, count = parts.place(stored.payload)
    return stored.seq + count - 1 - index
