"""A saved log as a cluster: readers use it as they use one with a server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NoReturn, cast

import orjson

from distribute.by_time import ENDLESS
from distribute.codec import decode
from distribute.core.errors import IntegrityError, NobodyAnswers, Refused, UnreadableEvent
from distribute.core.ids import Assignments, BatchId, BuildId, Guarded, JobId, Under
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, Recorded
from distribute.ports import (
    BEGINNING,
    QUERIES_AT_WORK,
    ArtifactStore,
    Beats,
    Delivery,
    Garbage,
    Handler,
    LiveOutput,
    Only,
    Place,
    Raw,
)
from distribute.saved.reading import SavedFile
from distribute.stored_events import wanted

ALL = Only()

_new_tuple = tuple.__new__

_DECODED_AT_ONCE = 64
"""As many as the log on NATS decodes at once, for the same reason."""


class SavedLog:
    """`ports.EventLog` of a file. It reads the file anew for each call, in bounded memory."""

    def __init__(self, file: SavedFile) -> None:
        self.garbage = Garbage()
        self._file = file
        self._checks_chain = False

    def check_chain(self) -> None:
        """From now on, `follow` reads to the end of the file, and checks the digest of each line."""
        self._checks_chain = True

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """As `ports.EventLog.append`. Raises `Refused`."""
        refused: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        refused.set_exception(Refused(f"{self._file.path} is a saved log: nothing can be changed in it"))
        return refused

    def begin_anew(self) -> None:
        """As `ports.EventLog.begin_anew`. Nothing is ever appended."""

    async def follow(
        self, *, after: int, at: float | None = None, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """As `ports.EventLog.follow`. Without `until`, it raises `Refused` behind the last event."""
        for _, records in self._read(after, only, until):
            if records:
                yield records
            else:
                await asyncio.sleep(0)
        if until is None:
            raise Refused(f"{self._file.path} is a saved log: nothing comes behind its last event")

    async def follow_raw(
        self, *, after: int, until: int, only: Only = ALL
    ) -> AsyncGenerator[Sequence[Raw], None]:
        """As `ports.EventLog.follow_raw`."""
        for raws, _ in self._read(after, only, until):
            if raws:
                yield raws
            else:
                await asyncio.sleep(0)

    def _read(
        self, after: int, only: Only, until: int | None, event_type: str | None = None
    ) -> Iterator[tuple[list[Raw], list[Recorded]]]:
        """Yield the wanted events, as they are stored and decoded, and now and then none.

        Then other tasks may run. Otherwise no Ctrl-C would end a verb before the whole file is read.
        `event_type`: only those of this type.
        """
        last = self._file.last.last_seq if until is None else until
        is_all = only == ALL and event_type is None
        may_be_wanted = _sieve(only, event_type)
        for raws in self._file.check_chain() if self._checks_chain else self._file.events():
            yield [], []
            if raws and raws[-1].seq <= after:
                continue
            if is_all and raws and after < raws[0].seq and raws[-1].seq <= last:
                some = raws
            else:
                some = [raw for raw in raws if after < raw.seq <= last and may_be_wanted(raw.payload)]
            for first in range(0, len(some), _DECODED_AT_ONCE):
                few = some[first : first + _DECODED_AT_ONCE]
                records = self._decoded(few)
                if not is_all:
                    found = [
                        (raw, recorded)
                        for raw, recorded in zip(few, records, strict=True)
                        if wanted(only, recorded.event) and event_type in {None, recorded.event.type}
                    ]
                    few, records = [raw for raw, _ in found], [recorded for _, recorded in found]
                if few:
                    yield few, records
            if raws and raws[-1].seq >= last and not self._checks_chain:
                return

    def _decoded(self, raws: Sequence[Raw]) -> list[Recorded]:
        records: list[Recorded] = []
        try:
            for seq, time, payload in raws:
                records.append(_new_tuple(Recorded, (seq, time, decode(payload))))
        except UnreadableEvent as error:
            raise IntegrityError(f"{self._file.path}: event {seq}: {error}") from error
        return records

    async def last(self, scope: Guarded, event_type: str | None = None) -> Recorded | None:
        """As `ports.EventLog.last`."""
        found: Recorded | None = None
        for _, records in self._read(0, _only(scope), None, event_type):
            found = records[-1] if records else found
            await asyncio.sleep(0)
        return found

    async def get(self, seq: int) -> Recorded:
        """As `ports.EventLog.get`."""
        raw = await self.get_raw(seq)
        [recorded] = self._decoded([raw])
        return recorded

    async def get_raw(self, seq: int) -> Raw:
        """As `ports.EventLog.get_raw`."""
        for raws in self._file.events():
            if raws and raws[-1].seq >= seq:
                for raw in raws:
                    if raw.seq == seq:
                        return raw
                break
        raise KeyError(seq)

    async def purge(self, batch: BatchId, *, before: int) -> None:
        """As `ports.EventLog.purge`. Raises `Refused`."""
        raise Refused(f"{self._file.path} is a saved log: nothing can be removed from it")

    def between(self, time: float) -> tuple[int, int]:
        """As `by_time.between`. To find it by halves would read the file twenty times."""
        seq = 0
        for raws in self._file.events():
            for raw in raws:
                if raw.time >= time:
                    return seq, raw.seq - 1
                seq = raw.seq
        return seq, ENDLESS

    async def end(self) -> Place:
        """As `ports.EventLog.end`."""
        last = self._file.last
        return Place(last.last_seq, last.last_time) if last.events else BEGINNING

    async def last_seq(self) -> int:
        """As `ports.EventLog.last_seq`."""
        return (await self.end()).seq


def _only(scope: Guarded) -> Only:
    """The events that a scope has."""
    if isinstance(scope, Assignments):
        return Only(types=frozenset({"assigned"}), batch=scope.of.batch)
    return Only(batch=scope.batch) if isinstance(scope, Under) else Only(scope=scope)


def _sieve(only: Only, event_type: str | None) -> Callable[[bytes], bool]:
    """Tells of an event, as it is stored, whether it may be wanted: if not, it need not be decoded."""
    names = _names_in(only)
    types = only.types if event_type is None else {event_type}
    has_type, has_other_type = _finder(types or ()), _finder(only.also)

    def may_be_wanted(payload: bytes) -> bool:
        if all(name in payload for name in names) and (types is None or has_type(payload)):
            return True
        if only.also and has_other_type(payload):
            return True
        return payload[:1] != b"{" or b"\\" in payload  # it is no JSON, or another encoder escaped words

    return may_be_wanted


def _finder(words: Iterable[str]) -> Callable[[bytes], object]:
    """Finds the first of these words that a JSON text has."""
    return re.compile(b"|".join(re.escape(orjson.dumps(word)) for word in sorted(words))).search


def _names_in(only: Only) -> list[bytes]:
    """Names that all of these events have, as JSON, but for those of the types in `also`."""
    match only.scope:
        case JobId():
            names: Sequence[str | None] = only.scope
        case BatchId():
            names = only.scope
        case BuildId():
            names = (*only.scope.batch_id, only.scope.node)
        case None:
            names = (*(only.batch or ()), only.node)
        case _:
            names = (only.scope.node,)
    return [orjson.dumps(name) for name in names if name is not None]


class SavedQueries:
    """`ports.Queries` of a cluster without services: readers fold the log instead."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def serving(
        self, verb: str, handler: Handler, *, node: str | None = None, at_work: int = QUERIES_AT_WORK
    ) -> AbstractAsyncContextManager[None]:
        """As `ports.Queries.serving`. Raises `Refused`."""
        raise Refused(f"nobody asks a saved log for {verb!r}")

    async def ask(
        self, verb: str, payload: bytes = b"", *, node: str | None = None, timeout_s: float = 5.0
    ) -> bytes:
        """As `ports.Queries.ask`. Raises `NobodyAnswers`; `Refused` if a node is asked."""
        if node is not None:
            raise Refused(f"{self._path} is a saved log: no job runs in it")
        raise NobodyAnswers(f"a saved log has no service that answers {verb!r}")


