"""What the processes of the simulated world say to the broker, and hear from it.

They append by a `SimulatedLog`, which resends and settles conflicts as the real client does, and read by a
`Follower` or a `Durable` consumer. Nothing here waits: who asks says what is to happen with the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from distribute.codec import encode
from distribute.core.events import Event, Guard, Recorded, guard_scope
from distribute.ports import Only
from distribute.testing.simulated import Broker, Link
from distribute.testing.stored_events import StoredEvents, wanted

T = TypeVar("T")

RESEND_AFTER_S = 10.0
ACK_WAIT_S = 30.0


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
            lambda: self._broker.publish(event.id, body, guard_scope(event), expected_seq),
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
        scope, tries = guard_scope(entry.event), entry.tries
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
        scope, tries = guard_scope(entry.event), entry.tries

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
        link.broker.readers.append(self.wake)
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
        broker.readers.append(self.wake)

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
