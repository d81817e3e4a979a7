"""Durable readers: the broker remembers acknowledgements over crashes of the reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from distribute.core.log.recorded import Recorded
from distribute.ports import Only
from distribute.sim.network import Broker, Link
from distribute.stored_events import wanted

ACK_WAIT_S = 10.0


class Consumer:
    """The broker's side of a durable reader. It delivers again what is not acknowledged."""

    def __init__(self, broker: Broker, only: Only) -> None:
        self._broker = broker
        self._only = only
        self._position = 0
        self._unacked: dict[int, float] = {}
        """The deadline of each delivery, by sequence."""
        self._reader: DurableReader | None = None
        broker.readers.append(lambda _: self.wake())

    def attach(self, reader: DurableReader | None) -> None:
        """Deliver to this process."""
        self._reader = reader
        self.wake()

    def ack(self, seq: int) -> None:
        self._unacked.pop(seq, None)

    def in_progress(self, seq: int) -> None:
        if seq in self._unacked:
            self._unacked[seq] = self._broker.loop.now + ACK_WAIT_S

    def wake(self) -> None:
        if self._reader is None or not self._reader.link.connected or not self._broker.up:
            return
        until = self._broker.stored.last_seq
        news = self._broker.stored.between(self._position, until)
        self._position = max(self._position, until)
        for recorded in news:
            if wanted(self._only, recorded.event):
                self._send(recorded)

    def _send(self, recorded: Recorded) -> None:
        loop, reader = self._broker.loop, self._reader
        self._unacked[recorded.seq] = loop.now + ACK_WAIT_S
        if reader is not None and reader.link.connected and self._broker.up:
            reader.link.deliver(lambda: reader.arrive(recorded))
        loop.after(ACK_WAIT_S, lambda: self._look(recorded))

    def _look(self, recorded: Recorded) -> None:
        deadline = self._unacked.get(recorded.seq)
        if deadline is None:
            return
        if deadline > self._broker.loop.now:
            self._broker.loop.at(deadline, lambda: self._look(recorded))
        else:
            self._send(recorded)


class SimulatedDelivery:
    """`ports.Delivery`."""

    def __init__(self, link: Link, consumer: Consumer, recorded: Recorded) -> None:
        self.recorded = recorded
        self._link = link
        self._consumer = consumer

    def ack(self) -> None:
        """As `ports.Delivery.ack`."""
        self._link.request(lambda: self._consumer.ack(self.recorded.seq), _ignore)

    def in_progress(self) -> None:
        """As `ports.Delivery.in_progress`."""
        self._link.request(lambda: self._consumer.in_progress(self.recorded.seq), _ignore)


class DurableReader:
    """A process's side of a durable reader."""

    def __init__(self, link: Link, consumer: Consumer) -> None:
        self.link = link
        self._consumer = consumer
        self._arrived: deque[SimulatedDelivery] = deque()
        self._waiting: asyncio.Future[None] | None = None

    async def deliveries(self) -> AsyncGenerator[SimulatedDelivery, None]:
        """As `ports.Cluster.durable`."""
        self.link.on_return.append(self._consumer.wake)
        self._consumer.attach(self)
        keeping = asyncio.create_task(self._keep_untaken())
        try:
            while True:
                while self._arrived:
                    yield self._arrived.popleft()
                self._waiting = self.link.loop.create_future()
                await self._waiting
        finally:
            keeping.cancel()
            self.link.on_return.remove(self._consumer.wake)

    def arrive(self, recorded: Recorded) -> None:
        self._arrived.append(SimulatedDelivery(self.link, self._consumer, recorded))
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _keep_untaken(self) -> None:
        while True:
            await asyncio.sleep(ACK_WAIT_S / 3)
            for delivery in self._arrived:
                delivery.in_progress()


def _ignore(_: object) -> None:
    """A message without an answer."""
