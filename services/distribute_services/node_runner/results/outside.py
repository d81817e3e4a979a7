"""Find files that a job left beside its folder of results. They are removed with its workspace.

A job that forgot `./distribute_save` loses what it computed, so its owner is told of the largest. A look at
the workspace must be cheap: it ends after a number of entries.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from distribute.core.files.manifest import MAX_LARGEST, MAX_SHOWN_PATH, Outside, OutsideFile
from distribute.core.files.path_text import shown
from distribute.core.spec.container import HOME_IN_SCRATCH, SCRATCH
from distribute.core.spec.recipe import INITIAL, INPUT, SAVE, Bind

MAX_ENTRIES = 20_000
"""A look at so many takes 0.1 s."""

_PASSED_OVER = frozenset({b"__pycache__"})
"""Folders that programs fill by themselves."""
_INPUTS = tuple(f"{folder}/".encode() for folder in (INPUT, INITIAL))
_SCRATCH, _HOME = SCRATCH.encode(), HOME_IN_SCRATCH.encode()


def look_outside(
    folder: Path,
    *,
    given: Collection[str],
    built: Path | None = None,
    binds: Sequence[Bind] = (),
    in_container: bool = False,
    given_by_ns: int | None = None,
    max_entries: int = MAX_ENTRIES,
) -> Outside | None:
    """What a job left in its working folder, but for its results. None: nothing.

    Only files with content count. Those that the job was given do not: it found them at the paths `given`,
    or they are as they are in `built`, of which its folder was a copy. In the folders of inputs, what has not
    changed since `given_by_ns` was given, too. A file in a folder of `binds` is shown by its path in the
    container. Of what is the container's own, its home counts, but for settings. If the folder has more
    entries than we look at, the result is a part.
    """
    if built is not None and not built.is_dir():
        return None  # the build is gone, so we can't tell what the job made
    if in_container:
        binds = (*binds, Bind(HOME_IN_SCRATCH, "$HOME"))
    search = _Search(folder, given, built, max_entries, in_container=in_container, given_by_ns=given_by_ns)
    files = size_bytes = 0
    largest: list[tuple[int, bytes]] = []
    for path, size in search.found():
        files += 1
        size_bytes += size
        heapq.heappush(largest, (size, path))
        if len(largest) > MAX_LARGEST:
            heapq.heappop(largest)
    if not files:
        return None
    return Outside(
        files=files,
        size_bytes=size_bytes,
        largest=tuple(
            OutsideFile(path=_as_seen(path, binds), size_bytes=size)
            for size, path in sorted(largest, reverse=True)
        ),
        is_part=search.is_part,
    )


def is_plain(folder: Path, given: Collection[str]) -> bool:
    """Does the folder have nothing but the two folders that each job has? The usual case, within 20 µs."""
    try:
        if not {INPUT, SAVE}.issuperset(os.listdir(folder)):  # noqa: PTH208 (a Path for each name is slow)
            return False
        inputs = os.listdir(folder / INPUT)  # noqa: PTH208
    except OSError:
        return False
    return all(f"{INPUT}/{name}" in given for name in inputs)


class _Search:
    """A search that begins with the files at the top."""

    def __init__(
        self,
        folder: Path,
        given: Collection[str],
        built: Path | None,
        max_entries: int,
        *,
        in_container: bool,
        given_by_ns: int | None,
    ) -> None:
        self.is_part = False
        self._in_container = in_container
        self._given_by_ns = given_by_ns
        self._folder = os.fsencode(os.path.realpath(folder))
        self._given = {os.fsencode(path) for path in given}
        self._built = os.fsencode(built) if built is not None else None
        self._left = max_entries
        self._save = os.fsencode(os.path.realpath(folder / SAVE))

    def found(self) -> Iterator[tuple[bytes, int]]:
        """Yield the path and size of each file that the job made."""
        todo = deque([b""])
        while todo:
            below = todo.popleft()
            try:
                scanning = os.scandir(os.path.join(self._folder, below))  # noqa: PTH118 (bytes)
            except OSError:
                continue  # the job closed it, or its path is too long: this is only a hint
            with scanning:
                for entry in scanning:
                    if not self._left:
                        self.is_part = True
                        return
                    self._left -= 1
                    path = below + b"/" + entry.name if below else entry.name
                    if self._in_container and _is_containers(below, path, entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in _PASSED_OVER and entry.path != self._save:
                            todo.append(path)
                    elif size := self._made(path, entry):
                        yield path, size

    def _made(self, path: bytes, entry: os.DirEntry[bytes]) -> int:
        """The size of a file that the job made; 0 if it did not."""
        if path in self._given or not entry.is_file(follow_symlinks=False):
            return 0
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return 0
        return 0 if self._was_built(path, status) or self._was_laid_out(path, status) else status.st_size

    def _was_laid_out(self, path: bytes, status: os.stat_result) -> bool:
        by_ns = self._given_by_ns
        return by_ns is not None and path.startswith(_INPUTS) and status.st_ctime_ns <= by_ns

    def _was_built(self, path: bytes, status: os.stat_result) -> bool:
        if self._built is None:
            return False
        try:
            before = os.lstat(os.path.join(self._built, path))  # noqa: PTH118 (bytes)
        except OSError:
            return False
        is_same = (before.st_size, before.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
        return is_same and stat.S_ISREG(before.st_mode)


def _is_containers(below: bytes, path: bytes, name: bytes) -> bool:
    """Is it a temporary file of a container, or a program's settings in its home?"""
    return (below == _SCRATCH and path != _HOME) or (below == _HOME and name.startswith(b"."))


def _as_seen(path: bytes, binds: Sequence[Bind]) -> str:
    text = shown(path)[0]
    for bind in binds:
        if text.startswith(f"{bind.folder}/"):
            text = bind.target + text.removeprefix(bind.folder)
    return text if len(text) <= MAX_SHOWN_PATH else f"…{text[1 - MAX_SHOWN_PATH :]}"
