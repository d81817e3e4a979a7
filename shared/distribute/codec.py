"""Bytes <-> event. The only way in and out of the log.

An event is a JSON object; one over `COMPRESS_OVER_BYTES` is the zlib stream of that object, told
apart by its first byte. What can't be read raises `UnreadableEvent`, so that a reader stops instead
of skipping a fact.
"""

from __future__ import annotations

import zlib
from typing import get_args

import orjson
from pydantic import ValidationError

from distribute.core.beats import Beat
from distribute.core.errors import UnreadableEvent
from distribute.core.events import EVENT, Event
from distribute.upcasters import upcast

COMPRESS_OVER_BYTES = 32 * 1024
_MAX_EVENT_BYTES = 1 << 30

_VERSIONS: dict[str, int] = {
    kind.model_fields["type"].default: kind.model_fields["v"].default for kind in get_args(get_args(Event)[0])
}

_VALIDATOR = EVENT.validator
"""`EVENT.validate_json` costs a tenth more, and a replay decodes millions."""


def encode(event: Event) -> bytes:
    """The stored form of an event."""
    body = event.__pydantic_serializer__.to_json(event, exclude_none=True)
    return zlib.compress(body, 6) if len(body) > COMPRESS_OVER_BYTES else body


def decode(data: bytes) -> Event:
    """The event stored as `data`.

    Raises:
        UnreadableEvent: unknown type, newer version, or no event at all.
    """
    if data[:1] == b"\x78":
        data = _inflate(data)
    try:
        event: Event = _VALIDATOR.validate_json(data)
    except ValidationError as error:
        old = _decode_old(data)
        if old is None:
            raise UnreadableEvent(_why_unreadable(data, error)) from error
        return old
    return event


def _decode_old(data: bytes) -> Event | None:
    """The event of an old version that these bytes are; None if they are none."""
    try:
        body = orjson.loads(data)
        upcasted = upcast(body) if isinstance(body, dict) else None
        return None if upcasted is None else _VALIDATOR.validate_json(orjson.dumps(upcasted))
    except ValueError:
        return None


def encode_beat(beat: Beat) -> bytes:
    """The stored form of a heartbeat."""
    return beat.__pydantic_serializer__.to_json(beat, exclude_none=True)


def decode_beat(data: bytes) -> Beat:
    """The heartbeat stored as `data`.

    Raises:
        UnreadableEvent: it is none.
    """
    try:
        return Beat.model_validate_json(data)
    except ValidationError as error:
        raise UnreadableEvent(f"not a heartbeat: {error.errors()[0]['msg']}") from error


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(data, _MAX_EVENT_BYTES)
    except zlib.error as error:
        raise UnreadableEvent(f"a compressed event is damaged: {error}") from error
    if not inflater.eof or inflater.unused_data:
        raise UnreadableEvent("a compressed event is cut short, runs on, or is larger than any event may be")
    return body


def _why_unreadable(data: bytes, error: ValidationError) -> str:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as cause:
        return f"not an event: {cause}"
    if not isinstance(found, dict):
        return f"not an event: a JSON {type(found).__name__}"
    kind, version = found.get("type"), found.get("v")
    known = _VERSIONS.get(kind) if isinstance(kind, str) else None
    if known is None:
        return f"an event of the unknown type {kind!r}, from a newer distribute: upgrade this one"
    if isinstance(version, int) and version > known:
        return f"a {kind!r} event of version {version}; this distribute reads up to {known}: upgrade it"
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"not a valid {kind!r} event: {where}: {first['msg']}"
