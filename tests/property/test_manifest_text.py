"""A manifest written and read piece by piece equals the one written and read at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from distribute.core.files.manifest import Manifest, StoredFile, StoredFolder, StoredLink, StoredObject
from distribute.core.files.manifest_text import ManifestText, Part, read_parts

digests = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
texts = st.text(st.characters(exclude_categories=["Cs"]))
raws = st.none() | st.just("/w==")
names = texts.filter(
    lambda text: text not in {"", ".", ".."} and not {"/", "\0"} & set(text) and len(text.encode()) <= 255
)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
files = st.builds(
    StoredFile,
    path=paths,
    raw_path=raws,
    size_bytes=st.integers(0, 2**63 - 1),
    sha256=digests,
    executable=st.booleans(),
    mode=st.none() | st.integers(0, 0o777),
    mtime_ns=st.none() | st.integers(-(2**63), 2**63 - 1),
    object=st.none() | st.integers(0, 9),
)
entries = (
    files
    | st.builds(StoredLink, path=paths, target=paths)
    | st.builds(StoredFolder, path=paths, raw_path=raws)
)
stored = st.builds(
    StoredObject,
    name=texts,
    nuid=texts,
    size_bytes=st.integers(0, 2**63 - 1),
    chunks=st.integers(0, 2**31 - 1),
    sha256=digests,
)
manifests = st.builds(
    Manifest,
    entries=st.lists(entries).map(tuple),
    objects=st.lists(stored, max_size=3).map(tuple),
    left_out=st.lists(texts, max_size=3).map(tuple),
)


def written(manifest: Manifest) -> ManifestText:
    text = ManifestText()
    for entry in manifest.entries:
        text.entries.add(entry)
    for one in manifest.objects:
        text.objects.add(one)
    for line in manifest.left_out:
        text.left_out.add(line)
    return text


def read(text: bytes, piece_bytes: int) -> list[Part]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(text), piece_bytes):
            yield text[start : start + piece_bytes]

    async def everything() -> list[Part]:
        return [part async for part in read_parts(pieces())]

    return asyncio.run(everything())


@pytest.mark.parametrize("value", ["3", "true", "null", '"x"', "[[1],[]]", '{"a":[]}'])
@given(manifests, st.integers(1, 40))
def test_fields_of_a_newer_distribute_are_ignored(value: str, manifest: Manifest, piece_bytes: int) -> None:
    text = manifest.model_dump_json().replace('{"v":1,', f'{{"receipt":{value},"v":1,', 1).encode()
    assert read(text, piece_bytes) == [*manifest.entries, *manifest.objects, *manifest.left_out]
    assert Manifest.model_validate_json(text) == manifest


@given(manifests, st.integers(1, 40), st.none() | st.integers(0, 3))
def test_a_manifest_read_in_pieces_equals_the_written_one(
    manifest: Manifest, piece_bytes: int, indent: int | None
) -> None:
    text = b"".join(written(manifest).pieces())
    assert text == manifest.model_dump_json().encode()
    assert written(manifest).manifest() == manifest
    parts = [*manifest.entries, *manifest.objects, *manifest.left_out]
    assert read(manifest.model_dump_json(indent=indent).encode(), piece_bytes) == parts


@given(manifests, st.data())
@settings(max_examples=300)
def test_a_text_that_is_read_in_pieces_is_also_read_at_once(manifest: Manifest, data: st.DataObject) -> None:
    text = bytearray(manifest.model_dump_json().encode())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at : at + data.draw(st.integers(0, 3))] = data.draw(
        st.sampled_from([b"", b",", b"]", b"}", b'"', b"{}", b"\xff"])
    )
    try:
        parts = read(bytes(text), 16)
    except ValueError:
        return
    whole = Manifest.model_validate_json(text)
    assert parts == [*whole.entries, *whole.objects, *whole.left_out]


@pytest.mark.parametrize("count", [255, 256, 257, 1000])
def test_manifests_of_many_entries_are_read(count: int) -> None:
    many = Manifest(entries=tuple(StoredFolder(path=f"{number}") for number in range(count)))
    text = written(many)
    assert len(text.entries) == count
    assert text.manifest() == many


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "{}x",
        '{"entries":[1]}',
        '{"entries":[{}]}',
        '{"entries":[],}',
        '{"left_out":["a",]}',
        '{"v":2}',
    ],
)
def test_a_text_that_is_not_a_manifest_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Manifest.model_validate_json(text)
    with pytest.raises(ValueError, match=r"."):
        read(text.encode(), 3)


def test_deeply_nested_values_are_refused() -> None:
    with pytest.raises(ValueError, match="too deep"):
        read(b'{"entries":[' + b'{"a":' * 100_000, 1 << 19)


def test_memory_is_bounded_for_any_input() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b'{"left_out":["'
        for taken in range(100):  # noqa: B007
            yield b"x" * (1 << 19)

    async def everything() -> list[Part]:
        return [part async for part in read_parts(endless())]

    with pytest.raises(ValueError, match="Unterminated string"):
        asyncio.run(everything())
    assert taken < 4
