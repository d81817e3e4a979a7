"""Time, a network and a broker, simulated: one seed decides everything, and nothing waits.

A process of the simulated world reaches the broker by a `Link`, which delays, loses and cuts; appends
by a `SimulatedLog`, which resends and settles conflicts as the real client does; and reads by a
`Follower` or a `Durable` consumer.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TypeVar

from distribute.codec import encode
from distribute.core.events import Event, Guard, Recorded
from distribute.core.ids import Scope, ulid
from distribute.ports import Only
from distribute.testing.stored_events import StoredEvents, wanted

T = TypeVar("T")

EPOCH_S = 1_767_225_600.0
"""The broker's clock where simulated time is 0."""

DEDUPE_WINDOW_S = 120.0
RESEND_AFTER_S = 10.0
ACK_WAIT_S = 30.0


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
        self.readers: list[Follower | Durable] = []
        self.on_append: list[Callable[[Recorded], None]] = []
        self._replicated = replicated
        self._recent: dict[str, tuple[int, float]] = {}

    def publish(self, event_id: str, body: bytes, scope: Scope, expected_seq: int) -> int | None:
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

    def admits(self, scope: Scope, expected_seq: int) -> bool:
        """The guard as the broker knows it."""
        return self.stored.last_seq_of(scope) == expected_seq

    def come_up(self) -> None:
        self.up = True
        self.wake_readers()

    def wake_readers(self) -> None:
        for reader in self.readers:
            reader.wake()


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


@dataclass(slots=True, eq=False)
class _Outgoing:
    event: Event
    body: bytes
    guard: Guard
    expected_seq: int
    then: Callable[[int | None], None]
    tries: int = 0
    settling: bool = False
    answered: bool = False


