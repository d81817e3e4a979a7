"""The local files that a batch needs."""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from distribute.config.yaml_syntax import LOOKED_AT, Words
from distribute.core.errors import InputError
from distribute.core.os_words import why
from distribute.core.words import LONGEST_QUOTED_PATH, first_of, quoted


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file at the moment we read it. `path` is absolute."""

    path: Path
    sha256: str
    size_bytes: int
    mode: int
    mtime_ns: int


class InputFiles:
    """Files by the paths in a configuration, which are relative to `folder`. We look at each file once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._problems: dict[str, Words | None] = {}
        self._missing = 0

    def absolute(self, path: str) -> Path:
        return Path(_absolute(self._folder, path))

    def problem_with(self, path: str) -> Words | None:
        """Why we can't use the file at `path`, and what to write instead. None: we can."""
        if path not in self._problems:
            self._problems[path] = self._look(path)
        return self._problems[path]

    def _look(self, path: str) -> Words | None:
        # Of so many, only the number is told; and to ask the kernel takes ten times as long as to ask a list.
        if self._missing >= LOOKED_AT and self._begins_nowhere(path):
            return partial(_no_such_file, self._folder, path)
        absolute = _absolute(self._folder, path)
        try:
            mode = os.stat(absolute).st_mode  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            self._missing += 1
            return partial(_no_such_file, self._folder, path)
        except OSError as error:
            return f"can't look at the file {_quoted(path)}: {why(error)}; write another path"
        except ValueError:
            return f"no file can be called {_quoted(path)}; write another path"
        if stat.S_ISDIR(mode):
            return f"{_quoted(path)} is a folder; list its files one by one, or pack it and name the archive"
        if not stat.S_ISREG(mode):
            return f"{_quoted(path)} is a device, pipe or socket; write the path of a regular file"
        if not os.access(absolute, os.R_OK):
            readable = f"make it readable: chmod u+r {_quoted(absolute)}"
            return f"you may not read the file {_quoted(path)}; {readable}"
        return None

    def _begins_nowhere(self, path: str) -> bool:
        """Is the path relative, and its first part not in the folder?"""
        first = path.partition("/")[0]
        known = self._first_parts
        return known is not None and first not in known and not first.startswith("~")

    @cached_property
    def _first_parts(self) -> frozenset[str] | None:
        """How paths of existing files may begin, apart from `~`. None: we may not list the folder."""
        try:
            return frozenset(os.listdir(self._folder)) | {"", ".", ".."}  # noqa: PTH208
        except OSError:
            return None

    def read_all(self) -> dict[str, LocalFile]:
        """Read all files that `problem_with` looked at. Returns them by the paths in the configuration.

        Raises:
            InputError: some can't be read after all.
        """
        paths = sorted(self._problems)
        # Hashing releases the interpreter's lock, so every core can hash a file.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            files = list(pool.map(self._read, paths))
        problems = [file for file in files if isinstance(file, str)]
        if problems:
            raise InputError(*first_of(problems))
        return {path: file for path, file in zip(paths, files, strict=True) if isinstance(file, LocalFile)}

    def _read(self, path: str) -> LocalFile | str:
        absolute = self.absolute(path)
        try:
            with absolute.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                status = os.fstat(file.fileno())
                return LocalFile(absolute, digest, file.tell(), status.st_mode & 0o777, status.st_mtime_ns)
        except OSError as error:
            return f"{absolute}: can't read it: {why(error)}; keep it in place until it is sent"


def _absolute(folder: Path, path: str) -> str:
    """Where the file is. As text: of 100,000 files, each `Path` would take 20 µs."""
    home_expanded = os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises if there is no such home
    # With every `..`: behind a link, only the kernel knows its meaning.
    return os.path.join(folder, home_expanded)  # noqa: PTH118


def _no_such_file(folder: Path, path: str) -> str:
    return (
        f"there is no file {_quoted(path)} (looked for {_quoted(_absolute(folder, path))}); "
        "write a path relative to the folder of this file, or an absolute one"
    )


def _quoted(path: str) -> str:
    return quoted(path, LONGEST_QUOTED_PATH)
