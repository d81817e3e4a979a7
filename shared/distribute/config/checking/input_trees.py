"""The folders and globs that `required_files` names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from distribute.config.sections.file_refs import own_name
from distribute.core.os_words import why
from distribute.core.words import LONGEST_QUOTED_PATH, quoted
from distribute.inputs.checkout import CheckedOut, Checkout
from distribute.inputs.git_program import GitProblem
from distribute.inputs.listed import Hasher, Listed
from distribute.inputs.patterns import Exclude, check_glob, is_glob, matches
from distribute.inputs.tree import Found, Tree, clash, folder_tree, tree_of_matches, united

_KEPT = 1024
"""The names of so many trees are remembered. Every job of a sweep may have the same glob beside its own."""


class TreeKey(NamedTuple):
    """What names a tree: a folder or a glob as it is written, and the patterns of what is left out.

    `ref` is that of a git checkout. None: it is no checkout, but the folder as it is.
    """

    path: str
    exclude: tuple[str, ...] = ()
    ref: str | None = None


class Named(NamedTuple):
    """An input, and the name under which jobs see it. None: its own, or those of what a glob matches."""

    key: TreeKey
    alias: str | None = None


class InputTrees:
    """Trees by the paths in a configuration. We look through each once, and read its files once."""

    def __init__(self, folder: str, absolute: Callable[[str], str], *, dirty: bool = False) -> None:
        """`folder` is where relative paths begin. `absolute` gives the absolute path of a file or folder.

        `dirty`: take git checkouts with changes that are not committed.
        """
        self._dirty = dirty
        self._folder = folder
        self._absolute = absolute
        self._trees: dict[TreeKey, Tree] = {}
        self._first: dict[str, Tree] = {}
        self._found: dict[str, dict[Found, Found]] = {}
        """What several trees of a path have, by that path."""
        # Not of a method: it would hold what keeps it.
        self._names = lru_cache(maxsize=_KEPT)(partial(_names_at_top, self._trees))
        self._clashes: dict[tuple[TreeKey, TreeKey], str | None] = {}
        self.checkouts: dict[TreeKey, CheckedOut] = {}
        """What is sent of git checkouts."""

    def __contains__(self, key: TreeKey) -> bool:
        """Is it a tree that was looked through?"""
        return key in self._trees

    def __bool__(self) -> bool:
        """Are there any?"""
        return bool(self._trees)

    @property
    def size_bytes(self) -> int:
        """The size of all their files."""
        return sum(tree.size_bytes for tree in self._trees.values())

    def is_glob(self, path: str) -> bool:
        """Is it a glob? A path with `*`, `?` or `[` that is there is that file or folder."""
        return is_glob(path) and not os.path.lexists(self._absolute(path))

    def matches(self, key: TreeKey) -> bool:
        """Is it a glob?"""
        return key.ref is None and self.is_glob(key.path)

    def problems_with(self, key: TreeKey) -> list[str]:
        """Look through a folder, or for what a glob matches. Returns why it can't be sent; empty: it can."""
        if key not in self._trees:
            path = quoted(key.path, LONGEST_QUOTED_PATH)
            try:
                exclude = Exclude(key.exclude)
            except ValueError:
                return []  # the models report a wrong pattern
            try:
                self._trees[key] = self._sharing(key.path, self._tree(key, exclude))
            except ValueError as error:
                return [f"{path}: {error}"]
            except OSError as error:
                return [f"can't look through {path}: {why(error)}; write another path"]
        return self._trees[key].problems

    def _sharing(self, path: str, tree: Tree) -> Tree:
        """The tree, of what an earlier one of this path has: each job may leave out another part of it."""
        first = self._first.setdefault(path, tree)
        if first is not tree:
            if path not in self._found:
                self._found[path] = {one: one for one in first.found}
            tree.found = [self._found[path].setdefault(one, one) for one in tree.found]
        return tree

    def name_of_checkout(self, path: str) -> str:
        """The name of the folder of a checkout."""
        return os.path.basename(os.path.normpath(self._absolute(path)))  # noqa: PTH119

    def _tree(self, key: TreeKey, exclude: Exclude) -> Tree:
        if key.ref is not None:
            return self._in_checkout(key, key.ref, exclude)
        return self._matched(key, exclude) if self.is_glob(key.path) else self._in(key, exclude)

    def _in_checkout(self, key: TreeKey, ref: str, exclude: Exclude) -> Tree:
        """What a commit has. Raises `GitProblem` if it can't be sent."""
        folder = self._absolute(key.path)
        if not os.path.isdir(folder):  # noqa: PTH112
            raise GitProblem(
                f"there is no such folder (looked for {quoted(folder, LONGEST_QUOTED_PATH)}); "
                "write the folder of a git checkout"
            )
        taken = Checkout(folder).take(ref, exclude, dirty=self._dirty)
        if not taken.tree.found and not taken.tree.problems:
            left = "'exclude' leaves nothing of it" if key.exclude else "it has no files"
            raise GitProblem(f"{left} in commit {taken.commit.commit[:12]}")
        self.checkouts[key] = taken
        return taken.tree

    def _in(self, key: TreeKey, exclude: Exclude) -> Tree:
        """What is in a folder."""
        folder = self._absolute(key.path)
        tree = folder_tree(folder, exclude)
        if key.exclude and not tree.found and not tree.problems and any(Path(folder).iterdir()):
            tree.problems.append(f"'exclude' leaves nothing of {quoted(key.path, LONGEST_QUOTED_PATH)}")
        return tree

    def _matched(self, key: TreeKey, exclude: Exclude) -> Tree:
        """What a glob matches. Raises `ValueError` if it can't be one."""
        check_glob(key.path)
        base, names = matches(self._folder, key.path)
        tree = tree_of_matches(base, names, exclude)
        if tree.found or tree.problems:
            return tree
        pattern = quoted(key.path, LONGEST_QUOTED_PATH)
        if names:
            problem = f"'exclude' leaves nothing of what {pattern} matches"
        else:
            problem = (
                f"nothing matches {pattern} (looked in {quoted(base, LONGEST_QUOTED_PATH)}); write another "
                "pattern, relative to the folder of this file"
            )
        tree.problems.append(problem)
        return tree

    def names_at_top(self, key: TreeKey) -> set[str]:
        """The names that what a glob matched has in `input`."""
        return self._names(key) if key in self._trees else set()

    def share_a_folder(self, one: Named, other: Named) -> bool:
        """Is what both have put together, if they share a name? A glob, and a glob or a folder of its alias.

        A checkout is what its commit has, and nothing else.
        """
        globs = self.matches(one.key) + self.matches(other.key)
        if globs == 2:
            return one.alias == other.alias
        is_checkout = any(each.key.ref is not None for each in (one, other))
        return globs == 1 and not is_checkout and self._folder_of(one) == self._folder_of(other) is not None

    def _folder_of(self, one: Named) -> str | None:
        """The folder in `input` that has the whole tree. None: it lies directly in `input`, or is a file."""
        if one.key not in self:
            return None
        if one.alias is None and not self.matches(one.key):
            return own_name(one.key.path)
        return one.alias

    def clash(self, one: TreeKey, other: TreeKey) -> str | None:
        """A path at which two trees differ. None: all that both have is the same."""
        if one == other or not (one in self and other in self):
            return None
        if (one, other) not in self._clashes:
            self._clashes[one, other] = clash(self._trees[one], self._trees[other])
        return self._clashes[one, other]

    def together(self, inputs: Sequence[Named]) -> list[list[Named]]:
        """The trees of a list, in order. What shares a name at the top of `input` stands together."""
        groups: list[tuple[set[str], list[Named]]] = []
        for one in dict.fromkeys(inputs):
            names, members = self._places(one), [one]
            if not names:
                groups.append((names, members))
                continue
            apart = []
            for group in groups:
                if names.isdisjoint(group[0]):
                    apart.append(group)
                else:
                    names, members = names | group[0], [*group[1], *members]
            groups = [*apart, (names, members)]
        return [part for _, members in groups for part in self._united_or_apart(members)]

    def _united_or_apart(self, members: list[Named]) -> list[list[Named]]:
        """Without a glob, they are one folder that is listed twice."""
        return [members] if any(self.matches(one.key) for one in members) else [[one] for one in members]

    def _places(self, one: Named) -> set[str]:
        """Where it meets others. A checkout meets none."""
        if one.key.ref is not None:
            return set()
        folder = self._folder_of(one)
        return {f"{folder}/"} if folder is not None else self.names_at_top(one.key)

    def united(self, keys: Sequence[TreeKey]) -> Tree:
        """All of several trees, as one. There is no clash between them."""
        return united([self._trees[key] for key in keys])

    def read_all(self, hasher: Hasher) -> dict[TreeKey, Listed]:
        """Read the files of all trees.

        Raises:
            InputError: some can't be read, or change meanwhile.
        """
        return {
            key: hasher.listed(tree, quoted(key.path, LONGEST_QUOTED_PATH))
            for key, tree in self._trees.items()
        }


def _names_at_top(trees: Mapping[TreeKey, Tree], key: TreeKey) -> set[str]:
    return trees[key].names()
