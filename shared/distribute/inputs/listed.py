"""Makes the listing of a tree, and says what has to be sent so that a node can lay it out."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from distribute.core.errors import InputError
from distribute.core.files.folder_listing import (
    SMALL_BYTES,
    Entry,
    ListedObject,
    ListingHead,
    line_of,
)
from distribute.core.files.manifest import StoredFile, StoredLink, entry_bytes, link_target
from distribute.core.files.path_text import shown
from distribute.core.os_words import why
from distribute.core.spec.git_commit import GitCommit
from distribute.core.spec.specs import InputFolder
from distribute.core.words import first_of
from distribute.inputs.digests import Digests, Looks
from distribute.inputs.packs import packs
from distribute.inputs.sources import (
    FileSource,
    PackSource,
    SmallFile,
    Source,
    TextSource,
    read_small,
    shown_path,
)
from distribute.inputs.tree import Tree, TreeFile

OnBytes = Callable[[int], None]
"""Is told how many more bytes were read. Several threads may call it, one at a time."""

_PIECE_BYTES = 1 << 20
_EMPTY = hashlib.sha256().digest()


@dataclass(frozen=True, slots=True)
class Listed:
    """A tree that can be sent: `sources` are its objects by digest, the listing among them."""

    sha256: str
    content: str
    listing_bytes: int
    entries: int
    size_bytes: int
    sources: Mapping[str, Source]
    is_glob: bool

    def folder(
        self, alias: str | None, pattern: str | None = None, git: GitCommit | None = None
    ) -> InputFolder:
        """The tree as a specification has it."""
        return InputFolder(
            alias=alias,
            pattern=pattern,
            sha256=self.sha256,
            listing_bytes=self.listing_bytes,
            content=self.content,
            entries=self.entries,
            size_bytes=self.size_bytes,
            git=git,
        )


class Hasher:
    """Reads files, in several threads, and takes their digests. What is remembered isn't read."""

    def __init__(self, digests: Digests | None = None, on_bytes: OnBytes = lambda more: None) -> None:
        self._digests = digests or Digests()
        self._lock = threading.Lock()
        self._on_bytes = on_bytes
        self._is_given_up = False

    def quiet(self) -> Hasher:
        """One for files whose bytes have been told."""
        return Hasher(self._digests)

    def of_file(self, path: Path) -> tuple[str, os.stat_result]:
        """The SHA-256 of a file, and how it looks.

        Raises:
            InputError: it changed meanwhile.
            OSError: it can't be read.
        """
        began_ns = time.time_ns()
        with path.open("rb", 0) as reading:
            status, name = os.fstat(reading.fileno()), os.fsencode(path)
            looks = Looks.of(status)
            known = self._digests.of_file(name, looks)
            if known is not None:
                self._tell(status.st_size)
                return known.hex(), status
            digest = self._read_all(reading)
            after = os.fstat(reading.fileno())
        if looks != Looks.of(after):
            raise InputError(_changed(TreeFile.of(b"", name, after)))
        self._digests.remember_file(name, looks, digest, began_ns)
        return digest.hex(), status

    def _read_all(self, reading: FileIO) -> bytes:
        digest = hashlib.sha256()
        while piece := reading.read(_PIECE_BYTES):
            digest.update(piece)
            self._tell(len(piece))
            if self._is_given_up:
                raise InputError("nobody wants its digest any more")
        return digest.digest()

    def listed(self, tree: Tree, label: str) -> Listed:
        """Read all files of a tree, and list it.

        Raises:
            InputError: files can't be read, or change meanwhile. It names them, one line each.
        """
        files = [one for one in tree.found if isinstance(one, TreeFile)]
        small = [file for file in files if 0 < file.size_bytes < SMALL_BYTES]
        parts = packs([file.name for file in small], [file.size_bytes for file in small])
        work: list[Sequence[TreeFile]] = [[small[index] for index in part] for part in parts]
        work += [[file] for file in files if file.size_bytes >= SMALL_BYTES]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            try:
                read = list(pool.map(self._read, work))
            except BaseException:  # such as Ctrl-C: the pool waits for its threads
                self._is_given_up = True
                raise
        problems = [problem for one in read for problem in one.problems]
        if problems:
            raise InputError(*first_of(problems))
        return _listed(tree, label, read)

    def packed(self, files: Sequence[TreeFile]) -> list[Read]:
        """Read small files that share objects, in this order, and divide them into these objects.

        Raises:
            InputError: files can't be read, or change meanwhile. It names them, one line each.
        """
        parts = packs([file.name for file in files], [file.size_bytes for file in files])
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            read = list(pool.map(self.quiet()._read_pack, [files[part.start : part.stop] for part in parts]))
        if problems := [problem for one in read for problem in one.problems]:
            raise InputError(*first_of(problems))
        return read

    def _read(self, files: Sequence[TreeFile]) -> Read:
        large = len(files) == 1 and files[0].size_bytes >= SMALL_BYTES
        return self._read_large(files[0]) if large else self._read_pack(files)

    def _read_pack(self, files: Sequence[TreeFile]) -> Read:
        size_bytes = sum(file.size_bytes for file in files)
        known = [self._digests.of_file(file.path, file.looks) for file in files]
        parts = [digest for digest in known if digest is not None]
        if len(parts) == len(files) and (sha256 := self._digests.of_pack(parts)) is not None:
            self._tell(size_bytes)
            return Read(files, parts, sha256.hex(), size_bytes, ())
        began_ns = time.time_ns()
        digests: list[bytes] = []
        problems: list[str] = []
        whole = hashlib.sha256()
        for file in files:
            try:
                content = read_small(file)
            except (InputError, OSError) as error:
                problems.append(_problem(file, error))
                continue
            digests.append(hashlib.sha256(content).digest())
            self._digests.remember_file(file.path, file.looks, digests[-1], began_ns)
            whole.update(content)
            self._tell(len(content))
        if not problems:
            self._digests.remember_pack(digests, whole.digest())
        return Read(files, digests, whole.hexdigest(), size_bytes, problems)

    def _read_large(self, file: TreeFile) -> Read:
        try:
            sha256, status = self.of_file(Path(os.fsdecode(file.path)))
        except (InputError, OSError) as error:
            return Read([file], [b""], "", file.size_bytes, [_problem(file, error)])
        problems = () if file.is_still(status) else (_changed(file),)
        return Read([file], [bytes.fromhex(sha256)], sha256, file.size_bytes, problems)

    def _tell(self, more_bytes: int) -> None:
        with self._lock:
            self._on_bytes(more_bytes)


