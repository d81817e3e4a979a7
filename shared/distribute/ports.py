"""What services and clients need from the outside world: `Cluster`, and the parts it is made of.

`distribute.nats` implements these on JetStream, `distribute.testing` in memory and in folders.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from distribute.core.beats import Beat
from distribute.core.events import Event
from distribute.core.ids import BatchId, JobId, Scope, Under
from distribute.core.manifest import StoredObject
from distribute.core.recorded import Guard, Recorded


@dataclass(frozen=True, slots=True)
class Only:
    """Which events a reader wants: all, or those that match each of `types`, `batch` and `node` given."""

    types: frozenset[str] | None = None
    batch: BatchId | None = None
    node: str | None = None
    """Job events written to or by this node, its builds, and events about it."""
    also: frozenset[str] = frozenset()
    """Types that `types` lacks and of which the reader wants every event, in log order with the others."""
    scope: Scope | None = None
    """The events of this scope, and nothing else. Goes with none of the others."""


class Raw(NamedTuple):
    """An event as it lies in the log: its sequence, the log's time, and its bytes, not decoded."""

    seq: int
    time: float
    payload: bytes


@dataclass(slots=True)
class Garbage:
    """What readers of the log passed by, since no reader can read it: how much, and what came last."""

    count: int = 0
    last: str = ""


