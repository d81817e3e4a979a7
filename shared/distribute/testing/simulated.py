"""Time, a network and a broker, simulated: one seed decides everything, and nothing waits.

A process of the simulated world reaches the broker by a `Link`, which delays, loses and is cut. What it
says and hears over that is in `simulated_log`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TypeVar

from distribute.core.events import Recorded
from distribute.core.ids import Scope, Under, ulid
from distribute.testing.stored_events import StoredEvents

T = TypeVar("T")

EPOCH_S = 1_767_225_600.0
"""The broker's clock where simulated time is 0."""

DEDUPE_WINDOW_S = 120.0


class Timeline:
    """What happens when. Time stands still between two actions."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self._actions: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count(1)

    def at(self, time: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._actions, (time, next(self._numbers), action))

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        self.at(self.now + delay_s, action)

    def step(self) -> None:
        """Let the next thing happen."""
        self.now, _, action = heapq.heappop(self._actions)
        action()

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def new_id(self) -> str:
        """An event's id."""
        return ulid(round((EPOCH_S + self.now) * 1000), next(self._numbers).to_bytes(10, "big"))


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is. Probabilities of each message; delays in seconds."""

    loss: float = 0.0
    delay_s: float = 0.01
    stall: float = 0.0
    """A message is held up for up to `stall_s`, and what comes behind it on its connection, too."""
    stall_s: float = 0.0
    repeat: float = 0.0
    """Of a delivery of events to begin with some that were delivered before."""


class Broker:
    """The stream of events behind its guards. While it is not `up`, it answers nobody."""

    def __init__(self, timeline: Timeline, *, replicated: bool = False) -> None:
        self.timeline = timeline
        self.up = True
        self.stored = StoredEvents()
        self.on_append: list[Callable[[Recorded], None]] = []
        self.readers: list[Callable[[], None]] = []
        """Called when there may be something to read."""
        self._replicated = replicated
        self._recent: dict[str, tuple[int, float]] = {}

    def publish(self, event_id: str, body: bytes, scope: Scope | Under, expected_seq: int) -> int | None:
        """The sequence of the event, stored now or before; None where the guard refuses it.

        An id that was stored lately, under a guard that does not hold any more: a replicated stream looks
        at the id first, a single one at the guard.
        """
        seq, stored_at = self._recent.get(event_id, (0, 0.0))
        repeated = bool(seq) and self.timeline.now - stored_at <= DEDUPE_WINDOW_S
        if repeated and self._replicated:
            return seq
        if not self.admits(scope, expected_seq):
            return None
        if repeated:
            return seq
        recorded = self.stored.store(body, EPOCH_S + self.timeline.now)
        self._recent[event_id] = (recorded.seq, self.timeline.now)
        for notify in self.on_append:
            notify(recorded)
        self.wake_readers()
        return recorded.seq

    def admits(self, scope: Scope | Under, expected_seq: int) -> bool:
        """The guard as the broker knows it."""
        return self.stored.last_seq_of(scope) == expected_seq

    def come_up(self) -> None:
        self.up = True
        self.wake_readers()

    def wake_readers(self) -> None:
        for wake in self.readers:
            wake()


class Link:
    """A process's connection to the broker. What arrives, arrives in order, each way."""

    def __init__(self, broker: Broker, weather: Callable[[], Weather]) -> None:
        self.broker = broker
        self.timeline = broker.timeline
        self.weather = weather
        self.connected = True
        self.closed = False
        self.on_return: list[Callable[[], None]] = []
        self._out_at = 0.0
        self._in_at = 0.0

    def cut(self) -> None:
        """The network fails: what was sent may arrive still, what comes back does not."""
        self.connected = False

    def heal(self) -> None:
        if not self.connected and not self.closed:
            self.connected = True
            for action in self.on_return:
                action()

    def close(self) -> None:
        """The process is gone: nothing comes back to it."""
        self.closed = True
        self.connected = False

    def request(self, ask: Callable[[], T], answer: Callable[[T], None]) -> None:
        """Have `ask` done at the broker, and `answer` called with the result; or neither, or only `ask`."""
        if not self.connected or self.timeline.chance(self.weather().loss):
            return
        self._out_at = max(self._out_at, self.timeline.now + self.delay_s())
        self.timeline.at(self._out_at, lambda: self._arrived(ask, answer))

    def _arrived(self, ask: Callable[[], T], answer: Callable[[T], None]) -> None:
        if not self.broker.up:
            return
        found = ask()
        if not self.timeline.chance(self.weather().loss):
            self.deliver(lambda: answer(found))

    def deliver(self, action: Callable[[], None], missed: Callable[[], None] | None = None) -> None:
        """Let something come in from the broker; or `missed` happen, where the connection is gone by then."""

        def arrive() -> None:
            if self.connected:
                action()
            elif missed is not None:
                missed()

        self._in_at = max(self._in_at, self.timeline.now + self.delay_s())
        self.timeline.at(self._in_at, arrive)

    def delay_s(self) -> float:
        weather, random = self.weather(), self.timeline.random
        held_up = random.uniform(0, weather.stall_s) if random.random() < weather.stall else 0.0
        return random.uniform(0.1, 2.0) * weather.delay_s + held_up