class SavedCluster:
    """`ports.Cluster` of a saved log. It has events, but no files, no heartbeats and no services.

    Raises:
        InputError: the file can't be read, is no saved log, or is of a newer distribute.
        IntegrityError: it was altered or cut short.
    """

    connected = True

    def __init__(self, path: Path) -> None:
        self.file = SavedFile(path)
        self.log = self.stream = SavedLog(self.file)
        self.queries = SavedQueries(path)

    @property
    def store(self) -> ArtifactStore:
        """Raises `IntegrityError` when it is used."""
        return cast(ArtifactStore, _Missing(self.file.path, "files: pull them from the cluster itself"))

    @property
    def beats(self) -> Beats:
        """Raises `IntegrityError` when it is used."""
        return cast(Beats, _Missing(self.file.path, "heartbeats"))

    @property
    def live(self) -> LiveOutput:
        """Raises `IntegrityError` when it is used."""
        return cast(LiveOutput, _Missing(self.file.path, "output of jobs: read it from the cluster itself"))

    def durable(self, name: str, only: Only = ALL) -> AsyncGenerator[Delivery, None]:
        """As `ports.Cluster.durable`. Raises `Refused`: nothing remembers what was read."""
        raise Refused(f"{self.file.path} is a saved log: no service can work with it")

    def on_return(self, callback: Callable[[], None]) -> Callable[[], None]:
        """As `ports.Cluster.on_return`. Nothing is ever lost."""
        return lambda: None


class _Missing:
    """What a saved log does not have."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what

    def __getattr__(self, name: str) -> NoReturn:
        raise IntegrityError(f"{self._path} is a saved log, and has no {self._what}")
