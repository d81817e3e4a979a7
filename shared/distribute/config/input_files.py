"""The files on this computer that a batch comes with."""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from distribute.core.errors import InputError


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when it was read. `path` is absolute."""

    path: Path
    sha256: str
    size_bytes: int
    executable: bool


class InputFiles:
    """Files by the paths a configuration names, which are relative to `folder`. Each is looked at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._problems: dict[str, str | None] = {}

    def absolute(self, path: str) -> Path:
        home_expanded = os.path.expanduser(path)  # noqa: PTH111 - Path's one raises where there is no such home
        return Path(os.path.normpath(self._folder / home_expanded))

    def problem_with(self, path: str) -> str | None:
        """Why the file at `path` can't be used, and what to write instead. None: it can."""
        if path not in self._problems:
            self._problems[path] = self._look(path)
        return self._problems[path]

    def _look(self, path: str) -> str | None:
        absolute = self.absolute(path)
        try:
            mode = absolute.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return (
                f"there is no file {path!r} (looked for {str(absolute)!r}); "
                "write a path relative to the folder of this file, or an absolute one"
            )
        except OSError as error:
            return f"the file {path!r} can't be looked at: {error.strerror}; write the path of another"
        except ValueError as error:
            return f"the file {path!r} can't be there: {error}; write another path"
        if stat.S_ISDIR(mode):
            return f"{path!r} is a folder; list its files one by one, or write the path of an archive of it"
        if not stat.S_ISREG(mode):
            return f"{path!r} is a device, pipe or socket; write the path of a regular file"
        if not os.access(absolute, os.R_OK):
            return f"the file {path!r} may not be read by you; make it readable: chmod u+r {str(absolute)!r}"
        return None

    def read_all(self) -> dict[str, LocalFile]:
        """Digests of all files that were looked at, by the paths they were named with.

        Raises:
            InputError: some could not be read after all.
        """
        paths = sorted(self._problems)
        # Hashing lets go of the interpreter's lock: as many files at a time as there are cores.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            files = list(pool.map(self._read, paths))
        problems = [file for file in files if isinstance(file, str)]
        if problems:
            raise InputError(*problems)
        return {path: file for path, file in zip(paths, files, strict=True) if isinstance(file, LocalFile)}

    def _read(self, path: str) -> LocalFile | str:
        absolute = self.absolute(path)
        try:
            with absolute.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                mode = os.fstat(file.fileno()).st_mode
                return LocalFile(absolute, digest, file.tell(), executable=bool(mode & stat.S_IXUSR))
        except OSError as error:
            return f"{absolute}: can't be read: {error.strerror}; keep it in place until it is sent"
