"""Contents that no file has: a program made them. Small ones share objects of the store.

They are packed in the order in which they are made, equal ones once, and lie in a temporary file until they
are sent. A pack ends where a content's digest says so. So if a content changes, comes or goes, the packs
behind it stay as they are, and are in the store already.
"""

from __future__ import annotations

import hashlib
import os
import stat
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from distribute.core.errors import InputError
from distribute.core.files.folder_listing import SMALL_BYTES
from distribute.core.lean import without_fields_set
from distribute.core.os_words import why
from distribute.core.spec.specs import InputFile, InputObject
from distribute.core.words import counted
from distribute.inputs.packs import PACK_BYTES, PACK_FILES
from distribute.inputs.sources import Source
from distribute.scratch import temporary_place


class MadeContent(NamedTuple):
    """A content, and where it lies: in `pack`, from `offset` on. None: it is an object of its own."""

    sha256: str
    size_bytes: int
    pack: InputObject | None
    offset: int | None

    def file(self, alias: str, mode: int = 0o644, mtime_ns: int | None = None) -> InputFile:
        """The input file that has this content."""
        return without_fields_set(
            InputFile(
                alias=alias,
                sha256=self.sha256,
                size_bytes=self.size_bytes,
                executable=bool(mode & stat.S_IXUSR),
                mode=mode,
                mtime_ns=mtime_ns,
                pack=self.pack,
                offset=self.offset,
            )
        )


class _Spool:
    """A temporary file without a name. It is there as long as something refers to it."""

    def __init__(self, place: Path) -> None:
        self._file = TemporaryFile(buffering=0, dir=place)  # noqa: SIM115 - it is closed when this goes
        self._end = 0
        weakref.finalize(self, self._file.close)

    def append(self, data: bytes | bytearray) -> int:
        """Returns where it begins."""
        start, left = self._end, memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self._end += len(data)
        return start

    def read(self, start: int, count: int) -> bytes:
        return os.pread(self._file.fileno(), count, start)


@dataclass(frozen=True, slots=True)
class SpooledSource:
    """A part of the temporary file, which is an object of the store."""

    label: str
    size_bytes: int
    spool: _Spool
    start: int

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        """As `Source.pieces`."""
        at, end = self.start, self.start + self.size_bytes
        while at < end and (piece := self.spool.read(at, min(piece_bytes, end - at))):
            at += len(piece)
            yield piece


class MadeContents:
    """Packs contents as they are made.

    Raises:
        InputError: the temporary file can't be written.
    """

    def __init__(self, max_bytes: int = PACK_BYTES, max_files: int = PACK_FILES) -> None:
        """`max_bytes` and `max_files` are those of a pack."""
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._spool: _Spool | None = None
        self._open = bytearray()
        self._in_open: dict[str, tuple[int, int]] = {}
        self._places: dict[str, MadeContent] = {}
        self.sources: dict[str, Source] = {}
        """The objects that are complete, by sha256."""
        self.size_bytes = 0
        """The size of all contents, equal ones once."""

    def add(self, content: bytes) -> str:
        """Take a content. Returns its digest, for `of`."""
        digest = hashlib.sha256(content)
        sha256 = digest.hexdigest()
        if sha256 in self._places or sha256 in self._in_open:
            return sha256
        self.size_bytes += len(content)
        if len(content) >= min(SMALL_BYTES, self._max_bytes):
            self._store(sha256, content, 1)
            self._places[sha256] = MadeContent(sha256, len(content), None, None)
            return sha256
        if len(self._open) + len(content) > self._max_bytes:
            self.close_pack()
        self._in_open[sha256] = len(self._open), len(content)
        self._open += content
        if len(self._in_open) == self._max_files or self._ends_behind(digest.digest(), len(content)):
            self.close_pack()
        return sha256

    def continued(self) -> MadeContents:
        """Contents that begin with these. What is added to them, or completed, isn't here."""
        more = MadeContents(self._max_bytes, self._max_files)
        more._spool, more._open, more._in_open = self._spool, self._open[:], dict(self._in_open)
        more._places, more.sources = dict(self._places), dict(self.sources)
        more.size_bytes = self.size_bytes
        return more

    def of(self, sha256: str) -> MadeContent | None:
        """The content of this digest. None: none was added, or its pack is not complete."""
        return self._places.get(sha256)

    def close_pack(self) -> None:
        """Complete the pack that contents are put into."""
        if not self._in_open:
            return
        pack = None
        if len(self._in_open) == 1:  # then it has the digest of its content
            (sha256,) = self._in_open
        else:
            sha256 = hashlib.sha256(self._open).hexdigest()
            pack = InputObject(sha256=sha256, size_bytes=len(self._open))
        self._store(sha256, self._open, len(self._in_open))
        for content, (offset, size) in self._in_open.items():
            self._places[content] = MadeContent(content, size, pack, None if pack is None else offset)
        self._in_open.clear()
        self._open.clear()

    def _ends_behind(self, digest: bytes, size_bytes: int) -> bool:
        """Does the pack end behind this content? If it is a quarter full, it gets about as much again."""
        quarter = self._max_bytes // 4
        return len(self._open) >= quarter and int.from_bytes(digest[:4]) * quarter < size_bytes << 32

    def _store(self, sha256: str, data: bytes | bytearray, files: int) -> None:
        place = temporary_place()
        try:
            self._spool = self._spool or _Spool(place)
            start = self._spool.append(data)
        except OSError as error:
            raise InputError(
                f"the input files that were made can't be kept in {place}: {why(error)}; make room "
                "there, or name another folder by TMPDIR"
            ) from error
        self.sources[sha256] = SpooledSource(counted(files, "generated file"), len(data), self._spool, start)
