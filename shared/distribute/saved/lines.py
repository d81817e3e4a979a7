"""The format of a saved log: lines of JSON in a gzip file, chained by their digests.

    {"distribute_log":1,"layout":5,"version":"0.1.0","cluster":"nats://head:4222",…,"sha256":"…"}
    {"seq":1,"time":1767225600.125,"event":{…},"sha256":"…"}
    …
    {"events":1,"last_seq":1,"last_time":1767225600.125,"file_sha256":"…","sha256":"…"}

`event` has the bytes that the log stores, unchanged. If they are no JSON on one line, they are in `bytes`, in
base64. The `sha256` of a line is the digest of the line before (its 32 bytes; none for the first line)
followed by the line as it is without `,"sha256":"…"`. So whoever alters a line has to alter all that follow.

The last line is in a gzip member of its own, which is not compressed, so that a reader finds it from the
file's end. `file_sha256` is the digest of the bytes before that member: with it, a reader checks a file that
nobody altered ten times as fast as line by line.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from base64 import b64decode, b64encode
from binascii import hexlify
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from distribute.core.layout import LAYOUT
from distribute.ports import Raw

FORMAT = 1
"""Raise this if an older distribute can't read what this one saves."""

GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, without a name or a time, by an unknown system."""

_TAIL = b',"sha256":"%b"}'
TAIL_BYTES = len(_TAIL % bytes(64))
"""How many bytes of a line, without its end, are its digest."""

_sha256 = hashlib.sha256
_new_tuple = tuple.__new__  # makes a `Raw` in half the time
# A replay reads millions of lines.

_STORED = b"\x01"
_LENGTHS = struct.Struct("<HH")
_TRAILER = struct.Struct("<II")
_AROUND_LAST = len(GZIP_HEADER) + len(_STORED) + _LENGTHS.size + _TRAILER.size

_END_OF_TIME = 2**63 / 1e9
"""In seconds since 1970: JetStream counts nanoseconds in 64 bits."""

_BASE64 = b'"bytes":"'
_JSON = b'"event":'


class Damaged(Exception):
    """A line, or what stands in its place, is not what was saved. The message says why."""


class Chain:
    """The digests of a file's lines, each over the one before."""

    def __init__(self) -> None:
        self._digest = b""

    def seal(self, body: bytes) -> bytes:
        """The whole line of a JSON object that ends in front of its closing bracket."""
        self._digest = _sha256(self._digest + body).digest()
        return b"%b%b\n" % (body, _TAIL % hexlify(self._digest))

    def check(self, line: bytes) -> None:
        """Take the next line, without its end. Raises `Damaged` if its digest is wrong."""
        if not self.take([line]):
            raise Damaged("its digest is not that of its text and the lines before")

    def take(self, lines: Sequence[bytes]) -> int:
        """Take the next lines, without their ends. Returns how many have their digests.

        That is all of them, or those before the first whose digest is wrong.
        """
        digest = self._digest
        for taken, line in enumerate(lines):
            before, digest = digest, _sha256(digest + line[:-TAIL_BYTES]).digest()
            if line[-TAIL_BYTES:] != _TAIL % hexlify(digest):
                self._digest = before
                return taken
        self._digest = digest
        return len(lines)


class Header(NamedTuple):
    """The first line: where the events are from. `batch`: only its events were saved, and those of nodes."""

    cluster: str
    saved_at: str
    version: str
    batch: list[str] | None = None
    layout: int = LAYOUT
    distribute_log: int = FORMAT

    def body(self) -> bytes:
        """The line, in front of its digest."""
        found = self._asdict()
        return orjson.dumps({name: found.pop(name) for name in ("distribute_log", "layout")} | found)[:-1]

    @classmethod
    def read(cls, line: bytes) -> Header | None:
        """The header in a line; None if the line is none."""
        try:
            found: Any = orjson.loads(line)
            if not isinstance(found["distribute_log"], int) or not isinstance(found["layout"], int):
                return None
            header = cls(*(found.get(name) for name in cls._fields))
            return header if header.distribute_log > FORMAT or header._has_texts() else None
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return None

    def _has_texts(self) -> bool:
        """Are the fields of this format what they should be?"""
        batch = [] if self.batch is None else self.batch
        texts = [self.cluster, self.saved_at, self.version, *batch]
        return len(batch) in {0, 2} and all(isinstance(text, str) for text in texts)


class Last(NamedTuple):
    """The last line: what the file holds."""

    events: int
    last_seq: int
    last_time: float
    file_sha256: str

    def body(self) -> bytes:
        """The line, in front of its digest."""
        return orjson.dumps(self._asdict())[:-1]

    @classmethod
    def read(cls, line: bytes) -> Last:
        """The last line. Raises `Damaged` if the line is none."""
        try:
            found = orjson.loads(line)
            last = cls(*(found[name] for name in cls._fields))
            if last.events:
                check_order([Raw(int(last.last_seq), float(last.last_time), b"")], 0)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise Damaged("it is not the last line of a saved log") from error
        return last


def event_body(raw: Raw) -> bytes:
    """The line of an event, in front of its digest."""
    seq, time, payload = raw
    if payload[:1] == b"{" and b"\n" not in payload and b"\r" not in payload:
        return b'{"seq":%d,"time":%b,"event":%b' % (seq, repr(time).encode(), payload)
    return b'{"seq":%d,"time":%b,"bytes":"%b"' % (seq, repr(time).encode(), b64encode(payload))


def read_event(line: bytes) -> Raw:
    """The event of a line. Raises `Damaged` if there is none."""
    try:
        seq, time, stored = line.split(b",", 2)
        if stored[:8] == _JSON:
            return _new_tuple(Raw, (int(seq[7:]), float(time[7:]), stored[8:-TAIL_BYTES]))
        if stored[:9] == _BASE64:
            return Raw(int(seq[7:]), float(time[7:]), b64decode(stored[9 : -TAIL_BYTES - 1], validate=True))
    except ValueError as error:
        raise Damaged(f"it is not an event: {error}") from error
    raise Damaged("it is not an event")


def check_order(raws: Sequence[Raw], seq: int) -> int:
    """The sequence of the last of these events; `seq` is that of the one before them.

    Raises `Damaged` if they are in no order, or have times that no log has.
    """
    for raw_seq, time, _ in raws:
        if raw_seq <= seq:
            raise Damaged(f"event {raw_seq} stands behind event {seq}")
        if not 0 <= time < _END_OF_TIME:
            raise Damaged(f"event {raw_seq} has the time {time}, which no log has")
        seq = raw_seq
    return seq


def last_member(line: bytes) -> bytes:
    """The gzip member of the last line, which is not compressed. A line has one such member only."""
    return b"".join(
        (
            GZIP_HEADER,
            _STORED,
            _LENGTHS.pack(len(line), len(line) ^ 0xFFFF),
            line,
            _TRAILER.pack(zlib.crc32(line), len(line)),
        )
    )


def find_last(end_of_file: bytes) -> bytes:
    """The last line, in the last bytes of a file. Raises `Damaged` if it is not whole."""
    if len(end_of_file) >= _AROUND_LAST:
        _, length = _TRAILER.unpack(end_of_file[-_TRAILER.size :])
        member = end_of_file[-(_AROUND_LAST + length) :]
        line = member[-_TRAILER.size - length : -_TRAILER.size]
        if length < 1 << 16 and member == last_member(line) and line[-1:] == b"\n":
            return line
    raise Damaged("its last line is missing or damaged")
