"""The local files that a batch needs."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from distribute.config.checking.input_trees import InputTrees, Named, TreeKey
from distribute.config.sections.file_refs import own_name
from distribute.config.yaml.yaml_syntax import LOOKED_AT, Words
from distribute.core.errors import InputError
from distribute.core.os_words import why
from distribute.core.words import LONGEST_QUOTED_PATH, first_of, quoted
from distribute.inputs.listed import Hasher
from distribute.inputs.made import MadeContent, MadeContents
from distribute.inputs.tree import TreeFile

_ELSEWHERE = ("/", "~")
"""How a path begins that is not relative to the folder of its configuration."""

_MADE = "/dev/null/"
"""Where a file would be that is none: no path leads behind this."""

_SPECIAL = frozenset("*?[]\\")
"""What has a meaning in a pattern."""

_MOST_PARTS = 4096
"""Into so many parts, at most, files are divided that threads read."""

MAX_MISSING_USERS = 100
"""If so many homes are missing, we ask for no more: a directory service may be slow."""


def path_of_made(sha256: str) -> str:
    """The path by which a configuration names a content without a file."""
    return f"{_MADE}{sha256}"


class LocalFile(NamedTuple):
    """A file at the moment we read it. Its name is its path in the configuration."""

    file: TreeFile
    sha256: str

    @property
    def path(self) -> Path:
        """Its absolute path."""
        return Path(os.fsdecode(self.file.path))


class InputFiles:
    """Files by the paths in a configuration, which are relative to `folder`. We look at each file once.

    `called` is how problems call that folder. `made` are contents without a file, whose paths are those of
    `path_of_made`; they are complete. `dirty`: see `InputTrees`.
    """

    def __init__(
        self,
        folder: Path,
        called: str = "the folder of this file",
        made: MadeContents | None = None,
        *,
        dirty: bool = False,
    ) -> None:
        self._called = called
        self.made = made
        self.folder = folder.absolute()
        """Where relative paths begin."""
        self._folder_text = str(self.folder)
        self._folders: set[str] = set()
        self._size_bytes = 0
        self.trees = InputTrees(self._folder_text, self._place, dirty=dirty)
        """The folders, and what globs match."""
        self._problems: dict[str, Words | None] = {}
        self._missing: set[str] = set()
        self._missing_users = 0
        self._homes: dict[str, str | None] = {}
        self._names: dict[str, frozenset[str] | None] = {}

    def absolute(self, path: str) -> Path:
        return Path(self._place(path))

    def made_at(self, path: str) -> MadeContent | None:
        """The content without a file that has this path."""
        if self.made is None or not path.startswith(_MADE):
            return None
        return self.made.of(path.removeprefix(_MADE))

    def problem_with(self, path: str) -> Words | None:
        """Why we can't use the file at `path`, and what to write instead. None: we can."""
        if self.made_at(path) is not None:
            return None
        if path not in self._problems:
            self._problems[path] = self._look(path)
        # Not kept: it would hold what keeps it.
        return partial(self._no_such_file, path) if path in self._missing else self._problems[path]

    def problems_with(self, key: TreeKey, *, is_input: bool) -> list[Words]:
        """Why we can't send what the key names. Empty: we can. All but inputs are files."""
        path = key.path
        if not is_input or not (key.ref is not None or self.trees.is_glob(path)):
            problem = self.problem_with(path)
            if not is_input or path not in self._folders:
                if problem is None and key.exclude:
                    return [f"'exclude' is for folders and globs, and {_quoted(path)} is a file; remove it"]
                return [] if problem is None else [problem]
        return list(self.trees.problems_with(key))

    def name_of(self, key: TreeKey, alias: str | None) -> str:
        """The name under which jobs see a file, a folder or a checkout."""
        if alias is not None:
            return alias
        return own_name(key.path) if key.ref is None else self.trees.name_of_checkout(key.path)

    def names_of(self, key: TreeKey, alias: str | None) -> Collection[str]:
        """The names at the top of `input` under which jobs see an input."""
        if alias is None and self.trees.matches(key):
            return self.trees.names_at_top(key)
        return (self.name_of(key, alias),)

    def clash(self, one: Named, other: Named, name: str) -> str | None:
        """Where two inputs that both have `name` at the top of `input` want one place for different files.

        None: nowhere. They are the same, or are put together and agree wherever they meet.
        """
        if self.trees.share_a_folder(one, other):
            place = self.trees.clash(one.key, other.key)
            is_in_folder = one.alias is not None or other.alias is not None
            return f"{name}/{place}" if place is not None and is_in_folder else place
        is_same = one.key[1:] == other.key[1:] and self.are_same(one.key.path, other.key.path)
        return None if is_same else name

    def without_clash(self, one: Named, other: Named, place: str) -> str:
        """For people: how a glob may leave out what clashes at `place`. Empty: there is none, or it can't."""
        for each in (one, other):
            path = place if each.alias is None else place.partition("/")[2]
            if path and self.trees.matches(each.key) and not set(path) & _SPECIAL:
                return f", or let the glob leave it out: exclude: [{_quoted(f'/{path}')}]"
        return ""

    @property
    def size_bytes(self) -> int:
        """The size of all files, folders and matches of globs that we looked at."""
        return self._size_bytes + self.trees.size_bytes

    def are_same(self, path: str, other: str) -> bool:
        """Do the two paths lead to the same file?"""
        if path == other:
            return True
        if path in self._missing or other in self._missing:
            return False
        here, there = self._place(path), self._place(other)
        try:
            return os.path.samefile(here, there)  # noqa: PTH121 - 100,000 jobs may name such files
        except (OSError, ValueError):
            return False

    def _look(self, path: str) -> Words | None:
        """What is wrong with the file; None also if it is missing, which `_missing` has then."""
        # Of so many, only the number is told; and to ask the kernel takes ten times as long as to ask a list.
        if len(self._missing) >= LOOKED_AT and self._leads_nowhere(path):
            self._missing.add(path)
            return None
        absolute = self._place(path)
        try:
            status = os.stat(absolute)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            self._missing.add(path)
            return None
        except OSError as error:
            return f"can't look at the file {_quoted(path)}: {why(error)}; write another path"
        except ValueError:
            return f"no file can be called {_quoted(path)}; write another path"
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            self._folders.add(path)
            return f"{_quoted(path)} is a folder; write the path of a file"
        if not stat.S_ISREG(mode):
            return f"{_quoted(path)} is a device, pipe or socket; write the path of a regular file"
        if not os.access(absolute, os.R_OK):
            readable = f"make it readable: chmod u+r {_quoted(absolute)}"
            return f"you may not read the file {_quoted(path)}; {readable}"
        self._size_bytes += status.st_size
        return None

    def _place(self, path: str) -> str:
        """Where the file is. As text: of 100,000 files, each `Path` would take 20 µs."""
        first, slash, rest = path.partition("/")
        home = self._home(first) if path[:1] == "~" else None
        # With every `..`: behind a link, only the kernel knows its meaning.
        return os.path.join(self._folder_text, path if home is None else f"{home}{slash}{rest}")  # noqa: PTH118

    def _no_such_file(self, path: str) -> str:
        if path.startswith("/"):
            return f"there is no file {_quoted(path)} on this computer; write the path that it has here"
        return (
            f"there is no file {_quoted(path)} (looked for {_quoted(self._place(path))}); "
            f"write a path relative to {self._called}, or an absolute one"
        )

    def _leads_nowhere(self, path: str) -> bool:
        """Is a folder on the way to the file known not to have the next part of the path?"""
        folder, parts = self._folder_text, path.split("/")
        if path[:1] in _ELSEWHERE:
            first = parts.pop(0)
            home = self._home(first) if first else "/"
            if home is None:  # then `~` is a part of the file's name
                parts.insert(0, first)
            else:
                folder = home
        for part in parts:
            names = self._names.get(folder) if folder in self._names else self._list(folder)
            if names is None:
                return False
            if part not in names:
                return True
            folder = f"{folder}/{part}"
        return False

    def _list(self, folder: str) -> frozenset[str] | None:
        """Parts of a path that may come after `folder`. None: we may not list it."""
        names: frozenset[str] | None
        try:
            names = frozenset(os.listdir(folder)) | {"", ".", ".."}  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            names = frozenset()
        except (OSError, ValueError):
            names = None
        self._names[folder] = names
        return names

    def _home(self, first: str) -> str | None:
        """The folder that `~` or `~USER` means. None: there is no such user, or too many were asked for."""
        if first not in self._homes:
            if self._missing_users == MAX_MISSING_USERS:
                return None
            home = os.path.expanduser(first)  # noqa: PTH111 - Path.expanduser raises if there is no such home
            self._homes[first] = None if home == first else home
            self._missing_users += home == first
        return self._homes[first]

    def read_all(self, hasher: Hasher) -> dict[str, LocalFile]:
        """Read all files that `problem_with` looked at, and forget them. Returns them by their paths.

        Raises:
            InputError: some can't be read after all.
        """
        paths = sorted(self._problems.keys() - self._folders)
        self._problems.clear()
        together = 1 + len(paths) // _MOST_PARTS  # what waits for a thread takes 1.5 KB
        parts = [paths[start : start + together] for start in range(0, len(paths), together)]
        # Hashing releases the interpreter's lock, so every core can hash a file.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            files = list(chain.from_iterable(pool.map(partial(self._read_part, hasher), parts)))
        problems = [file for file in files if isinstance(file, str)]
        if problems:
            raise InputError(*first_of(problems))
        return {path: file for path, file in zip(paths, files, strict=True) if isinstance(file, LocalFile)}

    def _read_part(self, hasher: Hasher, paths: list[str]) -> list[LocalFile | str]:
        return [self._read(hasher, path) for path in paths]

    def _read(self, hasher: Hasher, path: str) -> LocalFile | str:
        absolute = self.absolute(path)
        try:
            digest, status = hasher.of_file(absolute)
            return LocalFile(TreeFile.of(os.fsencode(path), os.fsencode(absolute), status), digest)
        except InputError as error:
            return str(error)
        except OSError as error:
            return f"{absolute}: can't read it: {why(error)}; keep it in place until it is sent"


def _quoted(path: str) -> str:
    return quoted(path, LONGEST_QUOTED_PATH)
