"""What services and clients need from the outside world: `Cluster`, and the parts it is made of.

`distribute.nats` implements these on JetStream, `distribute.memory` within one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    # The classes of events take as long to import as all that a query needs, and it needs none of them.
    from distribute.core.files.manifest import StoredObject
    from distribute.core.ids import BatchId, BuildId, Guarded, JobId, Scope
    from distribute.core.log.beats import Beat
    from distribute.core.log.events import Event
    from distribute.core.log.recorded import Guard, Recorded
    from distribute.inputs.sources import Source


@dataclass(frozen=True, slots=True)
class Only:
    """Which events a reader wants: those that match all that is given of `types`, `batch` and `node`."""

    types: frozenset[str] | None = None
    batch: BatchId | None = None
    node: str | None = None
    """Job events written to or by this node, its builds, and events about it."""
    also: frozenset[str] = frozenset()
    """Types that `types` does not have. The reader wants all their events, in log order with the others."""
    scope: Scope | None = None
    """The events of this scope, and nothing else. Can't be combined with the other fields."""


class Raw(NamedTuple):
    """A stored event that is not decoded: its sequence, the log's time, and its bytes."""

    seq: int
    time: float
    payload: bytes


@dataclass(slots=True)
class Garbage:
    """Messages that readers of the log skipped, because no reader can read them: the number, and the last."""

    count: int = 0
    last: str = ""


class Place(NamedTuple):
    """A place in the log: the sequence of an event, and the log's time of it."""

    seq: int
    time: float | None


BEGINNING = Place(0, None)
"""The place before the first event."""


