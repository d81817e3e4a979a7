"""Listings: what an `InputFolder` is made of, and in which objects of the store its contents lie.

A listing is lines of JSON: a head, the objects, then the entries. Small files share an object (a pack), a
large file has its own. A listing is an object of the store itself, under its digest, so it must not change
its form: equal folders are equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from distribute.core.files.manifest import StoredFile, StoredFolder, StoredLink, entry_bytes
from distribute.core.frozen import LATER
from distribute.core.spec.specs import Bytes, Frozen, Mode, Sha256

SMALL_BYTES = 1 << 20
"""A file of at least this size has an object of its own."""

MAX_LINE_BYTES = 64 << 10
"""No line comes near: a path has at most 4,096 bytes."""


class ListingHead(Frozen):
    """The first line. `mode` is that of the folder itself; None: it is no folder, but what a glob matched."""

    v: Literal[1] = 1
    mode: Mode | None = None


class ListedObject(Frozen):
    """An object of the store that has contents of files."""

    kind: Literal["object"] = "object"
    sha256: Sha256
    size_bytes: Bytes


class ListedFolder(StoredFolder):
    """A folder, empty or not. It stands before everything in it."""

    mode: Mode | None = None


Entry = StoredFile | StoredLink | ListedFolder
_Line = Annotated[ListedObject | Entry, Field(discriminator="kind")]
_LINE: TypeAdapter[ListedObject | Entry] = TypeAdapter(_Line, config=LATER)


def line_of(part: ListingHead | ListedObject | Entry) -> bytes:
    """A line of a listing."""
    exclude = {"kind"} if isinstance(part, ListingHead) else None
    text = part.__pydantic_serializer__.to_json(part, exclude_none=True, exclude=exclude)
    return text + b"\n"


class Listing:
    """Reads a listing. Its objects are read at once, its entries one by one.

    Raises:
        ValueError: a line is not what a listing may have there. Also while the entries are read.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        try:
            self.head = ListingHead.model_validate_json(next(self._lines, b""))
        except ValidationError as error:
            raise ValueError(f"the first line is not that of a listing of version 1: {error}") from None
        self.objects: list[ListedObject] = []
        self._first: Entry | None = None
        for line in self._lines:
            part = _LINE.validate_json(line)
            if not isinstance(part, ListedObject):
                self._first = part
                break
            self.objects.append(part)

    def entries(self) -> Iterator[Entry]:
        """The entries, in order. Call this once."""
        links: set[bytes] = set()
        if self._first is not None:
            yield self._checked(self._first, links)
        for line in self._lines:
            part = _LINE.validate_json(line)
            match part:
                case ListedObject():
                    raise ValueError("an object stands behind the entries")
                case entry:
                    yield self._checked(entry, links)

    def _checked(self, entry: Entry, links: set[bytes]) -> Entry:
        """The entry, if its content is there and its path leads through no link."""
        if isinstance(entry, StoredFile) and entry.size_bytes:
            if entry.object is None or entry.object >= len(self.objects):
                raise ValueError(f"the content of {entry.path!r} lies nowhere")
            if entry.offset + entry.size_bytes > self.objects[entry.object].size_bytes:
                raise ValueError(f"the content of {entry.path!r} ends behind its object")
        path = entry_bytes(entry)
        if links and any(path[:end] in links for end, byte in enumerate(path) if byte == ord("/")):
            raise ValueError(f"{entry.path!r} lies behind a link")
        if isinstance(entry, StoredLink):
            links.add(path)
        return entry
