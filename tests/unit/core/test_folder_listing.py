"""A listing that could write outside its folder, or whose contents lie nowhere, is refused."""

from __future__ import annotations

import pytest

from distribute.core.files.folder_listing import (
    Entry,
    ListedFolder,
    ListedObject,
    Listing,
    ListingHead,
    line_of,
)
from distribute.core.files.manifest import StoredFile, StoredLink

OBJECT = ListedObject(sha256="0" * 64, size_bytes=10)


def file(path: str, size_bytes: int = 0, number: int | None = None, offset: int = 0) -> StoredFile:
    return StoredFile(path=path, size_bytes=size_bytes, sha256="1" * 64, object=number, offset=offset)


def read(*parts: ListedObject | Entry) -> list[Entry]:
    listing = Listing([line_of(ListingHead(mode=0o755)), *map(line_of, parts)])
    assert listing.head.mode == 0o755
    return list(listing.entries())


def test_a_listing_is_read_as_it_was_written() -> None:
    entries: list[Entry] = [
        ListedFolder(path="d", mode=0o700),
        file("d/f", 4, 0, 6),
        StoredLink(path="l", target="d/f"),
        file("empty"),
    ]
    assert read(OBJECT, *entries) == entries
    assert read() == []


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ([OBJECT, file("f", 4)], "lies nowhere"),
        ([OBJECT, file("f", 4, 1)], "lies nowhere"),
        ([OBJECT, file("f", 5, 0, 6)], "ends behind its object"),
        ([file("f"), OBJECT], "an object stands behind the entries"),
        ([StoredLink(path="a/l", target=".."), file("a/l/f")], "lies behind a link"),
        ([StoredLink(path="a/b/l", target="../.."), ListedFolder(path="a/b/l/x")], "lies behind a link"),
    ],
)
def test_a_wrong_listing_is_refused(parts: list[ListedObject | Entry], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(*parts)


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"file","path":"../x","size_bytes":0,"sha256":"' + b"1" * 64 + b'"}\n',
        b'{"kind":"file","path":"/x","size_bytes":0,"sha256":"' + b"1" * 64 + b'"}\n',
        b'{"kind":"link","path":"l","target":"../x"}\n',
        b'{"kind":"folder","path":"a//b"}\n',
        b'{"kind":"device","path":"d"}\n',
        b"not JSON\n",
    ],
)
def test_a_line_that_is_no_entry_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        list(Listing([line_of(ListingHead()), line]).entries())


@pytest.mark.parametrize("head", [b"", b"{}x\n", b'{"v":2}\n', b'{"v":1,"more":1}\n'])
def test_a_file_that_is_no_listing_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match="not that of a listing of version 1"):
        Listing([head])
