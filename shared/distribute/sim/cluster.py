"""A simulated cluster: the contents of its broker, and `ports.Cluster` for each process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from distribute.codec import decode_beat, encode_beat
from distribute.core.ids import BuildId, JobId
from distribute.core.log.beats import Beat
from distribute.ports import Only
from distribute.sim.durable import Consumer, DurableReader, SimulatedDelivery
from distribute.sim.log import ALL, SimulatedLog
from distribute.sim.network import Broker, Link
from distribute.sim.queries import Servers, SimulatedQueries
from distribute.sim.store import SimulatedStore
from distribute.whole_log import WholeLog

BEAT_KEPT_S = 15.0
LOOK_AGAIN_S = 1.0


@dataclass(slots=True)
class Hub:
    """The broker's contents besides the log and the files."""

    broker: Broker
    consumers: dict[str, Consumer] = field(default_factory=dict)
    beats: dict[str, tuple[Beat, float]] = field(default_factory=dict)
    """Each node's last heartbeat, and when it came."""
    listeners: dict[SimulatedBeats, None] = field(default_factory=dict)
    servers: Servers = field(default_factory=dict)
    output: dict[tuple[JobId | BuildId, int], list[tuple[float, bytes]]] = field(default_factory=dict)

    def beat(self, body: bytes) -> Beat:
        """Store a heartbeat, and return it."""
        beat = decode_beat(body)
        self.beats[beat.node] = beat, self.broker.loop.now
        for listener in self.listeners:
            listener.deliver(beat)
        return beat

    def last_beat(self, node: str) -> Beat | None:
        beat, came_at = self.beats.get(node, (None, 0.0))
        return beat if self.broker.loop.now - came_at <= BEAT_KEPT_S else None


class SimulatedBeats:
    """`ports.Beats`. A heartbeat that the network loses is lost."""

    def __init__(self, hub: Hub, link: Link) -> None:
        self._hub = hub
        self._link = link
        self._arrived: dict[str, Beat] = {}
        self._waiting: asyncio.Future[None] | None = None

    async def send(self, beat: Beat) -> None:
        """As `ports.Beats.send`."""
        body = encode_beat(beat)
        self._link.request(lambda: self._hub.beat(body), lambda _: None)

    async def last(self, node: str) -> Beat | None:
        """As `ports.Beats.last`."""
        return await self._link.ask(lambda: self._hub.last_beat(node))

    async def follow(self) -> AsyncGenerator[Beat, None]:
        """As `ports.Beats.follow`. One process follows once."""
        self._hub.listeners[self] = None
        try:
            kept = await self._link.ask(lambda: list(self._hub.beats))
            for node in kept:
                beat = await self.last(node)
                if beat is not None:
                    yield beat
            while True:
                arrived, self._arrived = self._arrived, {}
                for beat in arrived.values():
                    yield beat
                if not self._arrived:
                    self._waiting = self._link.loop.create_future()
                    await self._waiting
        finally:
            del self._hub.listeners[self]

    def deliver(self, beat: Beat) -> None:
        """Take a heartbeat that is on its way here."""
        if self._link.connected and not self._link.loop.chance(self._link.weather().loss):
            self._link.deliver(lambda: self._arrive(beat))

    def _arrive(self, beat: Beat) -> None:
        self._arrived[beat.node] = beat
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class SimulatedLiveOutput:
    """`ports.LiveOutput`."""

    def __init__(self, hub: Hub, link: Link) -> None:
        self._hub = hub
        self._link = link

    async def send(self, of: JobId | BuildId, attempt: int, text: bytes) -> None:
        """As `ports.LiveOutput.send`."""
        pieces = self._hub.output.setdefault((of, attempt), [])
        self._link.request(lambda: pieces.append((self._hub.broker.clock, text)), lambda _: None)

    async def follow(
        self, of: JobId | BuildId, attempt: int, *, since: float = 0.0
    ) -> AsyncGenerator[bytes, None]:
        """As `ports.LiveOutput.follow`."""
        read = 0
        while True:
            pieces = await self._link.ask(lambda: list(self._hub.output.get((of, attempt), ())))
            for came_at, text in pieces[read:]:
                if came_at >= since:
                    yield text
            read = len(pieces)
            await asyncio.sleep(LOOK_AGAIN_S)


class SimulatedCluster:
    """`ports.Cluster` on one simulated connection."""

    def __init__(
        self,
        hub: Hub,
        link: Link,
        new_id: Callable[[], str],
        log: Callable[[Link], SimulatedLog] = SimulatedLog,
    ) -> None:
        self._hub = hub
        self._link = link
        self.stream = log(link)
        self.store = SimulatedStore(link, new_id)
        self.log = WholeLog(self.stream, lambda: self.store)
        self.beats = SimulatedBeats(hub, link)
        self.live = SimulatedLiveOutput(hub, link)
        self.queries = SimulatedQueries(hub.servers, link)

    def durable(self, name: str, only: Only = ALL) -> AsyncGenerator[SimulatedDelivery, None]:
        """As `ports.Cluster.durable`."""
        if name not in self._hub.consumers:
            self._hub.consumers[name] = Consumer(self._hub.broker, only)
        return DurableReader(self._link, self._hub.consumers[name]).deliveries()

    @property
    def connected(self) -> bool:
        """As `ports.Cluster.connected`."""
        return self._link.connected

    def on_return(self, callback: Callable[[], None]) -> Callable[[], None]:
        """As `ports.Cluster.on_return`."""
        self._link.on_return.append(callback)
        return lambda: self._link.on_return.remove(callback)
