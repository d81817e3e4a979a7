"""Write and read a manifest as JSON, piece by piece.

A job may leave hundreds of thousands of files on somebody's workstation. As objects, entries take kilobytes
each. Here an entry is JSON, and earlier entries are kept compressed, in about 70 bytes each.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator

from pydantic import TypeAdapter
from pydantic_core import to_json

from distribute.core.files.manifest import Entry, Manifest, StoredObject
from distribute.core.frozen import LATER

Part = Entry | StoredObject | str
"""A part of a manifest; a `str` is a line of `left_out`."""

MAX_PART_BYTES = 1 << 20
"""Max. bytes of a value. No entry comes near: a path has at most 4,096 bytes."""

_TOGETHER = 256
"""Values that are compressed together: enough for good compression, within a millisecond."""

_FIELDS: dict[str, TypeAdapter[Part]] = {
    "entries": TypeAdapter(Entry, config=LATER),
    "objects": TypeAdapter(StoredObject),
    "left_out": TypeAdapter(str, config=LATER),
}
_BLANK = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[-+.0-9A-Za-z]+")
_NEXT = json.JSONDecoder()


class ManifestText:
    """A manifest in the making."""

    def __init__(self) -> None:
        self.entries = _Values()
        self.objects = _Values()
        self.left_out = _Values()

    def pieces(self) -> Iterator[bytes]:
        """The manifest's JSON, equal to that of `Manifest.model_dump_json`."""
        before = b'{"v":1,"'
        for name in _FIELDS:
            yield before + name.encode() + b'":['
            yield from getattr(self, name).pieces()
            before = b'],"'
        yield b"]}"

    def manifest(self) -> Manifest:
        """The whole manifest as an object, for short ones."""
        return Manifest.model_validate_json(b"".join(self.pieces()))


class _Values:
    """The values of one list, as JSON."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._last: list[bytes] = []

    def __len__(self) -> int:
        return len(self._packed) * _TOGETHER + len(self._last)

    def add(self, value: Part) -> None:
        if len(self._last) == _TOGETHER:
            self._packed.append(zlib.compress(b",".join(self._last), 1))
            self._last.clear()
        self._last.append(to_json(value))

    def pieces(self) -> Iterator[bytes]:
        for packed in self._packed:
            yield zlib.decompress(packed) + b","
        yield b",".join(self._last)


async def read_parts(pieces: AsyncIterator[bytes]) -> AsyncIterator[Part]:
    """Yield the parts of a manifest's JSON, in order. It is complete only if this ends without an error.

    Raises:
        ValueError: `Manifest.model_validate_json` would refuse it, or a part of it is too long.
    """
    text = _Text(pieces)
    await text.take("{")
    seen: set[str] = set()
    while await text.peek() == '"':
        name = json.loads(await text.value())
        if name in seen:
            raise ValueError(f"the field {name!r} comes twice")
        seen.add(name)
        await text.take(":")
        field = _FIELDS.get(name)
        if field is None:
            await _pass_over(text, name)
            if not await text.comma("}"):
                break
            continue
        await text.take("[")
        while await text.peek() != "]":
            yield field.validate_json(await text.value())
            if not await text.comma("]"):
                break
        await text.take("]")
        if not await text.comma("}"):
            break
    await text.take("}")
    if await text.peek():
        raise ValueError(f"{await text.peek()!r} behind its end")


async def _pass_over(text: _Text, name: str) -> None:
    """Ignore a field that a newer distribute added, but refuse another version."""
    value = await text.scalar() if await text.peek() not in {"{", "[", '"'} else await text.value()
    if name == "v" and value != "1":
        raise ValueError(f"a manifest of version {value}; this distribute reads version 1")


class _Text:
    """JSON text that arrives in pieces. Text before the next value is dropped."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0

    async def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not await self._more():
                return ""

    async def take(self, char: str) -> None:
        found = await self.peek()
        if found != char:
            raise ValueError(f"{found!r} in place of {char!r}")
        self._at += 1

    async def comma(self, end: str) -> bool:
        """Skip a comma that another value follows. Returns False if `end` comes next."""
        if await self.peek() != ",":
            return False
        await self.take(",")
        if await self.peek() == end:
            raise ValueError(f"{end!r} behind a comma")
        return True

    async def scalar(self) -> str:
        """The JSON of the next value, a number or a literal."""
        await self.peek()
        while (found := _SCALAR.match(self._text, self._at)) is None or found.end() == len(self._text):
            if len(self._text) - self._at > MAX_PART_BYTES or not await self._more():
                raise ValueError(f"{self._text[self._at : self._at + 20]!r} in place of a value")
        value, self._at = found.group(), found.end()
        json.loads(value)
        return value

    async def value(self) -> str:
        """The JSON of the next value, an object, a list or a text."""
        if await self.peek() not in {"{", "[", '"'}:
            raise ValueError(f"{await self.peek()!r} in place of an object, a list or a text")
        while True:
            try:
                _, end = _NEXT.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if len(self._text) - self._at > MAX_PART_BYTES or not await self._more():
                    raise
            except RecursionError as error:
                raise ValueError("values within values, too deep to be read") from error
            else:
                found, self._at = self._text[self._at : end], end
                return found

    async def _more(self) -> bool:
        piece = await anext(self._pieces, None)
        self._text = self._text[self._at :] + self._decoder.decode(piece or b"", final=piece is None)
        self._at = 0
        return piece is not None
