"""A manifest as the JSON it is stored as, written and read bit by bit.

A job may leave files by the hundred thousand, on somebody's workstation. As objects they take kilobytes
each; here an entry is its JSON, and what came before is kept compressed, in some 70 bytes.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator

from pydantic import TypeAdapter
from pydantic_core import to_json

from distribute.core.manifest import Entry, Manifest, StoredObject

Part = Entry | StoredObject | str
"""What a manifest is made of; a `str` is a line of `left_out`."""

MAX_PART_BYTES = 1 << 20
"""No entry is nearly as long: a path has 4,096 bytes at most."""

_TOGETHER = 256
"""So many values are compressed at once: enough to learn from each other, in a millisecond."""

_FIELDS: dict[str, TypeAdapter[Part]] = {
    "entries": TypeAdapter(Entry),
    "objects": TypeAdapter(StoredObject),
    "left_out": TypeAdapter(str),
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
        """Its JSON: what `Manifest.model_dump_json` makes of the same."""
        before = b'{"v":1,"'
        for name in _FIELDS:
            yield before + name.encode() + b'":['
            yield from getattr(self, name).pieces()
            before = b'],"'
        yield b"]}"

    def manifest(self) -> Manifest:
        """All of it at once, for where it is short."""
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
    """What a manifest's JSON holds, in the order in which it comes. It is whole only if this ends.

    Raises:
        ValueError: `Manifest.model_validate_json` would not read it, or a part of it is too long.
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
    """Ignore a field that a newer distribute added; not another version."""
    value = await text.scalar() if await text.peek() not in {"{", "[", '"'} else await text.value()
    if name == "v" and value != "1":
        raise ValueError(f"a manifest of version {value}; this distribute reads version 1")


class _Text:
    """JSON as it comes. Nothing before the next value is kept."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0

    async def peek(self) -> str:
        """The next character that is not white space; none at the end."""
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
        """Pass over a comma, behind which there is one more. False: the next is `end`."""
        if await self.peek() != ",":
            return False
        await self.take(",")
        if await self.peek() == end:
            raise ValueError(f"{end!r} behind a comma")
        return True

    async def scalar(self) -> str:
        """The JSON of the next value, a number or a literal: it ends where something else begins."""
        await self.peek()
        while (found := _SCALAR.match(self._text, self._at)) is None or found.end() == len(self._text):
            if len(self._text) - self._at > MAX_PART_BYTES or not await self._more():
                raise ValueError(f"{self._text[self._at : self._at + 20]!r} in place of a value")
        value, self._at = found.group(), found.end()
        json.loads(value)
        return value

    async def value(self) -> str:
        """The JSON of the next value, an object, a list or a text: these tell themselves where they end."""
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
