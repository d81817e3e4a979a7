"""Looks through a folder that is an input, or what a glob matched: files, links, and folders.

It opens no file and changes nothing. A link that is named itself is followed, as is one to a file that a glob
matches; links inside a folder stay links, and must lead to something in it.
"""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from distribute.core.files.folder_listing import ListedFolder
from distribute.core.files.manifest import StoredLink, entry_bytes
from distribute.core.files.path_text import shown, shown_target
from distribute.core.os_words import special_file, why
from distribute.core.words import LONGEST_QUOTED_PATH, quoted
from distribute.inputs.digests import Looks
from distribute.inputs.patterns import Exclude
from distribute.links import Links

MAX_PROBLEMS = 20
"""We look for no more problems of one folder: a person mends these, and then asks again."""


_MODE_OF_MADE = 0o755
"""That of a folder in which files of another one are put."""


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file: its path in the tree, its path on the disk, and what it was when it was found.

    `device`, `inode` and `ctime_ns` tell whether it is still the same.
    """

    name: bytes
    path: bytes
    size_bytes: int
    mode: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, name: bytes, path: bytes, status: os.stat_result) -> TreeFile:
        """The file at `path`."""
        return cls(
            name,
            path,
            status.st_size,
            status.st_mode & 0o777,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_dev,
            status.st_ino,
        )

    @property
    def looks(self) -> Looks:
        """By what it is told from a changed one."""
        return Looks(self.size_bytes, self.mtime_ns, self.ctime_ns, self.inode, self.device)

    def is_still(self, status: os.stat_result) -> bool:
        """Is the file as it was when it was found?"""
        return stat.S_ISREG(status.st_mode) and self == TreeFile.of(self.name, self.path, status)


Found = TreeFile | StoredLink | ListedFolder


@dataclass(slots=True)
class Tree:
    """Everything in a folder, or that a glob matched, in order. `mode` is the folder's own; None: a glob's.

    `problems` say why it can't be sent as it is, in lines for the person.
    """

    mode: int | None
    found: list[Found] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(one.size_bytes for one in self.found if isinstance(one, TreeFile))

    def names(self) -> set[str]:
        """The names at the top of the tree."""
        tops = {_name_of(one).partition(b"/")[0] for one in self.found}
        return {os.fsdecode(name) for name in tops}


def folder_tree(
    path: str, exclude: Exclude, *, only: Container[bytes] | None = None, shown_as: str | None = None
) -> Tree:
    """What is in the folder at `path`. Problems call it `shown_as`.

    `only` has the paths in the folder that count, and all folders above them. None: everything counts.
    """
    root = os.fsencode(os.path.realpath(path))
    tree = Tree(os.stat(root).st_mode & 0o777)  # noqa: PTH116 - bytes
    shown_root = None if shown_as is None else os.fsencode(shown_as)
    _Search(root, exclude, tree, only, shown_root).add_folder(b"")
    return tree


def tree_of_matches(base: str, names: list[str], exclude: Exclude) -> Tree:
    """What a glob matched: files and folders `names` below the folder `base`."""
    root = os.fsencode(os.path.realpath(base or "/"))
    tree = Tree(None)
    search = _Search(root, exclude, tree)
    above: tuple[bytes, ...] = ()
    for name in sorted(map(os.fsencode, names), key=lambda name: name.split(b"/")):
        if above and name.startswith(above):  # the folder above it is matched, too
            continue
        if search.add_match(name):
            above = (name + b"/",)
    return tree


def clash(one: Tree, other: Tree) -> str | None:
    """A path at which two trees have something different. None: they can be one tree."""
    here, there = _by_name(one), _by_name(other)
    for name in sorted(here.keys() & there.keys()):
        if not _are_same(here[name], there[name]):
            return os.fsdecode(name)
    for mine, others in ((here, there), (there, here)):
        above = {parent for name in others for parent in _parents(name)}
        for name in sorted(above & mine.keys()):
            if not isinstance(mine[name], ListedFolder):
                return os.fsdecode(name)
    return None


def united(trees: Sequence[Tree]) -> Tree:
    """All that is in several trees, between which there is no clash. With a folder, it is that folder."""
    found = {name: one for tree in trees for name, one in _by_name(tree).items()}
    mode = next((tree.mode for tree in trees if tree.mode is not None), None)
    if mode is None:
        return Tree(None, [found[name] for name in sorted(found, key=_in_matches)])
    for folder in {parent for name in found for parent in _parents(name)} - found.keys():
        path, raw = shown(folder)
        found[folder] = ListedFolder(path=path, raw_path=raw, mode=_MODE_OF_MADE)
    return Tree(mode, [found[name] for name in sorted(found, key=_in_folder)])


def _in_matches(name: bytes) -> list[bytes]:
    """Sorts paths as `tree_of_matches` finds them."""
    return name.split(b"/")


def _in_folder(name: bytes) -> tuple[list[bytes], bytes]:
    """Sorts paths as `folder_tree` finds them: all names of a folder, then those in the folders below it."""
    above, _, own = name.rpartition(b"/")
    return above.split(b"/") if above else [], own


def _by_name(tree: Tree) -> dict[bytes, Found]:
    return {one.name if isinstance(one, TreeFile) else entry_bytes(one): one for one in tree.found}


def _are_same(one: Found, other: Found) -> bool:
    """Are both the same file, or equal ones?"""
    if not (isinstance(one, TreeFile) and isinstance(other, TreeFile)):
        return one == other
    if (one.device, one.inode) == (other.device, other.inode):
        return True
    if (one.size_bytes, one.mode) != (other.size_bytes, other.mode):
        return False
    try:
        return filecmp.cmp(os.fsdecode(one.path), os.fsdecode(other.path), shallow=False)
    except OSError:
        return True  # reading them all says which file can't be read, and why


def _name_of(found: Found) -> bytes:
    if isinstance(found, TreeFile):
        return found.name
    return os.fsencode(found.path)  # only its first part matters, and that it is unlike others


class _Search:
    """A search through one tree."""

    def __init__(
        self,
        root: bytes,
        exclude: Exclude,
        tree: Tree,
        only: Container[bytes] | None = None,
        shown_root: bytes | None = None,
    ) -> None:
        self._root = root
        self._only = only
        self._shown_root = root if shown_root is None else shown_root
        self._exclude = exclude
        self._tree = tree
        self._links = Links(root)

    def add_match(self, name: bytes) -> bool:
        """Add what a glob matched. Returns True if it is a folder."""
        path = self._on_disk(name)
        try:
            status = os.stat(path)  # noqa: PTH116 - bytes
        except OSError as error:
            self._problem(name, f"can't be read: {why(error)}; mend it, or exclude it")
            return False
        is_folder = stat.S_ISDIR(status.st_mode)
        if any(self._is_out(part, is_folder=True) for part in _parents(name)):
            return is_folder
        if self._is_out(name, is_folder=is_folder):
            return is_folder
        if not is_folder:
            self._add_file(name, path, status)
        elif os.path.islink(path):  # noqa: PTH114 - bytes
            self._problem(name, "is a link to a folder; name that folder itself, or exclude the link")
        else:
            self._add_entry_of_folder(name, status)
            self.add_folder(name)
        return is_folder

    def add_folder(self, folder: bytes) -> None:
        """Add everything in a folder, at any depth."""
        todo = [folder]
        while todo and len(self._tree.problems) < MAX_PROBLEMS:
            name = todo.pop()
            try:
                with os.scandir(self._on_disk(name)) as scanning:
                    names = sorted(entry.name for entry in scanning)
            except OSError as error:
                self._problem(name, f"can't be read: {why(error)}; change its mode, or exclude it")
                continue
            folders = [below for one in names if self._add(below := _below(name, one))]
            todo.extend(reversed(folders))

    def _add(self, name: bytes) -> bool:
        """Add what is at this path. Returns True if it is a folder to look through."""
        if self._only is not None and name not in self._only:
            return False
        path = self._on_disk(name)
        try:
            status = os.lstat(path)
            if self._is_out(name, is_folder=stat.S_ISDIR(status.st_mode)):
                return False
            if stat.S_ISLNK(status.st_mode):
                self._add_link(name, os.readlink(path))  # noqa: PTH115 - bytes
                return False
        except OSError as error:
            self._problem(name, f"can't be read: {why(error)}; mend it, or exclude it")
            return False
        if stat.S_ISDIR(status.st_mode):
            self._add_entry_of_folder(name, status)
            return True
        self._add_file(name, path, status)
        return False

    def _add_file(self, name: bytes, path: bytes, status: os.stat_result) -> None:
        if special := special_file(status.st_mode):
            self._problem(name, f"is {special}, which can't be sent; remove it, or exclude it")
        else:
            self._tree.found.append(TreeFile.of(name, path, status))

    def _add_entry_of_folder(self, name: bytes, status: os.stat_result) -> None:
        path, raw = shown(name)
        self._tree.found.append(ListedFolder(path=path, raw_path=raw, mode=status.st_mode & 0o777))

    def _add_link(self, name: bytes, target: bytes) -> None:
        kept = self._links.archived(name, target)
        if kept is None:
            where = quoted(os.fsdecode(target), LONGEST_QUOTED_PATH)
            self._problem(
                name,
                f"is a link that leads out of the folder, to {where}; put what it leads to in its place, or "
                "exclude it and list that as an input of its own",
            )
            return
        path, raw = shown(name)
        text, raw_target = shown_target(kept)
        self._tree.found.append(StoredLink(path=path, raw_path=raw, target=text, raw_target=raw_target))

    def _is_out(self, name: bytes, *, is_folder: bool) -> bool:
        return self._exclude.leaves_out(name, is_folder=is_folder)

    def _on_disk(self, name: bytes) -> bytes:
        return os.path.join(self._root, name) if name else self._root  # noqa: PTH118 - bytes

    def _problem(self, name: bytes, text: str) -> None:
        if len(self._tree.problems) < MAX_PROBLEMS:
            where = _below(self._shown_root, name) if name else self._shown_root
            path = quoted(os.fsdecode(where), LONGEST_QUOTED_PATH)
            self._tree.problems.append(f"{path} {text}")


def _below(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _parents(name: bytes) -> list[bytes]:
    """The folders above a path, the uppermost first."""
    parts = name.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]
