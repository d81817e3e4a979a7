"""One bucket of JetStream's object store: names, metas and subjects.

An object's bytes are *chunks*, messages on `$O.<bucket>.C.<nuid>` in order; its *meta*, on
`$O.<bucket>.M.<name in base64>`, has their number, size and digest. This is the layout of the standard
clients, so they can read every object. A `nuid` may have several tokens: so permissions can confine a node
to its own subjects, and one wildcard matches all chunks of a batch.

Layout: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-20.md
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import orjson

from distribute.core.errors import IntegrityError, Refused
from distribute.nats.client import jetstream
from distribute.nats.client.connection import Connection
from distribute.nats.client.patience import STALLED_AFTER_S, patiently
from distribute.nats.stream.publisher import Publisher

_LISTING_TIMEOUT_S = 30.0
_DIGEST_PREFIX = "SHA-256="

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Meta:
    """An object's name, the place of its chunks, and their number, size and digest."""

    name: str
    nuid: str
    size_bytes: int
    chunks: int
    sha256: str
    chunk_bytes: int

    def to_json(self, bucket: str) -> bytes:
        digest = base64.urlsafe_b64encode(bytes.fromhex(self.sha256)).decode()
        return orjson.dumps(
            {
                "name": self.name,
                "options": {"max_chunk_size": self.chunk_bytes},
                "bucket": bucket,
                "nuid": self.nuid,
                "size": self.size_bytes,
                "chunks": self.chunks,
                "digest": _DIGEST_PREFIX + digest,
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Meta | None:
        """Parse a stored meta. Returns None if it marks a deleted object.

        Raises:
            IntegrityError: `data` is not a meta.
        """
        try:
            found: dict[str, Any] = orjson.loads(data)
            if found.get("deleted"):
                return None
            digest = str(found["digest"]).partition("=")[2]
            return cls(
                name=str(found["name"]),
                nuid=str(found["nuid"]),
                size_bytes=int(found["size"]),
                chunks=int(found["chunks"]),
                sha256=base64.urlsafe_b64decode(digest).hex(),
                chunk_bytes=int((found.get("options") or {}).get("max_chunk_size", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"not the meta of an object: {error!r} in {data[:200]!r}") from error


class Named(NamedTuple):
    """An object with its name: its meta, the meta's sequence, and when the broker stored that.

    `time` is in seconds since 1970, by the broker's clock.
    """

    meta: Meta
    seq: int
    time: float


class Superseded(Exception):
    """A guarded meta was refused: another writer has stored or removed the object of this name."""


class Bucket:
    """The subjects of one bucket, and requests about them. Requests are repeated after an outage.

    `give_up_after_s`: raise `Unreachable` after so many seconds without progress of a reachable broker.
    """

    def __init__(
        self,
        connection: Connection,
        publisher: Publisher,
        name: str,
        *,
        give_up_after_s: float = STALLED_AFTER_S,
    ) -> None:
        self.name = name
        self.give_up_after_s = give_up_after_s
        self.stream = f"OBJ_{name}"
        self._connection = connection
        self._publisher = publisher

    def chunk_subject(self, nuid: str) -> str:
        return f"$O.{self.name}.C.{nuid}"

    def meta_subject(self, name: str) -> str:
        return f"$O.{self.name}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"

    async def meta(self, name: str, *, latest: bool) -> Named | None:
        """The object of this name; None if there is none.

        `latest`: ask the leader. Otherwise any replica answers, which may lag and not have the object yet.
        """
        wanted = {"last_by_subj": self.meta_subject(name)}
        get = jetstream.leader_get if latest else jetstream.direct_get
        stored = await self._patiently(lambda: get(self._connection, self.stream, wanted))
        meta = Meta.from_json(stored.payload) if stored is not None else None
        return Named(meta, stored.seq, stored.time) if stored is not None and meta is not None else None

    async def metas(self) -> AsyncGenerator[Named, None]:
        """Yield every object that has a name, those first whose metas were stored longest ago."""
        wanted = {"seq": 1, "next_by_subj": f"$O.{self.name}.M.>"}
        while True:
            stored = await self._patiently(
                lambda: jetstream.direct_get(self._connection, self.stream, wanted)
            )
            if stored is None:
                return
            wanted["seq"] = stored.seq + 1
            with suppress(IntegrityError):  # what somebody else wrote there is no object
                meta = Meta.from_json(stored.payload)
                if meta is not None and self.meta_subject(meta.name) == stored.subject:
                    yield Named(meta, stored.seq, stored.time)

    async def put_meta(self, meta: Meta, *, replacing: int | None = None, wait_for_room: bool = True) -> None:
        """Store an object's meta, which makes it visible under its name. Replaces an older meta of that name.

        `replacing`: only if the name's last meta is still at this sequence (0: there is none).

        Raises:
            Superseded: another meta was stored since, or the one at `replacing` is gone.
            StorageFull: the broker has no room, and `wait_for_room` is False.
        """
        fields = {"Nats-Rollup": "sub"}
        if replacing is not None:
            fields["Nats-Expected-Last-Subject-Sequence"] = str(replacing)
        subject = self.meta_subject(meta.name)
        # Each renewal of a meta has an id of its own: else the broker would drop it as sent twice.
        renewal = f".{replacing}" if replacing else ""
        try:
            await self._publisher.publish(
                subject,
                meta.to_json(self.name),
                message_id=f"{meta.nuid}.meta{renewal}",
                fields=fields,
                patient=wait_for_room,
            )
        except Refused as error:
            found = await self.meta(meta.name, latest=True)
            if replacing is None or replacing == (found.seq if found is not None else 0):
                raise
            # If the answer to an earlier try was lost, the meta in the way is our own.
            if found is None or found.meta != meta:
                raise Superseded(meta.name) from error

    async def count(self, nuid: str) -> int:
        """The number of an object's chunks, as the leader knows it."""
        return (await self.count_now(nuid))[0]

    async def count_now(self, nuid: str) -> tuple[int, float]:
        """As `count`, and when that was: in seconds since 1970, by the broker's clock."""
        subject = self.chunk_subject(nuid)
        answer = await self._page(subject, 0)
        found: dict[str, int] = answer["state"].get("subjects") or {}
        return found.get(subject, 0), _time_of(answer)

    async def now(self) -> float:
        """The time by the broker's clock, in seconds since 1970."""
        return _time_of(await self._api(f"STREAM.INFO.{self.stream}", {}))

    async def last_seq(self, nuid: str) -> int:
        """The sequence of an object's last chunk (0: it has none)."""
        wanted = {"last_by_subj": self.chunk_subject(nuid)}
        last = await self._patiently(lambda: jetstream.direct_get(self._connection, self.stream, wanted))
        return last.seq if last is not None else 0

    async def subjects(self, pattern: str) -> list[str]:
        """Every subject that matches and has messages."""
        found: list[str] = []
        while True:
            answer = await self._page(pattern, len(found))
            page: dict[str, int] = answer["state"].get("subjects") or {}
            found += page
            if not page or len(found) >= answer["total"]:
                return found

    async def seq_at(self, moment: float) -> int:
        """First sequence stored at or after `moment` (seconds since 1970)."""
        answer = await self._api(f"STREAM.INFO.{self.stream}", {})
        time = datetime.fromtimestamp(moment, UTC).isoformat()
        wanted = {"next_by_subj": ">", "start_time": time}
        first = await self._patiently(lambda: jetstream.leader_get(self._connection, self.stream, wanted))
        return first.seq if first is not None else int(answer["state"]["last_seq"]) + 1

    async def purge(self, pattern: str, *, before_seq: int | None = None) -> None:
        """Remove the messages on the subjects that match: all, or only those below a sequence."""
        bound = {"seq": before_seq} if before_seq is not None else {}
        await self._api(f"STREAM.PURGE.{self.stream}", {"filter": pattern, **bound})

    async def _page(self, pattern: str, offset: int) -> dict[str, Any]:
        return await self._api(f"STREAM.INFO.{self.stream}", {"subjects_filter": pattern, "offset": offset})

    async def _api(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._patiently(
            lambda: jetstream.call(self._connection, verb, body, timeout_s=_LISTING_TIMEOUT_S)
        )

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        return await patiently(self._connection, ask, give_up_after_s=self.give_up_after_s)


def _time_of(answer: dict[str, Any]) -> float:
    return datetime.fromisoformat(answer["ts"]).timestamp()
