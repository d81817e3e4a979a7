"""Split payloads that exceed the broker's limit into parts, which are stored all or none.

A part begins with a NUL byte, its index and the number of parts, both as four bytes, big-endian. No stored
form of an event begins with NUL. JetStream stores the messages of an atomic batch with consecutive
sequences, so the last part tells where the others are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEAD = struct.Struct(">BII")
_MARK = 0
HEADER_ROOM_BYTES = 4096
"""Max. bytes of a message's headers. Names are bounded, and so are subjects."""

MAX_PARTS = 1000
"""The broker's limit for the messages of an atomic batch."""


def is_part(payload: bytes) -> bool:
    """Is this a part of a payload?"""
    return payload[:1] == b"\0" and len(payload) >= _HEAD.size


def place(part: bytes) -> tuple[int, int]:
    """Which part this is, from 0 on, and of how many."""
    _, index, count = _HEAD.unpack_from(part)
    return index, count


def content(part: bytes) -> bytes:
    """The part's share of the payload."""
    return part[_HEAD.size :]


def count_parts(payload: bytes, max_payload: int) -> int:
    """How many parts a payload needs; 1 means that it is sent whole."""
    if len(payload) + HEADER_ROOM_BYTES <= max_payload:
        return 1
    return -(-len(payload) // _share(max_payload))


def split(payload: bytes, max_payload: int) -> Iterator[bytes]:
    """The parts of a payload, one at a time."""
    share = _share(max_payload)
    count = count_parts(payload, max_payload)
    for index in range(count):
        yield _HEAD.pack(_MARK, index, count) + payload[index * share : (index + 1) * share]


def _share(max_payload: int) -> int:
    return max_payload - HEADER_ROOM_BYTES - _HEAD.size