@dataclass(frozen=True, slots=True)
class Read:
    """Files whose contents are one object, and their digests."""

    files: Sequence[TreeFile]
    digests: Sequence[bytes]
    sha256: str
    size_bytes: int
    problems: Sequence[str]

    def source(self) -> Source:
        file = self.files[0]
        if len(self.files) == 1 and file.size_bytes >= SMALL_BYTES:
            return FileSource(Path(os.fsdecode(file.path)), file.size_bytes)
        files = [SmallFile(each.path, each.size_bytes) for each in self.files]
        return PackSource(files, self.digests, self.size_bytes)


def _problem(file: TreeFile, error: InputError | OSError) -> str:
    if isinstance(error, InputError):
        return _changed(file)
    return f"{shown_path(file)} can't be read: {why(error)}; make it readable, or exclude it"


def _changed(file: TreeFile) -> str:
    return f"{shown_path(file)} was changed while it was read; let nothing write to it, and try again"


def _listed(tree: Tree, label: str, read: Sequence[Read]) -> Listed:
    objects: dict[str, tuple[int, Source]] = {}
    places: dict[bytes, tuple[str, int, bytes]] = {}
    for one in read:
        objects.setdefault(one.sha256, (len(objects), one.source()))
        offset = 0
        for file, digest in zip(one.files, one.digests, strict=True):
            places[file.name] = one.sha256, offset, digest
            offset += file.size_bytes
    content = hashlib.sha256()

    def lines() -> Iterator[bytes]:
        yield line_of(ListingHead(mode=tree.mode))
        for sha256, (_, source) in objects.items():
            yield line_of(ListedObject(sha256=sha256, size_bytes=source.size_bytes))
        for one in tree.found:
            entry = one if not isinstance(one, TreeFile) else _entry(one, places, objects)
            content.update(_identity(entry))
            yield line_of(entry)

    sha256, text = TextSource.of(f"the list of what is in {label}", lines())
    sources = {digest: source for digest, (_, source) in objects.items()}
    return Listed(
        sha256,
        content.hexdigest(),
        text.size_bytes,
        len(tree.found),
        tree.size_bytes,
        sources | {sha256: text},
        tree.mode is None,
    )


def _entry(
    file: TreeFile,
    places: Mapping[bytes, tuple[str, int, bytes]],
    objects: Mapping[str, tuple[int, Source]],
) -> StoredFile:
    sha256, offset, digest = places.get(file.name, ("", 0, _EMPTY))
    path, raw = shown(file.name)
    return StoredFile(
        path=path,
        raw_path=raw,
        size_bytes=file.size_bytes,
        sha256=digest.hex(),
        executable=bool(file.mode & 0o100),
        mode=file.mode,
        mtime_ns=file.mtime_ns,
        object=objects[sha256][0] if sha256 else None,
        offset=offset,
    )


def _identity(entry: Entry) -> bytes:
    """What makes an entry differ for a build: anything but its time, and where its content lies."""
    what: list[bytes] = [entry.kind.encode(), entry_bytes(entry)]
    match entry:
        case StoredFile():
            what += [entry.sha256.encode(), b"%o" % (entry.mode or 0)]
        case StoredLink():
            what.append(os.fsencode(link_target(entry)))
        case _:
            what.append(b"%o" % (entry.mode or 0))
    return b"\0".join(what) + b"\0\n"
