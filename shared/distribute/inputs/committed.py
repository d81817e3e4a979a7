"""The files of a commit, in a temporary folder.

Git's objects are read as they are: no filter changes a file, nor its line ends. So everybody who sends a
commit sends the same bytes. `git archive` would run filters that the repository's settings name.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, NamedTuple

from distribute.core.words import LONGEST_QUOTED_PATH, quoted
from distribute.inputs.git_program import Git, GitProblem
from distribute.inputs.patterns import Exclude
from distribute.inputs.tree import MAX_PROBLEMS, folder_tree
from distribute.scratch import scratch_folder

SUBMODULE = b"160000"
"""The mode that git gives to a repository of its own."""
_LINK = b"120000"
_PROGRAM = b"100755"
_FOLDER_MODE = 0o755
_PIECE_BYTES = 1 << 20
_POINTER = b"version https://git-lfs.github.com/spec/"
POINTER_BYTES = 1024
"""Pointers of Git LFS are smaller."""


class _Entry(NamedTuple):
    mode: bytes
    digest: bytes
    name: bytes


class CommittedFiles:
    """The files of a commit, or of a folder in it. They lie in a temporary folder as long as this lives."""

    def __init__(self, git: Git, commit: str, prefix: bytes, shown_as: str, exclude: Exclude) -> None:
        """`prefix` is the folder in the repository; empty: all of it. Problems call it `shown_as`.

        Raises:
            GitProblem: the commit has no such folder, or not everything of it is in this clone.
        """
        self._shown_as = shown_as
        self._problems: list[str] = []
        self._time_s = int(git.line("rev-list", "--max-count=1", "--timestamp", commit).split()[0])
        scratch = ExitStack()
        weakref.finalize(self, scratch.close)
        folder = scratch.enter_context(scratch_folder("git")) / "files"
        folder.mkdir()
        folder.chmod(_FOLDER_MODE)
        self._root = os.fsencode(folder)
        entries = [one for one in _entries(git, commit, prefix) if not exclude.leaves_out_all_of(one.name)]
        self._put_all(git, entries)
        self.tree = folder_tree(str(folder), Exclude(()), shown_as=shown_as)
        """What can be sent, with what is wrong with it."""
        self.tree.problems[:0] = self._problems
        del self.tree.problems[MAX_PROBLEMS:]

    def _put_all(self, git: Git, entries: list[_Entry]) -> None:
        links: list[tuple[bytes, bytes]] = []
        with git.talking("cat-file", "--batch") as (ask, answer):
            for entry in entries:
                if entry.mode == SUBMODULE:
                    self._problem(no_submodule(self._path(entry.name)))
                    continue
                size = self._size(ask, answer, entry)
                if entry.mode == _LINK:
                    links.append((entry.name, answer.read(size)))
                else:
                    self._put_file(entry, answer, size)
                answer.read(1)  # a line ends behind the content
        for name, target in links:  # last, so that no file is written through one
            self._make_folder(_folder_of(name))
            os.symlink(target, self._root + b"/" + name)  # noqa: PTH211 - bytes

    def _size(self, ask: IO[bytes], answer: IO[bytes], entry: _Entry) -> int:
        """Ask for a content. Returns its size: the content follows."""
        try:
            ask.write(entry.digest + b"\n")
            ask.flush()
            head = answer.readline().split()
        except BrokenPipeError:
            head = []
        if len(head) != 3 or head[1] != b"blob":
            path = quoted(self._path(entry.name), LONGEST_QUOTED_PATH)
            raise GitProblem(
                f"this clone lacks the content of {path}; check the commit out once, which fetches it, "
                "or run git fsck"
            )
        return int(head[2])

    def _put_file(self, entry: _Entry, answer: IO[bytes], size: int) -> None:
        path = self._root + b"/" + entry.name
        self._make_folder(_folder_of(entry.name))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            left = size
            while left:
                piece = answer.read(min(left, _PIECE_BYTES))
                if not piece:
                    raise GitProblem(f"git stopped in {quoted(self._path(entry.name), LONGEST_QUOTED_PATH)}")
                if size < POINTER_BYTES and is_pointer(piece):
                    self._problem(no_pointer(self._path(entry.name)))
                file.write(piece)
                left -= len(piece)
            os.fchmod(descriptor, 0o755 if entry.mode == _PROGRAM else 0o644)
        os.utime(path, (self._time_s, self._time_s))

    def _make_folder(self, name: bytes) -> None:
        path = self._root + b"/" + name
        if name and not os.path.isdir(path):  # noqa: PTH112 - bytes
            self._make_folder(_folder_of(name))
            os.mkdir(path)  # noqa: PTH102 - bytes
            os.chmod(path, _FOLDER_MODE)  # noqa: PTH101 - bytes

    def _path(self, name: bytes) -> str:
        return f"{self._shown_as}/{os.fsdecode(name)}"

    def _problem(self, text: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(text)


def is_pointer(content: bytes) -> bool:
    """Is this what Git LFS puts into a repository in place of a large file?"""
    return content.startswith(_POINTER)


def no_pointer(path: str) -> str:
    """Why a pointer is not sent."""
    return (
        f"{quoted(path, LONGEST_QUOTED_PATH)} is kept by Git LFS, and the commit has only a pointer to it; "
        "exclude it, and list the file itself as an input"
    )


def no_submodule(path: str) -> str:
    """Why a submodule is not sent."""
    name = quoted(path, LONGEST_QUOTED_PATH)
    return (
        f"{name} is a repository of its own (a submodule), whose files are not in this one's commits; "
        "exclude it, and list it as an input of its own: {git: FOLDER, alias: NAME}"
    )


def _entries(git: Git, commit: str, prefix: bytes) -> Iterator[_Entry]:
    """The files, links and submodules of a commit, below `prefix`."""
    asked = git.run("ls-tree", "-r", "-z", "--full-tree", commit.encode() + b":" + prefix)
    if asked.returncode:
        where = quoted(os.fsdecode(prefix), LONGEST_QUOTED_PATH)
        raise GitProblem(f"commit {commit[:12]} has no folder {where}; write another ref, or another folder")
    for line in filter(None, asked.stdout.split(b"\0")):
        head, _, name = line.partition(b"\t")
        mode, _, digest = head.split()
        if any(part in (b"", b".", b"..") for part in name.split(b"/")):
            raise GitProblem(f"commit {commit[:12]} has a damaged path: {quoted(os.fsdecode(name))}")
        yield _Entry(mode, digest, name)


def _folder_of(name: bytes) -> bytes:
    return name.rpartition(b"/")[0]
