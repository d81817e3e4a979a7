"""The broker and the network: a process reaches the broker by a `Link`, which delays, loses and is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Protocol, TypeVar

from distribute.core.errors import DistributeError, Unreachable, UnreadableEvent
from distribute.core.ids import Guarded, Scope
from distribute.core.log.recorded import Recorded
from distribute.sim.loop import VirtualLoop
from distribute.sim.stored_files import NoAnswer, StoredFiles
from distribute.stored_events import StoredEvents

T = TypeVar("T")

EPOCH_S = 1_767_225_600.0
"""The broker's clock at virtual time 0, in seconds since 1970."""

DEDUPE_WINDOW_S = 120.0
ASK_AGAIN_S = 5.0
STALLED_AFTER_S = 60.0
"""Seconds of silence on an open connection after which an impatient question fails."""
RECONNECT_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Weather:
    """The faults of the network. Probabilities apply to each message; delays are in seconds."""

    loss: float = 0.0
    delay_s: float = 0.01
    stall: float = 0.0
    """A message, and what comes behind it on its connection, is held up for up to `stall_s`."""
    stall_s: float = 0.0
    repeat: float = 0.0
    """A publisher sends an event twice although nothing was lost."""
    transfer_s: float = 0.2
    """The usual longest transfer of a file."""
    slow: float = 0.0
    """A transfer takes up to `slow_s`."""
    slow_s: float = 0.0


class Broker:
    """The stream of events behind its guards, and the files. It answers only while it is `up`."""

    def __init__(self, loop: VirtualLoop, *, replicated: bool = False) -> None:
        self.loop = loop
        self.up = True
        self.crashes = 0
        self.stored = StoredEvents()
        self.files = StoredFiles()
        self.links: list[Link] = []
        self.on_append: list[Callable[[Recorded], None]] = []
        self.on_loss: list[Callable[[list[Recorded]], None]] = []
        self.readers: list[Callable[[Recorded | None], None]] = []
        """Called with each new event; with None when there may be something to read for another reason."""
        self._replicated = replicated
        self._recent: dict[str, tuple[int, float]] = {}

    @property
    def clock(self) -> float:
        """The time by the broker's clock, in seconds since 1970."""
        return EPOCH_S + self.loop.now

    def publish(self, event_id: str, body: bytes, scope: Guarded, expected_seq: int) -> int | None:
        """The sequence of the event, stored now or before; None if the guard refuses it.

        If the id was stored lately and the guard does not hold any more, a replicated stream looks at the id
        first, a single one at the guard.

        Raises:
            NoAnswer: the disk is full.
        """
        seq, stored_at = self._recent.get(event_id, (0, 0.0))
        repeated = bool(seq) and self.loop.now - stored_at <= DEDUPE_WINDOW_S
        if repeated and self._replicated:
            return seq
        if not self.admits(scope, expected_seq):
            return None
        if repeated:
            return seq
        self.files.take_room()
        seq = self._store(body).seq
        self._recent[event_id] = (seq, self.loop.now)
        return seq

    def publish_unguarded(self, body: bytes, scope: Scope) -> None:
        """Store a message on the subjects of a scope, as anybody can, if there is room for it."""
        if self.files.is_full:
            return
        try:
            self._store(body)
        except UnreadableEvent:
            self.stored.store_garbage(scope)
            for wake in list(self.readers):
                wake(None)

    def _store(self, body: bytes) -> Recorded:
        recorded = self.stored.store(body, self.clock)
        for notify in self.on_append:
            notify(recorded)
        for wake in list(self.readers):
            wake(recorded)
        return recorded

    def admits(self, scope: Guarded, expected_seq: int) -> bool:
        """Does the guard hold?"""
        return self.stored.last_seq_of(scope) == expected_seq

    # --- outages ---

    def stand_still(self) -> None:
        """Stop answering, as under SIGSTOP: connections stay open."""
        self.up = False

    def crash(self, lost: int = 0) -> None:
        """Go down: every connection breaks, and the last `lost` messages are gone."""
        self.up = False
        self.crashes += 1
        for link in list(self.links):
            link.drop()
        events = self.stored.lose_end(lost)
        for recorded in events:
            self._recent.pop(recorded.event.id, None)
        for notify in self.on_loss if events else ():
            notify(events)

    def come_up(self) -> None:
        """Answer again. Clients that lost their connection make a new one soon."""
        self.up = True
        for link in list(self.links):
            link.reconnect_soon()
        for wake in list(self.readers):
            wake(None)


