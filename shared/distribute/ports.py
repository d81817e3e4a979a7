"""What the services need of the world, and nothing more: a log of events, a store of bytes, beats.

`distribute.nats` implements these on JetStream, `distribute.testing` in memory and in folders.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from distribute.core.beats import Beat
from distribute.core.events import Event, Guard, Recorded
from distribute.core.ids import BatchId, JobId, Scope
from distribute.core.manifest import StoredObject


@dataclass(frozen=True, slots=True)
class Only:
    """Which events a reader wants: all, or those that match each of `types`, `batch` and `node` given."""

    types: frozenset[str] | None = None
    batch: BatchId | None = None
    node: str | None = None
    """Job events written to or by this node, and events about it."""
    also: frozenset[str] = frozenset()
    """Besides, all events of these types, in one order with the others, which must not include them."""


class EventLog(Protocol):
    """The one stream of events. Whatever is asked of it outlives outages, however long they last."""

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """Append `event` if `guard` holds; the future gives its sequence.

        Never blocks, and survives outages for as long as they last: sent again until it is answered.
        An event already in the log (a lost answer) gives the sequence it has there.
        The future raises `Conflict` where the guard does not hold. Events appended in one order
        are sent in that order.
        """

    def follow(
        self, *, after: int, only: Only = Only(), until: int | None = None
    ) -> AsyncIterator[Sequence[Recorded]]:
        """Events with a sequence above `after`, in order, each once, as they come, several at a time.

        Ends behind sequence `until`, or never. Survives outages. Raises `UnreadableEvent`; `LogReplaced`
        where the log lacks what was read already, as one does that was restored from an older copy.
        """

    async def last(self, scope: Scope, event_type: str | None = None) -> Recorded | None:
        """The last event of a scope (of this type, where one is given)."""

    async def get(self, seq: int) -> Recorded:
        """The event at a sequence. Raises `KeyError` where there is none."""

    async def last_seq(self) -> int:
        """The sequence of the last event in the log (0: none)."""


class Delivery(Protocol):
    """An event that is delivered again, to whoever reads under the same name, until it is acknowledged."""

    @property
    def recorded(self) -> Recorded: ...

    def ack(self) -> None:
        """It is done with. A lost acknowledgement means one delivery more."""

    def in_progress(self) -> None:
        """It is being worked on: to be said every few seconds by work that takes longer than that."""


class DurableLog(Protocol):
    """A log that remembers what each of its named readers has done."""

    def durable(self, name: str, only: Only = Only()) -> AsyncIterator[Delivery]:
        """Events not acknowledged under `name` yet, in order, and those that come.

        What a reader took and left unacknowledged, as by a crash, comes again after some ten seconds.
        Survives outages. Raises `UnreadableEvent`.
        """


class Beats(Protocol):
    """Heartbeats: the last of each node, kept for a short time."""

    async def send(self, beat: Beat) -> None: ...

    async def last(self, node: str) -> Beat | None:
        """The node's last beat, if it beat within the last seconds."""

    def follow(self) -> AsyncIterator[Beat]: ...


class LiveOutput(Protocol):
    """What running jobs print, for following live. Bounded: the whole output is archived with the results."""

    async def send(self, job: JobId, attempt: int, text: bytes) -> None: ...

    def follow(self, job: JobId, attempt: int, *, since: float = 0.0) -> AsyncIterator[bytes]:
        """What is there already, then what comes. Nothing that was stored before `since`, in seconds since
        1970: it is of a deleted batch of the same name."""


class ArtifactStore(Protocol):
    """Files: inputs by digest, results by name. Bounded memory whatever the size."""

    async def put_input(self, path: Path, sha256: str) -> None:
        """Store an input under its digest, unless it is there. Raises `IntegrityError`, `StorageFull`."""

    async def get_input(self, sha256: str, path: Path) -> None:
        """Write an input to `path`, which gets its name only once the digest is right."""

    async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
        """Send a result's chunks on the node's subject. They count only once `commit_result` was called.

        `name` is `NAMESPACE/BATCH/JOB/ATTEMPT/N`, or `NAMESPACE/BATCH//NODE/N` for a build's output.
        """

    async def commit_result(self, stored: StoredObject) -> None:
        """Check that every chunk is there and give the object its name. Raises `IntegrityError`."""

    def get_result(self, stored: StoredObject) -> AsyncIterator[bytes]:
        """The bytes of a result. Raises `IntegrityError` at the end where they differ from the digest."""

    async def delete_results(self, batch: BatchId, before: float) -> None:
        """Remove every result of a batch, committed or not, that was stored before a time.

        `before` is in seconds since 1970, by the log's clock: what a later batch of the same name left stays.
        """
