"""The files in a simulated broker: inputs, results with their names, snapshots."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from distribute.core.errors import IntegrityError, Refused
from distribute.core.files.manifest import StoredObject, job_of
from distribute.core.ids import BatchId
from distribute.ports import StoredInput


class NoAnswer(Exception):
    """The broker has no room on its disk: it does not answer what it can't store, and all else as ever.

    It is no error of whoever asks, and never reaches him.
    """


@dataclass(frozen=True, slots=True)
class SentResult:
    """The chunks of a result. `sent_at` is in seconds since 1970, by the broker's clock."""

    name: str
    content: bytes
    sent_at: float


@dataclass(slots=True)
class StoredFiles:
    """The buckets."""

    inputs: dict[str, bytes] = field(default_factory=dict)
    """By SHA-256."""
    renewed: dict[str, tuple[float, int]] = field(default_factory=dict)
    """When each input was sent or renewed last, and its revision."""
    revisions: int = 0
    """How often any input was sent or renewed."""
    sent: dict[str, SentResult] = field(default_factory=dict)
    """By NUID."""
    named: dict[str, str] = field(default_factory=dict)
    """The NUID of the result that was committed last under a name."""
    snapshots: dict[str, bytes] = field(default_factory=dict)
    is_full: bool = False
    """Whether the disk has no room."""

    def take_room(self) -> None:
        """Raises `NoAnswer` if the disk is full."""
        if self.is_full:
            raise NoAnswer

    def put_input(self, sha256: str, content: bytes, now: float) -> None:
        """Keep an input, and count it as sent just now."""
        self.inputs.setdefault(sha256, content)
        self.revisions += 1
        self.renewed[sha256] = now, self.revisions

    def inputs_before(self, moment: float) -> list[StoredInput]:
        """The inputs that nobody has sent or renewed since a moment."""
        return [
            StoredInput(sha256, len(self.inputs[sha256]), revision)
            for sha256, (renewed_at, revision) in self.renewed.items()
            if renewed_at < moment
        ]

    def remove_input(self, unused: StoredInput) -> bool:
        """Remove an input, unless it was renewed."""
        if self.renewed.get(unused.sha256, (0.0, 0))[1] != unused.revision:
            return False
        del self.inputs[unused.sha256], self.renewed[unused.sha256]
        return True

    def send(self, nuid: str, name: str, content: bytes, now: float) -> None:
        """Keep a result's chunks."""
        self.take_room()
        self.sent[nuid] = SentResult(name, content, now)

    def commit(self, stored: StoredObject) -> None:
        """Give a result its name. Raises `IntegrityError` if its chunks are not there."""
        self.take_room()
        if not self.has_chunks(stored):
            raise IntegrityError(f"result {stored.name}: 0 chunks are stored, not {stored.chunks}")
        self.named[stored.name] = stored.nuid

    def keep_snapshot(self, name: str, data: bytes) -> None:
        """Keep a snapshot, in place of the one before."""
        self.take_room()
        self.snapshots[name] = data

    def replace_snapshot(self, name: str, old: bytes | None, new: bytes) -> None:
        """Keep a snapshot in place of `old`. Raises `Refused` if that is not the one that is there."""
        if self.snapshots.get(name) != old:
            raise Refused(f"snapshot {name}: another process has replaced it, and its own stands")
        self.keep_snapshot(name, new)

    def content(self, stored: StoredObject) -> bytes:
        """The bytes of a result. Raises `IntegrityError` if they are not there."""
        if not self.has_chunks(stored):
            raise IntegrityError(f"result {stored.name} is not in the store")
        return self.sent[stored.nuid].content

    def has_chunks(self, stored: StoredObject) -> bool:
        found = self.sent.get(stored.nuid)
        return found is not None and found.name == stored.name

    def is_committed(self, stored: StoredObject) -> bool:
        """Can the result be pulled?"""
        return self.has_chunks(stored) and self.named.get(stored.name) == stored.nuid

    def uncommitted(self) -> list[str]:
        """The NUIDs of results without a name."""
        return [nuid for nuid, sent in self.sent.items() if self.named.get(sent.name) != nuid]

    def lose(self, nuid: str) -> None:
        """Lose a result, as a damaged disk does."""
        del self.sent[nuid]

    def delete(self, batch: BatchId, before: float, but: Container[str] = ()) -> None:
        """Remove the results of a batch that were sent before a time, but for those of the jobs `but`."""
        for nuid, sent in list(self.sent.items()):
            if not sent.name.startswith(f"{batch}/") or job_of(sent.name) in but:
                continue
            if sent.sent_at < before:
                del self.sent[nuid]
                if self.named.get(sent.name) == nuid:
                    del self.named[sent.name]
