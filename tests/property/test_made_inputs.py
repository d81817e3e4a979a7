"""Contents that a program made are found where their entries say, and most packs stay when one changes."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from distribute.inputs.made import MadeContent, MadeContents
from distribute.inputs.sources import PIECE_BYTES, read_source

MAX_BYTES = 200
CONTENTS = st.lists(st.binary(max_size=60) | st.binary(min_size=MAX_BYTES, max_size=300), max_size=60)


def packed(contents: list[bytes]) -> tuple[MadeContents, list[MadeContent]]:
    made = MadeContents(MAX_BYTES, 8)
    digests = [made.add(content) for content in contents]
    made.close_pack()
    found = [made.of(sha256) for sha256 in digests]
    assert None not in found
    return made, [each for each in found if each is not None]


@given(CONTENTS)
def test_each_content_lies_where_its_entry_says(contents: list[bytes]) -> None:
    made, found = packed(contents)
    for content, entry in zip(contents, found, strict=True):
        file = entry.file("a", 0o755)
        whole = read_source(made.sources[file.stored.sha256], file.stored.sha256)
        assert len(whole) == file.stored.size_bytes
        start = file.offset or 0
        assert whole[start : start + file.size_bytes] == content
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert (file.mode, file.executable) == (0o755, True)


@given(CONTENTS)
def test_packs_keep_their_bounds_and_have_equal_contents_once(contents: list[bytes]) -> None:
    made, found = packed(contents)
    assert made.size_bytes == sum(map(len, set(contents)))
    assert sum(source.size_bytes for source in made.sources.values()) == made.size_bytes
    packs = [entry.pack for entry in set(found) if entry.pack is not None]
    assert all(pack.size_bytes <= MAX_BYTES and packs.count(pack) in range(2, 9) for pack in packs)


def test_a_new_content_in_front_changes_only_the_first_packs() -> None:
    contents = [b"re = %d\n" % number for number in range(3000)]
    made, _ = packed(contents)
    later, _ = packed([b"new", *contents])
    assert len(made.sources) > 100
    assert len(later.sources.keys() - made.sources.keys()) < len(made.sources) // 4


@given(st.binary(min_size=1, max_size=100), st.integers(1, 40))
def test_a_source_gives_its_bytes_in_pieces(content: bytes, piece_bytes: int) -> None:
    made, _ = packed([content])
    (source,) = made.sources.values()
    pieces = list(source.pieces(piece_bytes))
    assert b"".join(pieces) == content == b"".join(source.pieces(PIECE_BYTES))
    assert all(len(piece) == piece_bytes for piece in pieces[:-1])
