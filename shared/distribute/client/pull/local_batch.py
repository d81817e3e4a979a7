"""The folder of a batch on this computer, held by one program at a time.

It tells what a pull wrote there from what is a person's. So the latter is never overwritten, and results of
two batches, or of two attempts, are never mixed in silence.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from distribute.client.pull.new_file import SMALL_PART
from distribute.client.pull.note import (
    JOBS_FOLDER,
    NOTE_NAME,
    Attempt,
    Contents,
    Note,
    Origin,
    contents_lines,
    lines_of,
    origin_line,
)
from distribute.client.pull.target_folder import Found, Kind, Parts, TargetFolder
from distribute.client.words import argument, local_time, printable
from distribute.core.errors import InputError, Refused
from distribute.core.files.manifest import MAX_PART_BYTES
from distribute.core.os_words import message_of
from distribute.core.ways import Way

PARTS_NAME = b".distribute-parts"
"""The folder for incomplete files. It is there only while a pull runs, or after one was killed."""

OWN_NAMES = frozenset({NOTE_NAME, PARTS_NAME})
"""What a pull needs for itself in a batch's folder."""

_NOTE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""What a file system without locks answers. There, a person must not run two pulls at once."""


@contextmanager
def held(folder: Path, base: Parts, *, make: bool = True) -> Iterator[LocalBatch]:
    """Hold a batch's folder, at `base` below `folder`, while the context lasts. Make it if it is not there.

    Raises:
        Refused: another program holds it, or its note is of a newer version.
        InputError: it can't be made or opened; without `make`, it is no folder that a pull wrote to.
        StorageFull: its disk is full.
    """
    target = TargetFolder(folder, (*base, PARTS_NAME))
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(target.opened(base, make=make))
            note = _open_locked(target, base, descriptor, make=make)
        except (FileNotFoundError, NotADirectoryError):
            place = printable(str(target.path.joinpath(*map(os.fsdecode, base))))
            unknown = InputError(f"{place}: nothing was pulled here; name another folder")
            raise unknown.with_ways(Way.ANOTHER_FOLDER) from None
        stack.callback(os.close, note)
        yield LocalBatch(target, base, descriptor, note)


class LocalBatch:
    """A batch's folder that this program holds. Paths are below `target`, and begin with `base`."""

    def __init__(self, target: TargetFolder, base: Parts, folder: int, note: int) -> None:
        self.target = target
        self.base = base
        self.note = Note()
        self._folder = folder
        self._note = note
        self._read_note()

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return printable(str(self.path))

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.target.path.joinpath(*map(os.fsdecode, self.base))

    def below(self, parts: Parts) -> Parts:
        """The path below the batch's folder."""
        return parts[len(self.base) :]

    def take(self, origin: Origin, *, replace: bool) -> None:
        """Make it the folder of this batch.

        Raises:
            Refused: it is the folder of another one, and that is not to be replaced.
        """
        of = self.note.origin
        if of is not None and of.is_same(origin):
            return
        if of is not None and not replace:
            other = next(path for number in range(2, 1 << 20) if not (path := self._beside(number)).exists())
            raise Refused(
                f"{self._whose(of, origin)}: pull into another folder, such as {argument(str(other))}, or "
                "have what is here removed first, but for what you changed"
            ).with_ways(Way.ANOTHER_FOLDER_OF_BATCH, Way.REPLACE_LOCAL)
        line = origin_line(origin)
        self._append([line])
        self.note.fold(line)

    def check(self, origin: Origin) -> None:
        """Check that it is the folder of this batch. Raises `Refused` if it is another's."""
        of = self.note.origin
        if of is not None and not of.is_same(origin):
            raise Refused(f"{self._whose(of, origin)}: the cluster may not have these any more, so they stay")

    def is_ours(self, parts: Parts, found: Found) -> bool:
        """Is what was found as a pull wrote it?"""
        is_link = found.kind is Kind.LINK
        return (is_link or found.kind is Kind.FILE) and self.note.knows(
            self.below(parts), found.content, link=is_link
        )

    def record(self, contents: Iterable[tuple[Attempt, Contents]]) -> None:
        """Note what is about to be written, unless the note has it. It is on disk when this returns."""
        lines: list[bytes] = []
        for attempt, all_of_it in contents:
            missing = self.note.missing(attempt, all_of_it)
            if missing.files or missing.links or missing.folders:
                lines.extend(contents_lines(attempt, missing))
                self.note.add(attempt, missing)
        if lines:
            self._append(lines)

    def noted_paths(self) -> Iterator[Parts]:
        """The paths of all files and links that were ever pulled here."""
        return self._paths(self.note.of_all())

    def noted_folders(self) -> set[Parts]:
        """The folders that were made here for what was pulled."""
        folders = {
            parts[:depth] for parts in self.noted_paths() for depth in range(len(self.base) + 1, len(parts))
        }
        for job, contents in self.note.of_all():
            for path in contents.folders:
                parts = (*self.base, job, *([] if path == JOBS_FOLDER else path.split(b"/")))
                folders.update(parts[:depth] for depth in range(len(self.base) + 1, len(parts) + 1))
        return folders

    def every_file(self) -> Iterator[Parts]:
        """The paths of everything that is here and no folder, but for what pull has here for itself."""
        for top, folders, files, descriptor in os.fwalk(b".", dir_fd=self._folder):
            above = tuple(top.split(b"/"))[1:]
            if not above:
                folders[:] = [name for name in folders if name != PARTS_NAME]
            links = [name for name in folders if stat.S_ISLNK(os.lstat(name, dir_fd=descriptor).st_mode)]
            for name in (*files, *links):
                if above or name != NOTE_NAME:
                    yield (*self.base, *above, name)

    async def leftovers(
        self,
        pulled: Iterable[tuple[bytes, Contents]],
        attempts: Mapping[bytes, int],
        current: Callable[[], Iterable[Parts]],
    ) -> list[Leftover]:
        """What is still here, as it was pulled, of what was pulled before these attempts.

        The paths `current` are of these attempts. They need not be all: a person who follows a batch is shown
        what came since the last time. So what is noted of these attempts is no leftover either.
        """
        paths = set(self._paths(pulled))
        if not paths:
            return []
        left: list[Leftover] = []
        for parts in sorted(paths.difference(current())):
            found = await asyncio.to_thread(self.target.look, parts)
            if found is None or not self.is_ours(parts, found):
                continue
            if not self._is_current(parts, found, attempts):
                left.append((parts, found))
        return left

    def _is_current(self, parts: Parts, found: Found, attempts: Mapping[bytes, int]) -> bool:
        is_link = found.kind is Kind.LINK
        return self.note.is_current(self.below(parts), found.content, attempts, link=is_link)

    async def remove(self, leftovers: Iterable[Leftover]) -> list[str]:
        """Remove files and links, and the folders that are empty then. Returns what can't be removed."""
        folders: set[Parts] = set()
        problems: list[str] = []
        for parts, found in leftovers:
            try:
                await asyncio.to_thread(self.target.remove, parts, found)
            except (InputError, OSError) as error:
                problems.append(message_of(error))
            folders.update(parts[:depth] for depth in range(len(self.base) + 1, len(parts)))
        self.remove_empty(folders)
        return problems

    def remove_empty(self, folders: Iterable[Parts]) -> None:
        """Remove those of these folders that are empty, the deepest first."""
        for parts in sorted(folders, key=len, reverse=True):
            self.target.remove_empty(parts)

    def clean_parts(self, *, all_of_them: bool) -> None:
        """Remove what killed pulls left of incomplete files. Large ones can be resumed, so they may stay."""
        parts_in = (*self.base, PARTS_NAME)
        try:
            with self.target.opened(parts_in, make=False) as folder:
                with os.scandir(folder) as entries:
                    names = [entry.name for entry in entries]
                for name in names:
                    if all_of_them or name.startswith(SMALL_PART):
                        os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise InputError(f"{self.target.at(parts_in)}: pull needs this name here; move it away") from None
        self.target.remove_empty(parts_in)

    def forget(self, *, keeps_folder: bool = False) -> None:
        """Remove the note, and the folder if it is empty then."""
        os.unlink(NOTE_NAME, dir_fd=self._folder)
        if self.base and not keeps_folder:
            self.target.remove_empty(self.base)

    def _read_note(self) -> None:
        pieces: list[bytes] = []
        os.lseek(self._note, 0, os.SEEK_SET)
        while piece := os.read(self._note, 1 << 20):
            pieces.append(piece)
        text = b"".join(pieces)
        size = 0
        for line in lines_of(text):
            self.note.fold(line)
            size += len(line) + 1
        if size < len(text):  # a torn line
            os.ftruncate(self._note, size)
        os.lseek(self._note, 0, os.SEEK_END)

    def _paths(self, pulled: Iterable[tuple[bytes, Contents]]) -> Iterator[Parts]:
        for job, contents in pulled:
            above = (*self.base, job) if job else self.base
            for path in (*contents.files, *contents.links):
                yield (*above, *path.split(b"/"))

    def _append(self, lines: list[bytes]) -> None:
        with self.target.translated((*self.base, NOTE_NAME)):
            rest = memoryview(b"".join(lines))
            while rest:
                rest = rest[os.write(self._note, rest) :]
            os.fdatasync(self._note)

    def _whose(self, there: Origin, wanted: Origin) -> str:
        """Whose results are here, for a person who thought of others."""
        name = printable(str(there))
        if name == printable(str(wanted)):
            name += f" that was submitted at {local_time(there.submitted_at)}"
            name += f", and this one was at {local_time(wanted.submitted_at)}"
        return f"{self.place} holds the results of {name}"

    def _beside(self, number: int) -> Path:
        path = self.path.absolute() if self.path.name in {"", ".."} else self.path
        name, behind = path.name, f"-{number}"
        while len(os.fsencode(name + behind)) > MAX_PART_BYTES:
            name = name[:-1]
        return path.with_name(name + behind)


Leftover = tuple[Parts, Found]


def _open_locked(target: TargetFolder, base: Parts, folder: int, *, make: bool) -> int:
    """Open the note of a batch's folder, and lock it for this program alone."""
    while True:
        with target.translated((*base, NOTE_NAME)):
            note = os.open(NOTE_NAME, _NOTE | (os.O_CREAT if make else 0), 0o666, dir_fd=folder)
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(note)
            taken = Refused(
                f"{target.at(base)}: another program pulls to it; wait for its end, or pull into another "
                "folder"
            )
            raise taken.with_ways(Way.ANOTHER_FOLDER_OF_BATCH) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(note)
                raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(note), os.lstat(NOTE_NAME, dir_fd=folder)):
                return note
        os.close(note)  # another program removed the folder's note before this one locked it
