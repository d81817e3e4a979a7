"""Bytes <-> event. The only way in and out of the log.

An event is a JSON object. Above `COMPRESS_OVER_BYTES` it is stored compressed with zlib, and a large
submission is stored in blocks (`submissions`); the first byte tells which. Bytes that this version can't read
raise `UnreadableEvent`: the log then finds out whether a newer distribute wrote them, or whether they are
garbage.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator

import orjson
from pydantic import ValidationError

from distribute.core.errors import InputError, UnreadableEvent
from distribute.core.log.authors import wrong_author
from distribute.core.log.beats import Beat
from distribute.core.log.events import EVENT, KINDS, Event, Submitted, type_of
from distribute.core.slices import at_once
from distribute.core.words import format_size
from distribute.slices import in_slices
from distribute.submissions import (
    BLOCK_JOBS,
    MARK,
    encode_in_blocks,
    first_job,
    head_with,
    inflate,
    inflate_block,
    join_frames,
    split_frames,
    with_blocks,
    with_jobs,
)
from distribute.upcasters import is_old, upcast

COMPRESS_OVER_BYTES = 32 * 1024

MAX_EVENT_BYTES = 96 << 20
MAX_EVENT_VALUES = 4_000_000
"""Max. size of an event's JSON, and max. number of its values: each becomes an object when the event is read.
Measured: 100,000 python jobs with a script and four files each have 74 MiB and 3.0 million values."""

MAX_PIECE_BYTES = 16 << 20
MAX_PIECE_VALUES = 1_000_000
"""The same limits for what is read without a pause: an event that is not stored in blocks, or a submission
without its jobs."""

_LARGE_BYTES = 1 << 20
"""Larger events are read by `_decode_large`: each error in an event costs a kilobyte, and there could be
millions."""

_VERSIONS: dict[str, int] = {type_of(kind): kind.model_fields["v"].default for kind in KINDS}

_TYPE = b'"type":"'


class _Validators(dict[bytes, Callable[[bytes], Event]]):
    """What reads the JSON of events, by their type. It is made when the first event of a type is read."""

    def __missing__(self, event_type: bytes) -> Callable[[bytes], Event]:
        for kind in KINDS:
            if type_of(kind).encode() == event_type:
                kind.model_rebuild()
                self[event_type] = kind.__pydantic_validator__.validate_json
                return self[event_type]
        return EVENT.validator.validate_json  # which says what is wrong


class SmallEvents:
    """`validate` reads the JSON of small events: by the validator of each one's class, or `EVENT`'s.

    That of `EVENT` takes 0.9 of the time (0.4 µs less an event), but it has the validators of all classes,
    which are 3 MB and take 0.03 to 0.1 s to make. So whoever reads a long log makes it, and nobody else: not
    a node-runner at rest, nor a service in the midst of a batch.
    """

    def __init__(self, many: int = 50_000) -> None:
        self.validate: Callable[[bytes], Event] = self._validate_by_type
        self._by_type = _Validators()
        self._until_many = many

    def _validate_by_type(self, data: bytes) -> Event:
        """The first type in an event that we wrote is its own. Raises `ValidationError`."""
        self._until_many -= 1
        if self._until_many <= 0:
            EVENT.rebuild()
            self.validate = EVENT.validator.validate_json
        start = data.find(_TYPE) + len(_TYPE)
        return self._by_type[data[start : data.find(b'"', start)]](data)


_SMALL = SmallEvents()


def encode(event: Event) -> bytes:
    """The stored form of an event.

    Raises:
        InputError: the event is too large, or its author may not write it. No reader would accept it.
    """
    if (why := wrong_author(event)) is not None:
        raise InputError(f"can't write a {event.type!r} event: {why}")
    if isinstance(event, Submitted) and len(event.spec.work.jobs) > BLOCK_JOBS:
        return _encode_in_blocks(event)
    body = event.__pydantic_serializer__.to_json(event, exclude_none=True)
    if len(body) <= COMPRESS_OVER_BYTES:
        return body
    if isinstance(event, Submitted) and len(body) > _LARGE_BYTES:
        return _encode_in_blocks(event)
    _refuse(event, _why_too_large(body))
    return zlib.compress(body, 6)


def _encode_in_blocks(event: Submitted) -> bytes:
    head, blocks = encode_in_blocks(event)
    _refuse(event, _why_too_large(head))
    budget = _Budget()

    def texts() -> Iterator[bytes]:
        yield head
        for block in blocks:  # one at a time: together they may have 96 MiB
            _refuse(event, budget.why_exceeded(block))
            yield block

    return join_frames(texts())


def _refuse(event: Event, why: str | None) -> None:
    if why is not None:
        raise InputError(f"{event.scope}: a {event.type!r} event has {why}: submit several smaller batches")


def decode(data: bytes) -> Event:
    """The event stored as `data`.

    Raises:
        UnreadableEvent: `data` is no event, its type or version is unknown, or its author may not write it.
    """
    if data[:1] == b"{" and len(data) <= _LARGE_BYTES:
        return _decode_small(data)
    return at_once(_read_blocks(data)) if data[:1] == MARK else _decode_piece(data)


async def decode_in_slices(data: bytes) -> Event:
    """As `decode`, but lets other tasks run after each block of a large submission."""
    return await in_slices(_read_blocks(data)) if data[:1] == MARK else _decode_piece(data)


def decode_without_jobs(data: bytes) -> tuple[Submitted, list[bytes]]:
    """The submission stored as `data`, with only its first job, and the blocks of all its jobs.

    The blocks are still compressed: read them with `submissions.inflate_block` and `decode_block`.

    Raises:
        UnreadableEvent: `data` is no submission.
    """
    if data[:1] == MARK:
        compressed_head, frames = split_frames(data)
        head = inflate(compressed_head, MAX_PIECE_BYTES)
        if not is_old(_parsed(head)):
            return _with_first_job(head, frames), frames
    event = decode(data)
    if not isinstance(event, Submitted):
        raise UnreadableEvent(f"a {event.type!r} event, where a submission should be")
    _, blocks = encode_in_blocks(event)
    return with_jobs(event, event.spec.work.jobs[:1]), [zlib.compress(block, 1) for block in blocks]


def _read_blocks(data: bytes) -> Generator[None, None, Event]:
    """Read the submission that `data` holds in blocks. Yields after each block."""
    compressed_head, frames = split_frames(data)
    head = inflate(compressed_head, MAX_PIECE_BYTES)
    if is_old(_parsed(head)):
        # An upcaster changes an event as a whole.
        return _decode_piece(head_with(head, [*_within_bounds(frames)]), whole=True)
    event = _with_first_job(head, frames)
    return (yield from with_blocks(event, _within_bounds(frames)))


def _with_first_job(head: bytes, frames: list[bytes]) -> Submitted:
    event = _decode_piece(head_with(head, [first_job(inflate_block(frames[0]))]))
    if not isinstance(event, Submitted):
        raise UnreadableEvent(f"not an event: a {event.type!r} event in blocks")
    return event


def _within_bounds(frames: list[bytes]) -> Iterator[bytes]:
    """Yield the blocks of a submission. Raises `UnreadableEvent` when they exceed the limits of an event."""
    budget = _Budget()
    for frame in frames:
        block = inflate_block(frame)
        if (why := budget.why_exceeded(block)) is not None:
            raise UnreadableEvent(f"not an event: it has {why}")
        yield block


def _decode_piece(data: bytes, *, whole: bool = False) -> Event:
    """Read the event that `data` holds in one piece. `whole`: it was joined from blocks."""
    if data[:1] == b"\x78":
        data = inflate(data, MAX_PIECE_BYTES)
    return _decode_large(data, whole=whole) if len(data) > _LARGE_BYTES else _decode_small(data)


def _decode_small(data: bytes) -> Event:
    """The event with this JSON. A replay spends most of its time here."""
    try:
        event = _SMALL.validate(data)
    except ValidationError:
        event = _decode_otherwise(data)
    if (why := wrong_author(event)) is not None:
        raise _by_wrong_author(event, why)
    return event


def _decode_otherwise(data: bytes) -> Event:
    """Read an event of an old version, or as another program wrote it; or find what is wrong with it."""
    try:
        event: Event = EVENT.validator.validate_json(data)
    except ValidationError as error:
        return _decode_old(_parsed(data), error)
    return event


def _by_wrong_author(event: Event, why: str) -> UnreadableEvent:
    return UnreadableEvent(f"not a valid {event.type!r} event: {why}")


def _decode_large(data: bytes, *, whole: bool) -> Event:
    """Read a large event. A forged one costs no more than a valid one.

    Each error of `validate_json` holds a copy of the value that is wrong: gigabytes, if that is the whole
    event. And each unknown field is an error. So we ignore unknown fields here, and afterwards find them by
    the number of values.
    """
    if not whole and (why := _why_too_large(data)) is not None:
        raise UnreadableEvent(f"not an event: it has {why}")
    found = _parsed(data)
    try:
        event: Event = EVENT.validator.validate_python(found, extra="ignore")
    except ValidationError as error:
        event = _decode_old(found, error)
    if event.type == "submitted" and _values(data) > _values(
        event.__pydantic_serializer__.to_json(event, exclude_none=True)
    ):
        raise UnreadableEvent(f"not a valid {event.type!r} event: it has unknown fields")
    if (why := wrong_author(event)) is not None:
        raise _by_wrong_author(event, why)
    return event


def _decode_old(found: object, error: ValidationError) -> Event:
    """Read an event of an old version. `error` is what the current version finds wrong with it."""
    try:
        upcasted = upcast(found) if isinstance(found, dict) else None
        if upcasted is not None:
            event: Event = EVENT.validator.validate_python(upcasted)
            return event
    except (ValueError, TypeError, OverflowError) as why:
        raise UnreadableEvent(f"not a valid event of an old version: {_first_line(why)}") from None
    raise UnreadableEvent(_why_unreadable(found, error)) from None


def encode_beat(beat: Beat) -> bytes:
    """The stored form of a heartbeat."""
    return beat.__pydantic_serializer__.to_json(beat, exclude_none=True)


def decode_beat(data: bytes) -> Beat:
    """The heartbeat stored as `data`.

    Raises:
        UnreadableEvent: `data` is no heartbeat.
    """
    try:
        return Beat.model_validate_json(data)
    except ValidationError as error:
        raise UnreadableEvent(f"not a heartbeat: {error.errors()[0]['msg']}") from error


def _why_too_large(body: bytes) -> str | None:
    """Why this JSON is too large for an event in one piece; None if it is not."""
    if len(body) <= _LARGE_BYTES:
        return None
    return _Budget(MAX_PIECE_BYTES, MAX_PIECE_VALUES).why_exceeded(body)


class _Budget:
    """How much more JSON an event may have.

    Parsing makes an object of every value, so a few bytes of JSON can take many bytes of memory. We count
    commas and opening brackets, which bound the number of values.
    """

    def __init__(self, most_bytes: int = MAX_EVENT_BYTES, most_values: int = MAX_EVENT_VALUES) -> None:
        self._most_bytes, self._most_values = most_bytes, most_values
        self._bytes = self._values = 0

    def why_exceeded(self, more: bytes) -> str | None:
        """Count `more`. Returns why the event is now too large; None if it is not."""
        self._bytes += len(more)
        if self._bytes > self._most_bytes:
            return f"{format_size(self._bytes)} of JSON; {format_size(self._most_bytes)} are allowed"
        self._values += _values(more)
        if self._values > self._most_values:
            return f"{self._values} JSON values; {self._most_values} are allowed"
        return None


def _values(body: bytes) -> int:
    """The most values that a JSON text can have, besides the first."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _parsed(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnreadableEvent(f"not an event: {error}") from error


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"])
    return str(error)[:200]


def _why_unreadable(found: object, error: ValidationError) -> str:
    if not isinstance(found, dict):
        return f"not an event: a JSON {type(found).__name__}"
    kind, version = found.get("type"), found.get("v")
    known = _VERSIONS.get(kind) if isinstance(kind, str) else None
    if known is None:
        return f"an event of the unknown type {str(kind)[:80]!r}"
    if isinstance(version, int) and version > known:
        return f"a {kind!r} event of version {version}; this distribute reads up to {known}"
    told = [
        (_place(one["loc"]), one["msg"])
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    first = told[0][0]
    # A field of a union type has one error for each of its types; the last one explains best.
    message = [message for place, message in told if place == first][-1]
    return f"not a valid {kind!r} event: {first}: {message}"


def _place(loc: tuple[int | str, ...]) -> str:
    """The field that an error is about, without the names of the types of a union."""
    return ".".join(str(part) for part in loc if isinstance(part, int) or part.isidentifier())
