"""What inputs are made of when they are sent: files, parts of files together, and texts from memory."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from distribute.core.errors import InputError
from distribute.core.os_words import why
from distribute.core.words import LONGEST_QUOTED_PATH, quoted

if TYPE_CHECKING:
    from distribute.inputs.tree import TreeFile

PIECE_BYTES = 1 << 20


class Source(Protocol):
    """The content of an object, which is read each time it is sent."""

    @property
    def label(self) -> str:
        """What it is, for messages."""

    @property
    def size_bytes(self) -> int:
        """Its size when it was listed."""

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        """Its bytes, in pieces of this size; the last one may be smaller.

        Raises:
            InputError: a part of it has changed since it was listed. The message names the file.
            OSError: it can't be read.
        """


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file. Whoever sends it checks its digest."""

    path: Path
    size_bytes: int

    @classmethod
    def of(cls, path: Path) -> FileSource:
        """The file at `path`. Raises `OSError`."""
        return cls(path, path.stat().st_size)

    @property
    def label(self) -> str:
        """As `Source.label`."""
        return quoted(str(self.path), LONGEST_QUOTED_PATH)

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        """As `Source.pieces`."""
        with self.path.open("rb") as file:  # buffered: else some file systems give less than a piece
            while piece := file.read(piece_bytes):
                yield piece


class SmallFile(NamedTuple):
    """What is needed of a small file to send it: of 100,000, what else is known of them takes 25 MB."""

    path: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PackSource:
    """Several small files, one behind the other, with their digests."""

    files: Sequence[SmallFile]
    digests: Sequence[bytes]
    size_bytes: int

    @property
    def label(self) -> str:
        """As `Source.label`."""
        more = len(self.files) - 1
        return f"{shown_path(self.files[0])}{f' and {more} more' if more else ''}"

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        """As `Source.pieces`."""
        return _in_pieces(self._contents(), piece_bytes)

    def _contents(self) -> Iterator[bytes]:
        for file, digest in zip(self.files, self.digests, strict=True):
            try:
                content = read_small(file)
            except OSError as error:
                raise InputError(
                    f"{shown_path(file)} can't be read any more: {why(error)}; "
                    "keep it in place until it is sent"
                ) from error
            if hashlib.sha256(content).digest() != digest:
                raise changed(file)
            yield content


@dataclass(frozen=True, slots=True)
class JoinedSource:
    """Several small files, one behind the other. Whoever sends it checks its digest."""

    paths: Sequence[Path]
    sizes: Sequence[int]

    @property
    def size_bytes(self) -> int:
        """As `Source.size_bytes`."""
        return sum(self.sizes)

    @property
    def label(self) -> str:
        """As `Source.label`."""
        more = len(self.paths) - 1
        return f"{quoted(str(self.paths[0]), LONGEST_QUOTED_PATH)}{f' and {more} more' if more else ''}"

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        """As `Source.pieces`."""
        return _in_pieces(map(_beginning, self.paths, self.sizes), piece_bytes)


@dataclass(frozen=True, slots=True)
class TextSource:
    """A text that is kept in memory, compressed."""

    label: str
    size_bytes: int
    compressed: bytes

    @classmethod
    def of(cls, label: str, parts: Iterable[bytes]) -> tuple[str, TextSource]:
        """The text that these parts make, and its SHA-256."""
        digest, packer, size, kept = hashlib.sha256(), zlib.compressobj(1), 0, []
        for part in parts:
            digest.update(part)
            size += len(part)
            kept.append(packer.compress(part))
        kept.append(packer.flush())
        return digest.hexdigest(), cls(label, size, b"".join(kept))

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        """As `Source.pieces`."""
        unpacker, left = zlib.decompressobj(), self.compressed
        while piece := unpacker.decompress(left, piece_bytes):
            left = unpacker.unconsumed_tail
            yield piece


def as_source(content: Path | Source) -> Source:
    """The source of a content; a path is that of a file. Raises `OSError`."""
    return FileSource.of(content) if isinstance(content, Path) else content


def write_source(source: Source, path: Path, sha256: str) -> None:
    """Write the content to a new file. No file is left if that fails.

    Raises:
        InputError: the content has changed since it was listed.
        OSError: it can't be read or written.
    """
    try:
        with path.open("xb") as file:
            _write_checked(source, file, sha256)
    except BaseException:
        with suppress(FileNotFoundError):
            path.unlink()
        raise


def read_source(source: Source, sha256: str) -> bytes:
    """The content of a small object.

    Raises:
        InputError: the content has changed since it was listed.
        OSError: it can't be read.
    """
    content = b"".join(source.pieces(PIECE_BYTES))
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _changed_since(source)
    return content


def as_files(sources: Mapping[str, Path | Source], folder: Path) -> dict[str, Path]:
    """The files that have these contents, by SHA-256. What is in no file is written into `folder`.

    Raises:
        InputError: a content has changed since it was listed.
        OSError: it can't be read or written.
    """
    files: dict[str, Path] = {}
    for sha256, content in sources.items():
        source = as_source(content)
        if isinstance(source, FileSource):
            files[sha256] = source.path
        else:
            files[sha256] = folder / sha256
            write_source(source, files[sha256], sha256)
    return files


def check_file(path: Path, sha256: str) -> None:
    """Check that a file has its content still. Raises `InputError`, `OSError`."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise _changed_since(FileSource.of(path))


def _changed_since(source: Source) -> InputError:
    return InputError(
        f"{source.label} has changed since it was listed; let nothing write to it, and try again"
    )


def _write_checked(source: Source, file: BufferedWriter, sha256: str) -> None:
    digest = hashlib.sha256()
    for piece in source.pieces(PIECE_BYTES):
        digest.update(piece)
        file.write(piece)
    if digest.hexdigest() != sha256:
        raise _changed_since(source)


def _beginning(path: Path, size_bytes: int) -> bytes:
    """The content of a file that has this size. Of a larger one, only a byte more."""
    with path.open("rb") as file:
        return file.read(size_bytes + 1)


def read_small(file: SmallFile | TreeFile) -> bytes:
    """The content of a small file, as long as it was when it was found.

    Raises:
        InputError: it has another size now.
        OSError: it can't be read.
    """
    descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, file.size_bytes + 1)
        while len(content) < file.size_bytes and (more := os.read(descriptor, file.size_bytes)):
            content += more  # some file systems give less at a time
    finally:
        os.close(descriptor)
    if len(content) != file.size_bytes:
        raise changed(file)
    return content


def changed(file: SmallFile | TreeFile) -> InputError:
    """The error for a file that is another one than was listed."""
    return InputError(
        f"{shown_path(file)} was changed while it was sent; let nothing write to it, and submit again"
    )


def shown_path(file: SmallFile | TreeFile) -> str:
    """The path of a file, for messages."""
    return quoted(os.fsdecode(file.path), LONGEST_QUOTED_PATH)


def _in_pieces(contents: Iterator[bytes], piece_bytes: int) -> Iterator[bytes]:
    waiting = bytearray()
    for content in contents:
        waiting += content
        while len(waiting) >= piece_bytes:
            yield bytes(waiting[:piece_bytes])
            del waiting[:piece_bytes]
    if waiting:
        yield bytes(waiting)