class Stalling(Protocol):
    """A reader to which the broker may stop delivering."""

    def stall(self) -> None:
        """Nothing comes for a while, though the connection lives."""


class Link:
    """A process's connection to the broker. Messages arrive in order in each direction."""

    def __init__(self, broker: Broker, weather: Callable[[], Weather]) -> None:
        self.broker = broker
        self.loop = broker.loop
        self.weather = weather
        self.connected = broker.up
        self.closed = False
        self.on_return: list[Callable[[], None]] = []
        self.followers: list[Stalling] = []
        """The process's readers of the log."""
        self.context = copy_context()
        """In which the client of this connection runs: that of its process."""
        self._is_cut = False
        self._reconnects = 0
        self._out_at = 0.0
        self._in_at = 0.0
        broker.links.append(self)

    # --- the connection ---

    def cut(self) -> None:
        """Cut the network: messages that were sent may still arrive, but answers do not."""
        self._is_cut = True
        self.drop()

    def heal(self) -> None:
        """Repair the network."""
        if self._is_cut:
            self._is_cut = False
            self._reconnect()

    def drop(self) -> None:
        """Break the connection."""
        self.connected = False

    def reconnect_soon(self) -> None:
        """Let the client try to connect until it succeeds."""
        if not self.connected:
            self.loop.after(self.loop.random.uniform(0, RECONNECT_WITHIN_S), self._reconnect)

    def _reconnect(self) -> None:
        if self.connected or self.closed or self._is_cut or not self.broker.up:
            return
        self.connected = True
        self._reconnects += 1
        for action in list(self.on_return):
            self.context.run(action)

    def close(self) -> None:
        """Close the connection of a process that is gone: no message leaves or reaches it."""
        self.closed = True
        self.connected = False
        self.broker.links.remove(self)

    # --- messages ---

    def request(self, ask: Callable[[], T], answer: Callable[[T], None]) -> None:
        """Have `ask` done at the broker, and `answer` called with the result; or neither, or only `ask`."""
        if not self.connected or self.loop.chance(self.weather().loss):
            return
        crashes = self.broker.crashes
        self._out_at = max(self._out_at, self.loop.now + self.delay_s())
        self.loop.at(self._out_at, lambda: self._arrived(ask, answer, crashes))

    def _arrived(self, ask: Callable[[], T], answer: Callable[[T], None], crashes: int) -> None:
        if not self.broker.up or self.broker.crashes != crashes:
            return
        try:
            found = ask()
        except NoAnswer:
            return
        if not self.loop.chance(self.weather().loss):
            self.deliver(lambda: answer(found))

    def deliver(self, action: Callable[[], None], missed: Callable[[], None] | None = None) -> None:
        """Let something come in from the broker; `missed` is called if the connection is gone by then."""
        reconnects = self._reconnects

        def arrive() -> None:
            if self.connected and self._reconnects == reconnects:
                action()
            elif missed is not None:
                missed()

        self._in_at = max(self._in_at, self.loop.now + self.delay_s())
        self.loop.at(self._in_at, arrive)

    def delay_s(self) -> float:
        weather, random = self.weather(), self.loop.random
        held_up = random.uniform(0, weather.stall_s) if random.random() < weather.stall else 0.0
        return random.uniform(0.1, 2.0) * weather.delay_s + held_up

    def transfer_s(self) -> float:
        """Draw how long a file takes."""
        weather, random = self.weather(), self.loop.random
        return random.uniform(0, weather.slow_s if random.random() < weather.slow else weather.transfer_s)

    def ask(self, question: Callable[[], T], *, patient: bool = True) -> asyncio.Future[T]:
        """Have `question` answered at the broker: ask until there is an answer.

        The future raises the `DistributeError` that `question` raises; and, unless `patient`, `Unreachable`
        if the broker is connected and silent for `STALLED_AFTER_S`.
        """
        future: asyncio.Future[T] = self.loop.create_future()
        silent_s = 0.0

        def asked() -> T | DistributeError:
            try:
                return question()
            except DistributeError as error:
                return error

        def answered(found: T | DistributeError) -> None:
            if future.done():
                return
            if isinstance(found, DistributeError):
                future.set_exception(found)
            else:
                future.set_result(found)

        def send() -> None:
            nonlocal silent_s
            if future.done() or self.closed:
                return
            if not patient and silent_s >= STALLED_AFTER_S:
                future.set_exception(Unreachable("the simulated broker does not answer"))
                return
            silent_s += ASK_AGAIN_S if self.connected else 0.0
            self.request(asked, answered)
            self.loop.after(ASK_AGAIN_S, send)

        send()
        return future
