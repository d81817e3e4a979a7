"""A reader of the simulated log, as `nats.stream.pulling` is one: late, in order, and it may stall."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from distribute.core.errors import LogReplaced
from distribute.core.log.recorded import Recorded
from distribute.ports import Only
from distribute.sim.network import Link
from distribute.stored_events import wanted

SILENT_S = 25.0
"""So long after the last heartbeat of what delivers, a client takes it for gone."""


class Follower:
    """A reader of the log: it gets every event wanted, once, in order, late."""

    def __init__(self, link: Link, after: int, at: float | None, only: Only, until: int | None) -> None:
        self.position = after
        """The sequence up to which the log was read."""
        self._read = after
        self._read_at = at
        """The last event that was handed on, or that was read before: its sequence, and its time if known."""
        self._until = until
        self.is_over = until is not None and after >= until
        """Whether the reader has all that it wants, or all of that which the log has."""
        self._link = link
        self._only = only
        self._under_way = False
        self._deliveries = 0
        """How often the broker was asked to deliver. We ignore what an earlier delivery still brings."""
        self._is_stalled = False
        self._replaced: LogReplaced | None = None
        self.arrived: deque[Sequence[Recorded]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        link.on_return.append(self._begin_anew)
        link.broker.readers.append(self._on_event)
        link.followers.append(self)
        if link.connected and not self.is_over:
            self._look_and_wake()

    async def take(self) -> Sequence[Recorded]:
        """The events of the next delivery. They may be none only at the end.

        Raises:
            LogReplaced: the log has lost something that was read.
        """
        while not self.arrived:
            if self._replaced is not None:
                raise self._replaced
            self._waiting = self._link.loop.create_future()
            await self._waiting
        return self.arrived.popleft()

    def fail(self, error: LogReplaced) -> None:
        """Have `take` raise an error, after what has arrived. What comes now would be of another log."""
        self._replaced = error
        self._deliveries += 1
        self._notify()

    def close(self) -> None:
        self._link.on_return.remove(self._begin_anew)
        self._link.broker.readers.remove(self._on_event)
        self._link.followers.remove(self)

    def stall(self) -> None:
        """Nothing comes any more, though the connection lives: the broker has dropped what delivers.

        The client misses the heartbeats of that, and has the broker deliver from where it is.
        """
        self._is_stalled = True
        self._link.loop.after(SILENT_S, self.deliver_again)

    def deliver_again(self) -> None:
        """The client has noticed that nothing comes."""
        if self._link.connected:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._is_stalled = self._under_way = False
        self._deliveries += 1
        self._look_and_wake()

    def _look_and_wake(self) -> None:
        """The connection, or what delivers, is new: is the log still the one that was read?"""
        stored = self._link.broker.stored
        if not stored.is_same(self._read, self._read_at):
            self.fail(LogReplaced(f"the log does not have any more what was at {self._read}"))
        else:
            self.position = self._read  # what it skipped behind that may be lost, and other events be there
            self.wake()

    def _notify(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _on_event(self, recorded: Recorded | None) -> None:
        if self._is_stalled:
            return
        if recorded is None or wanted(self._only, recorded.event) or recorded.seq == self._until:
            self.wake()
        elif self.position == recorded.seq - 1 and not self._under_way:
            self.position = recorded.seq  # the broker does not send what the reader does not want

    @property
    def _end(self) -> int:
        last_seq = self._link.broker.stored.last_seq
        return last_seq if self._until is None else min(last_seq, self._until)

    def wake(self) -> None:
        if self._replaced is not None or self._under_way or self._is_stalled or not self._link.connected:
            return
        if self.is_over or (self._until is None and self.position >= self._end):
            return
        self._under_way = True
        delivery = self._deliveries
        self._link.deliver(lambda: self._arrive(delivery), lambda: self._miss(delivery))

    def _miss(self, delivery: int) -> None:
        if delivery == self._deliveries:
            self._under_way = False

    def _arrive(self, delivery: int) -> None:
        if delivery != self._deliveries:
            return
        self._under_way = False
        broker, loop = self._link.broker, self._link.loop
        if not broker.up or self._is_stalled:
            return
        until = self._end
        if until - self.position > 1 and loop.chance(0.5):
            until = loop.random.randint(self.position + 1, until)
        records = [
            recorded
            for recorded in broker.stored.between(self.position, until)
            if wanted(self._only, recorded.event)
        ]
        self.position = until
        self.is_over = self._until is not None and until >= self._end
        if records or self.is_over:
            self.arrived.append(records)
            if records:
                self._read, self._read_at = records[-1].seq, records[-1].time
            self._notify()
        self.wake()