class SimulatedLog:
    """A process's way to the log: `nats.publisher` and `nats.guards`, with simulated hands."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._broker = link.broker
        self._in_flight: dict[str, _Outgoing] = {}
        link.on_return.append(self._send_all_again)

    def append(self, event: Event, guard: Guard, then: Callable[[int | None], None]) -> None:
        """Append; `then` gets the sequence, or None for a conflict. Sent again until there is an answer."""
        entry = _Outgoing(event, encode(event), guard, guard.last_seq, then)
        self._in_flight[event.id] = entry
        self._send(entry)

    def ask(self, question: Callable[[StoredEvents], T], then: Callable[[T], None]) -> None:
        """Read from the log, asking until there is an answer."""
        answered = False

        def answer(found: T) -> None:
            nonlocal answered
            if not answered:
                answered = True
                then(found)

        def send() -> None:
            if not answered and not self._link.closed:
                self._link.request(lambda: question(self._broker.stored), answer)
                self._link.timeline.after(RESEND_AFTER_S / 2, send)

        send()

    def _send_all_again(self) -> None:
        for entry in list(self._in_flight.values()):
            if not entry.settling:
                self._send(entry)

    def _send(self, entry: _Outgoing) -> None:
        event, body, expected_seq = entry.event, entry.body, entry.expected_seq
        self._link.request(
            lambda: self._broker.publish(event.id, body, event.scope, expected_seq),
            lambda seq: self._answered(entry, seq),
        )
        self._watch(entry)

    def _watch(self, entry: _Outgoing) -> None:
        """Without an answer to this try, begin again after a while."""
        entry.tries += 1
        tries = entry.tries

        def overdue() -> None:
            if not entry.answered and entry.tries == tries and not self._link.closed:
                entry.settling = False
                self._send(entry)

        self._link.timeline.after(RESEND_AFTER_S, overdue)

    def _answered(self, entry: _Outgoing, seq: int | None) -> None:
        if entry.answered or entry.settling:
            return
        if seq is not None:
            self._done(entry, seq)
            return
        entry.settling = True
        self._watch(entry)
        scope, tries = entry.event.scope, entry.tries
        self._link.request(
            lambda: self._broker.stored.last_seq_of(scope),
            lambda found: self._settle(entry, found) if entry.tries == tries else None,
        )

    def _settle(self, entry: _Outgoing, found_seq: int) -> None:
        """What does the conflict mean? See `nats.guards.settle`."""
        if entry.guard.holds(found_seq):
            entry.settling = False
            entry.expected_seq = found_seq
            self._send(entry)
            return
        scope, tries = entry.event.scope, entry.tries

        def decide(first: Recorded | None) -> None:
            if entry.tries == tries:
                ours = first is not None and first.event.id == entry.event.id
                self._done(entry, first.seq if first is not None and ours else None)

        self._link.request(lambda: self._broker.stored.first_of(scope, entry.guard.behind), decide)

    def _done(self, entry: _Outgoing, seq: int | None) -> None:
        entry.answered = True
        del self._in_flight[entry.event.id]
        entry.then(seq)


class Follower:
    """A reader of the log: every event wanted, in order, late, now and then once more."""

    def __init__(
        self,
        link: Link,
        after: int,
        only: Only,
        deliver: Callable[[Sequence[Recorded]], None],
    ) -> None:
        self._link = link
        self._after = after
        self._only = only
        self._deliver = deliver
        self._under_way = False
        link.on_return.append(self.wake)
        link.broker.readers.append(self)
        self.wake()

    def wake(self) -> None:
        stored = self._link.broker.stored
        if self._under_way or not self._link.connected or self._after >= stored.last_seq:
            return
        self._under_way = True
        self._link.deliver(self._arrive, self._miss)

    def _miss(self) -> None:
        self._under_way = False

    def _arrive(self) -> None:
        self._under_way = False
        broker, timeline = self._link.broker, self._link.timeline
        if not broker.up:
            return
        until = broker.stored.last_seq
        if until - self._after > 1 and timeline.chance(0.5):
            until = timeline.random.randint(self._after + 1, until)
        after = self._after
        if timeline.chance(self._link.weather().repeat):
            after = max(0, after - timeline.random.randint(1, 5))
        records = [
            recorded for recorded in broker.stored.between(after, until) if wanted(self._only, recorded.event)
        ]
        self._after = until
        if records:
            self._deliver(records)
        self.wake()


class Durable:
    """A durable consumer: what is not acknowledged comes again, to whoever reads then."""

    def __init__(self, broker: Broker, only: Only) -> None:
        self._broker = broker
        self._only = only
        self._position = 0
        self._unacked: set[int] = set()
        self._link: Link | None = None
        self._deliver: Callable[[Recorded], None] | None = None
        broker.readers.append(self)

    def attach(self, link: Link, deliver: Callable[[Recorded], None]) -> None:
        """From now on this process reads."""
        self._link, self._deliver = link, deliver
        link.on_return.append(self.wake)
        self.wake()

    def ack(self, seq: int) -> None:
        """Said by the process that reads; may be lost on the way."""
        if self._link is not None:
            self._link.request(lambda: self._unacked.discard(seq), lambda _: None)

    def wake(self) -> None:
        if self._link is None or not self._link.connected or not self._broker.up:
            return
        until = self._broker.stored.last_seq
        news = self._broker.stored.between(self._position, until)
        self._position = until
        self._push(recorded for recorded in news if wanted(self._only, recorded.event))

    def _push(self, records: Iterable[Recorded]) -> None:
        for recorded in records:
            self._unacked.add(recorded.seq)
            self._send(recorded)

    def _send(self, recorded: Recorded) -> None:
        link, deliver = self._link, self._deliver
        if link is not None and deliver is not None and link.connected and self._broker.up:
            link.deliver(lambda: deliver(recorded))
        self._broker.timeline.after(ACK_WAIT_S, lambda: self._send_again(recorded))

    def _send_again(self, recorded: Recorded) -> None:
        if recorded.seq in self._unacked:
            self._send(recorded)