class EventLog(Protocol):
    """The one stream of events. Every method survives outages, however long they last.

    Every method skips and counts messages that no reader can read. A message that a newer distribute may have
    written raises `UnreadableEvent`, with the remedy.
    """

    @property
    def garbage(self) -> Garbage:
        """The messages that this log has skipped."""

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """Append `event` if `guard` holds; the future gives its sequence.

        Never blocks. The log sends the event again until the broker answers. If the event is in the log
        already, because an earlier answer was lost, the future gives the sequence it has there. The future
        raises `Conflict` if the guard does not hold, and `LogReplaced` if the log has less than the author of
        the guard knew. Events are sent in the order of the calls.

        If the broker lost events that it had acknowledged, this object appends them again after the next
        reconnect. If the broker lost more than this object remembers, the log counts as replaced: every
        append raises `LogReplaced` until `begin_anew`.
        """

    def begin_anew(self) -> None:
        """Accept the log as it is now. The author must read it again before it appends more.

        Forgets what was appended to the replaced log. Changes nothing while appends are allowed.
        """

    def follow(
        self, *, after: int, at: float | None = None, only: Only = Only(), until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """Yield events with a sequence above `after`: in order, each once, several at a time, as they come.

        Ends behind sequence `until`, which the log once had; if the log has lost its end since, this ends
        with what is there. Without `until` it never ends. `at` is the log's time of the event `after`, if the
        reader knows it. A reader that waits passes it: else the log may lose that event, and what the reader
        waits for take its place. Raises `UnreadableEvent`; `LogReplaced` if the log lacks
        events that were read already, as after a restore from an older copy, or every append would raise it
        from now on.
        """

    def follow_raw(
        self, *, after: int, until: int, only: Only = Only()
    ) -> AsyncGenerator[Sequence[Raw], None]:
        """As `follow`, but yields each event as it is stored."""

    async def last(self, scope: Guarded, event_type: str | None = None) -> Recorded | None:
        """The last event of a scope, or of everything under a batch. `event_type`: the last of that type."""

    async def get_raw(self, seq: int) -> Raw:
        """As `get`, but not decoded. Raises `KeyError` if there is none."""

    async def get(self, seq: int) -> Recorded:
        """The event at a sequence. Raises `KeyError` if there is none."""

    async def end(self) -> Place:
        """The place of the last event in the log."""

    async def last_seq(self) -> int:
        """The sequence of the last event in the log; 0 if it is empty."""

    async def purge(self, batch: BatchId, *, before: int) -> None:
        """Remove everything under a batch's name that is below a sequence. May be repeated."""


class Delivery(Protocol):
    """An event of a durable reader. The log delivers it again until the reader acknowledges it."""

    @property
    def recorded(self) -> Recorded: ...

    def ack(self) -> None:
        """Report that the event is handled. If the acknowledgement is lost, the event comes once more."""

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
    """What running jobs and builds print, for people who watch. The cluster keeps only the newest part.

    The archive has the whole output, with the results. `attempt` is 0 for a build.
    """

    async def send(self, of: JobId | BuildId, attempt: int, text: bytes) -> None: ...

    def follow(self, of: JobId | BuildId, attempt: int, *, since: float = 0.0) -> AsyncGenerator[bytes, None]:
        """Yield what is stored, then what comes.

        `since`, in seconds since 1970, skips output stored earlier: it belongs to a deleted batch of the
        same name, or to an earlier build.
        """


OnDone = Callable[[int], None]
"""Is told, again and again, how many bytes of a transfer are done. It may be fewer than before: what arrived
damaged is transferred again."""


def tell_nobody(done_bytes: int) -> None:
    """An `OnDone` for transfers that nobody watches."""


class StoredInput(NamedTuple):
    """An input in the store. `revision` changes each time when it is sent or renewed."""

    sha256: str
    size_bytes: int
    revision: int


class ArtifactStore(Protocol):
    """Files: inputs by digest, results by name, snapshots. Files of any size take bounded memory."""

    async def put_input(self, content: Path | Source, sha256: str, on_done: OnDone = tell_nobody) -> None:
        """Store an input under its digest, unless it is there. A path is that of a file.

        If it is there, it is renewed: it counts as sent just now, or within the last day.

        Raises `IntegrityError`, `StorageFull`, and what its `Source` raises.
        """

    async def get_input(self, sha256: str, path: Path) -> None:
        """Write an input to `path`. The file gets that name only after its digest was checked.

        Raises `IntegrityError`, `StorageFull`, `OSError`.
        """

    def inputs_unused_for(self, unused_s: float) -> AsyncGenerator[StoredInput, None]:
        """Yield the inputs that nobody has sent or renewed for so many seconds, by the store's clock."""

    async def remove_input(self, unused: StoredInput) -> bool:
        """Remove an input. Returns False, and removes nothing, if somebody has renewed it or it is gone.

        Whoever renews it meanwhile, or later, finds either that it stays or that it has to be sent again.
        """

    async def remove_unnamed_inputs(self, unused_s: float) -> int:
        """Remove what broken uploads of inputs have left, if nothing came to it for so many seconds.

        Returns of how many uploads.
        """

    async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
        """Send a result's chunks on the node's subject. They count only after `commit_result`.

        `name` is `NAMESPACE/BATCH/JOB/ATTEMPT/N`, or `NAMESPACE/BATCH//NODE/N` for a build's output.
        """

    async def has_result(self, stored: StoredObject) -> bool:
        """Are all chunks of a result in the store? Raises `IntegrityError` if its name is another's."""

    async def commit_result(self, stored: StoredObject) -> None:
        """Check that every chunk is there and give the object its name. Raises `IntegrityError`."""

    def get_result(self, stored: StoredObject) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a result. Raises `IntegrityError` at the end if they differ from the digest."""

    async def fetch_result(self, stored: StoredObject, path: Path, on_done: OnDone = tell_nobody) -> None:
        """Write a result to `path`. The file gets that name only after its digest was checked.

        Raises `IntegrityError`, `StorageFull`, `OSError`.
        """

    async def delete_results(self, batch: BatchId, before: float, but: Container[str] = ()) -> None:
        """Remove every result of a batch, committed or not, that was stored before a time.

        `before` is in seconds since 1970 by the log's clock. It spares the results of a later batch of the
        same name. Those of the jobs `but` stay.
        """

    async def put_snapshot(self, name: str, data: bytes) -> None:
        """Replace a snapshot. A reader gets all of the old one or all of the new one.

        Raises `Refused` if another process replaced it meanwhile, `StorageFull`.
        """

    async def replace_snapshot(self, name: str, old: bytes | None, new: bytes) -> None:
        """Put a snapshot, if the one that is there is still `old`; None: if there is none.

        Raises `Refused` if another one is there, `StorageFull`.
        """

    async def get_snapshot(self, name: str) -> bytes | None:
        """The last snapshot of a name; None if there is none. Raises `IntegrityError`."""


QUERIES_AT_WORK = 8
"""Max. queries of one verb whose answers are being made and sent; the others wait. An answer may be 30 MB."""

Handler = Callable[[bytes], Coroutine[Any, Any, bytes]]
"""Answers one query of a verb."""


class Queries(Protocol):
    """Queries to the services, by verb: request and reply. They leave no event."""

    def serving(
        self, verb: str, handler: Handler, *, node: str | None = None, at_work: int = QUERIES_AT_WORK
    ) -> AbstractAsyncContextManager[None]:
        """Answer queries of a verb while the context lasts, each in a task of its own, `at_work` at a time.

        With `node`, only those that are for this node.

        If the handler raises a `DistributeError`, `ask` raises `Refused` with its message.
        """

    async def ask(
        self, verb: str, payload: bytes = b"", *, node: str | None = None, timeout_s: float = 5.0
    ) -> bytes:
        """Ask the service that answers this verb; with `node`, that node.

        Raises:
            Refused: the service refuses the query, or the broker forbids it.
            NobodyAnswers: the broker knows of nobody who answers this verb.
            Unreachable: no answer in time.
        """


class Cluster(Protocol):
    """One connection to a cluster, and everything on it. Only entry points open one and pass it on."""

    @property
    def log(self) -> EventLog:
        """The events."""

    @property
    def stream(self) -> EventLog:
        """The events, without those that were moved into archives."""

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
        """Queries to the services."""

    def durable(self, name: str, only: Only = Only()) -> AsyncGenerator[Delivery, None]:
        """Yield the events that reader `name` has not acknowledged yet, in order, then new ones.

        The log remembers for each name what was acknowledged. If a reader does not acknowledge an event, for
        example because it crashed, the event comes again after about ten seconds. Survives outages.
        Raises `UnreadableEvent`.
        """

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable, as far as this connection knows."""

    def on_return(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after each reconnect. Returns a function that ends this."""