class EventLog(Protocol):
    """The one stream of events. Every method survives outages, however long they last.

    Messages that no reader can read are no part of it: every method passes them by, and they are counted. A
    message that a newer distribute may have written raises `UnreadableEvent`, with the remedy.
    """

    @property
    def garbage(self) -> Garbage:
        """The messages that this log has passed by."""

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """Append `event` if `guard` holds; the future gives its sequence.

        Never blocks. The log sends the event again until the broker answers. If the event is in the log
        already, because an earlier answer was lost, the future gives the sequence it has there. The future
        raises `Conflict` if the guard does not hold, and `LogReplaced` if the log has less than the author of
        the guard knew. Events are sent in the order of the calls. What the broker acknowledged and lost, the
        log appends again after the next reconnect. If it lost more than the log remembers, the log is another
        one: every append raises `LogReplaced` until `begin_anew`.
        """

    def begin_anew(self) -> None:
        """Take the log as it is now: the author reads it anew before it appends on.

        Forgets what was appended to the log that was replaced. Changes nothing while appends are allowed.
        """

    def follow(
        self, *, after: int, at: float | None = None, only: Only = Only(), until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """Yield events with a sequence above `after`: in order, each once, several at a time, as they come.

        Ends behind sequence `until`; without `until` it never ends. `at` is the log's time of the event
        `after`, if the reader knows it. Raises `UnreadableEvent`; `LogReplaced` if the log lacks events that
        were read already, as after a restore from an older copy.
        """

    async def last(self, scope: Scope | Under, event_type: str | None = None) -> Recorded | None:
        """The last event of a scope, or of all under a batch; or the last one of one type."""

    async def last_raw(self, scope: Scope, event_type: str) -> Raw | None:
        """As `last`, but not decoded: to decode a submission of 100,000 jobs at once takes seconds."""

    async def get_raw(self, seq: int) -> Raw:
        """As `get`, but not decoded. Raises `KeyError` if there is none."""

    async def get(self, seq: int) -> Recorded:
        """The event at a sequence. Raises `KeyError` if there is none."""

    async def last_seq(self) -> int:
        """The sequence of the last event in the log; 0 if it is empty."""


class Delivery(Protocol):
    """An event that the log delivers again under the reader's name until the reader acknowledges it."""

    @property
    def recorded(self) -> Recorded: ...

    def ack(self) -> None:
        """Report that the event is dealt with. If the acknowledgement is lost, the event comes once more."""

    def in_progress(self) -> None:
        """Report that work on the event goes on. Call it every few seconds during long work."""


class Beats(Protocol):
    """Heartbeats. The cluster keeps the last one of each node for a short time."""

    async def send(self, beat: Beat) -> None: ...

    async def last(self, node: str) -> Beat | None:
        """The node's last heartbeat; None if it sent none within the last seconds."""

    def follow(self) -> AsyncGenerator[Beat, None]:
        """Yield the last heartbeat of each node, then each new one."""


class LiveOutput(Protocol):
    """What running jobs print, for watching. Bounded: the whole output is archived with the results."""

    async def send(self, job: JobId, attempt: int, text: bytes) -> None: ...

    def follow(self, job: JobId, attempt: int, *, since: float = 0.0) -> AsyncGenerator[bytes, None]:
        """Yield what is stored, then what comes.

        `since`, in seconds since 1970, skips output stored earlier: it belongs to a deleted batch of the
        same name.
        """


class ArtifactStore(Protocol):
    """Files: inputs by digest, results by name, snapshots. Bounded memory whatever the size."""

    async def put_input(self, path: Path, sha256: str) -> None:
        """Store an input under its digest, unless it is there. Raises `IntegrityError`, `StorageFull`."""

    async def get_input(self, sha256: str, path: Path) -> None:
        """Write an input to `path`. The file appears under that name only after its digest was checked.

        Raises `IntegrityError`, `StorageFull`, `OSError`.
        """

    async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
        """Send a result's chunks on the node's subject. They count only after `commit_result`.

        `name` is `NAMESPACE/BATCH/JOB/ATTEMPT/N`, or `NAMESPACE/BATCH//NODE/N` for a build's output.
        """

    async def commit_result(self, stored: StoredObject) -> None:
        """Check that every chunk is there and give the object its name. Raises `IntegrityError`."""

    def get_result(self, stored: StoredObject) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a result. Raises `IntegrityError` at the end if they differ from the digest."""

    async def fetch_result(self, stored: StoredObject, path: Path) -> None:
        """Write a result to `path`. The file appears under that name only after its digest was checked.

        Raises `IntegrityError`, `StorageFull`, `OSError`.
        """

    async def delete_results(self, batch: BatchId, before: float) -> None:
        """Remove every result of a batch, committed or not, that was stored before a time.

        `before` is in seconds since 1970 by the log's clock. It spares the results of a later batch of the
        same name.
        """

    async def put_snapshot(self, name: str, data: bytes) -> None:
        """Replace a snapshot. A reader gets the old one or the new one, whole.

        Raises `Refused` if another process replaced it meanwhile, `StorageFull`.
        """

    async def get_snapshot(self, name: str) -> bytes | None:
        """The last snapshot of a name; None if there is none. Raises `IntegrityError`."""


Handler = Callable[[bytes], Coroutine[Any, Any, bytes]]
"""Answers one question of a verb."""


class Queries(Protocol):
    """Questions to the services, by verb: request and reply, for reads that need no record."""

    def serving(self, verb: str, handler: Handler) -> AbstractAsyncContextManager[None]:
        """Answer questions of a verb while the context lasts, each in a task of its own.

        If the handler raises a `DistributeError`, `ask` raises `Refused` with its message.
        """

    async def ask(self, verb: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        """Ask the service that answers this verb.

        Raises:
            Refused: the service refuses the question, or the broker forbids it.
            Unreachable: no service answers this verb, or none in time.
        """


class Cluster(Protocol):
    """One connection to a cluster, and everything on it. Only entry points open one; all else takes it."""

    @property
    def log(self) -> EventLog:
        """The events."""

    @property
    def store(self) -> ArtifactStore:
        """The files."""

    @property
    def beats(self) -> Beats:
        """The heartbeats."""

    @property
    def live(self) -> LiveOutput:
        """What running jobs print."""

    @property
    def queries(self) -> Queries:
        """Questions to the services."""

    def durable(self, name: str, only: Only = Only()) -> AsyncGenerator[Delivery, None]:
        """Yield the events that `name` has not acknowledged yet, in order, then those that come.

        The log remembers per name what was acknowledged. An event that a reader took and did not
        acknowledge, as after a crash, comes again after some ten seconds. Survives outages.
        Raises `UnreadableEvent`.
        """

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable, as far as this connection knows."""

    def on_return(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after each reconnect. Returns a function that ends this."""
