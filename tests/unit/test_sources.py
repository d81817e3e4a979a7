"""Contents come whole, and in pieces of one size, as the store takes them, however they are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from distribute.inputs.sources import FileSource, JoinedSource, read_small
from distribute.inputs.tree import TreeFile

CONTENT = b"abcdefghijkl"


@pytest.fixture
def given_in_parts() -> Iterator[Path]:
    """A file whose system gives less at a time than is asked for, as FUSE may.

    It is a pipe that gives each packet by itself.
    """
    reading, writing = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
    try:
        for start in range(0, len(CONTENT), 5):
            os.write(writing, CONTENT[start : start + 5])
    finally:
        os.close(writing)
    try:
        yield Path(f"/proc/self/fd/{reading}")
    finally:
        os.close(reading)


def test_a_file_comes_in_whole_pieces(given_in_parts: Path) -> None:
    assert list(FileSource(given_in_parts, 12).pieces(8)) == [b"abcdefgh", b"ijkl"]


def test_a_small_file_comes_whole(given_in_parts: Path) -> None:
    path = os.fsencode(given_in_parts)
    assert read_small(TreeFile(b"f", path, 12, 0o644, 0, 0, 0, 0)) == CONTENT


def test_a_small_file_comes_whole_among_others(given_in_parts: Path) -> None:
    assert b"".join(JoinedSource([given_in_parts], [12]).pieces(8)) == CONTENT
