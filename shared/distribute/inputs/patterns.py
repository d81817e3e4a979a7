"""Patterns that a person writes: which paths a glob matches, and what `exclude` leaves out."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pathspec import GitIgnoreSpec


class Matches(NamedTuple):
    """What a glob matched: `base` is the folder before its first wildcard, `names` are paths below it."""

    base: str
    names: list[str]


def is_glob(path: str) -> bool:
    """Does the path have a wildcard: `*`, `?` or `[`?"""
    return glob.has_magic(path)


def check_glob(path: str) -> None:
    """Check that matches can be named by their paths below the folder before the first wildcard.

    Raises:
        ValueError: `..` stands behind a wildcard.
    """
    if ".." in _split(path)[1].split("/"):
        raise ValueError("'..' can't stand behind a wildcard; write it before, or name the folder itself")


def matches(folder: str, path: str) -> Matches:
    """What a glob matches, as a shell has it: `*` matches no hidden names, `**` any number of folders.

    `folder` is the one that a relative path starts from.
    """
    fixed, wild = _split(path)
    base = os.path.join(folder, os.path.expanduser(fixed)) if fixed else folder  # noqa: PTH111, PTH118
    found = glob.glob(wild, root_dir=base or "/", recursive=True)  # noqa: PTH207 - as text, for many
    return Matches(base, sorted({name.rstrip("/") for name in found} - {""}))


def in_lines(patterns: Iterable[str]) -> str:
    """Globs of one folder, as its specification has them."""
    return "\n".join(patterns)


def of_lines(pattern: str) -> list[str]:
    """The globs that `in_lines` joined."""
    return pattern.split("\n")


def behind_fixed(path: str) -> str:
    """A glob without the folder before its first wildcard: in that, it matches the same names."""
    return _split(path)[1]


def _split(path: str) -> tuple[str, str]:
    """The folder before the first wildcard, and the rest."""
    parts = path.split("/")
    first = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    before = "/".join(parts[:first])
    return (before or "/") if first and path.startswith("/") else before, "/".join(parts[first:])


class Exclude:
    """What to leave out of a folder, by patterns as in a .gitignore."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises `ValueError` if a pattern is wrong."""
        try:
            self._spec = GitIgnoreSpec.from_lines(patterns) if patterns else None
        except re.error as error:  # such as [z-a]
            raise ValueError(f"no pattern: {error}") from error

    def leaves_out(self, name: bytes, *, is_folder: bool) -> bool:
        """Is this path to be left out? If it is a folder, everything in it is, too."""
        if self._spec is None:
            return False
        text = os.fsdecode(name)
        return self._spec.match_file(f"{text}/" if is_folder else text)

    def leaves_out_all_of(self, name: bytes) -> bool:
        """Is this file to be left out, or a folder above it?"""
        if self._spec is None:
            return False
        parts = name.rstrip(b"/").split(b"/")
        above = (b"/".join(parts[:end]) for end in range(1, len(parts)))
        is_folder = name.endswith(b"/")
        return any(self.leaves_out(one, is_folder=True) for one in above) or self.leaves_out(
            name.rstrip(b"/"), is_folder=is_folder
        )
