"""A git checkout as an input: as of a commit, or with the changes that are not committed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from distribute.core.spec.git_commit import MAX_PATTERN_CHARS, GitCommit
from distribute.core.words import LONGEST_QUOTED_PATH, counted, few, quoted
from distribute.inputs.committed import (
    POINTER_BYTES,
    SUBMODULE,
    CommittedFiles,
    is_pointer,
    no_pointer,
    no_submodule,
)
from distribute.inputs.git_program import Git, GitProblem, reason_of
from distribute.inputs.patterns import Exclude
from distribute.inputs.tree import MAX_PROBLEMS, Tree, TreeFile, folder_tree

HEAD = "HEAD"
_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^/?#]*)@")
_USER_OF_SSH = re.compile(r"^(?P<user>[^/:@]*):[^/]*@")


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """A checkout that can be sent. `files` hold the temporary folder with the files of the commit."""

    tree: Tree
    commit: GitCommit
    files: CommittedFiles | None


class Checkout:
    """The repository to which a folder belongs. The folder may be a part of it."""

    def __init__(self, folder: str) -> None:
        """Raises GitProblem if the folder belongs to no checkout, or git can't be used."""
        self._folder = os.path.realpath(folder)
        self._git = Git(self._folder)
        self._check_kind()
        self._prefix = os.fsencode(self._git.line("rev-parse", "--show-prefix"))
        self._git.switch_off_filters()

    def take(self, ref: str, exclude: Exclude, *, dirty: bool) -> CheckedOut:
        """What is to be sent. `dirty`: of HEAD, also what is not committed.

        Raises:
            GitProblem: there is no such commit, or changes are not committed.
        """
        commit = self._commit(ref)
        changed, untracked = self._changes(exclude) if ref == HEAD else ([], [])
        has_changes = bool(changed or untracked)
        if has_changes and not dirty:
            raise GitProblem(_uncommitted(changed, untracked))
        record = GitCommit(
            commit=commit,
            ref=ref,
            dirty=has_changes,
            folder=_text(os.fsdecode(self._prefix).rstrip("/")) or "",
            remote=self._remote(),
        )
        if has_changes:
            return CheckedOut(self._working_tree(exclude), record, None)
        files = CommittedFiles(self._git, commit, self._prefix.rstrip(b"/"), self._folder, exclude)
        return CheckedOut(files.tree, record, files)

    def _check_kind(self) -> None:
        kind = self._git.run("rev-parse", "--is-bare-repository", "--is-inside-git-dir")
        said = kind.stderr.decode(errors="replace")
        if "dubious ownership" in said or "unsafe repository" in said:
            command = f"git config --global --add safe.directory {shlex.quote(self._folder)}"
            raise GitProblem(
                f"belongs to another user, so git does not read it; if you trust it, run: {command}"
            )
        if "not a git repository" in said:
            raise GitProblem("is not in a git checkout; write the folder of one, or path: instead of git:")
        if kind.returncode:
            raise GitProblem(f"git can't read it: {reason_of(kind.stderr)}")
        is_bare, is_inside = kind.stdout.split()
        if b"true" in (is_bare, is_inside):
            what = "a bare repository" if is_bare == b"true" else "the inside of a repository"
            raise GitProblem(
                f"is {what}, without files; write the folder of a checkout (`git clone` makes one)"
            )
        if self._git.line("rev-parse", "--is-inside-work-tree") != "true":
            raise GitProblem("lies outside the files of its repository; write the folder of a checkout")

    def _commit(self, ref: str) -> str:
        """The hash of the commit that a ref names."""
        if not ref.startswith("-"):
            asked = self._git.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
            if not asked.returncode:
                return asked.stdout.decode().strip()
        if ref == HEAD:
            named = self._git.run("rev-parse", "--verify", "--quiet", HEAD)
            if not named.returncode:
                commit = named.stdout.decode().strip()
                raise GitProblem(f"git can't read its commit {commit[:12]}; `git fsck` says what is damaged")
            raise GitProblem("has no commit yet; commit first, or write path: instead of git:")
        if self._git.line("rev-parse", "--is-shallow-repository") == "true":
            fetch = f"git -C {shlex.quote(self._folder)} fetch --unshallow"
            more = f"it is a shallow clone; `{fetch}` brings the rest"
        else:
            more = "`git branch -a` and `git tag` list what there is, and `git fetch` brings what is new"
        raise GitProblem(f"has no branch, tag or commit {quoted(ref)} here; {more}")

    def _changes(self, exclude: Exclude) -> tuple[list[str], list[str]]:
        """The files with changes that are not committed, and those that git does not know or ignore."""
        said = self._git.ask(
            "status",
            "--porcelain=v1",
            "-z",
            "--no-renames",
            "--untracked-files=all",
            "--ignore-submodules=all",
            "--",
            ".",
        )
        changed: list[str] = []
        untracked: list[str] = []
        for line in filter(None, said.split(b"\0")):
            name = line[3:].removeprefix(self._prefix)
            if not exclude.leaves_out_all_of(name):
                (untracked if line.startswith(b"??") else changed).append(os.fsdecode(name))
        return changed, untracked

    def _working_tree(self, exclude: Exclude) -> Tree:
        """The files as they are: those that git knows, and others that it does not ignore."""
        names: set[bytes] = set()
        apart: set[bytes] = set()
        for line in filter(None, self._git.ask("ls-files", "-z", "--stage").split(b"\0")):
            head, _, name = line.partition(b"\t")
            (apart if head.startswith(SUBMODULE) else names).add(name)
        for name in filter(
            None, self._git.ask("ls-files", "-z", "--others", "--exclude-standard").split(b"\0")
        ):
            (apart if name.endswith(b"/") else names).add(name.rstrip(b"/"))
        folders = {b"/".join(parts[:end]) for parts in map(_parts, names) for end in range(1, len(parts))}
        tree = folder_tree(self._folder, exclude, only=names | folders)
        problems = [no_submodule(self._path(name)) for name in apart if not exclude.leaves_out_all_of(name)]
        problems += [no_pointer(self._path(file.name)) for file in _small_files(tree) if _is_pointer_at(file)]
        tree.problems += sorted(problems)[: MAX_PROBLEMS - len(tree.problems)]
        return tree

    def _path(self, name: bytes) -> str:
        return f"{self._folder}/{os.fsdecode(name)}"

    def _remote(self) -> str | None:
        """Where the repository comes from; None if git has noted no place, or several without an `origin`."""
        found = self._git.run("config", "-z", "--get-regexp", r"^remote\..*\.url$").stdout
        urls: dict[str, str] = {}
        for line in filter(None, os.fsdecode(found).split("\0")):
            key, _, url = line.partition("\n")
            urls.setdefault(key, url)
        only = next(iter(urls.values())) if len(urls) == 1 else None
        origin = urls.get("remote.origin.url", only)
        return None if origin is None else _text(without_password(origin))


def without_password(url: str) -> str:
    """The URL of a remote without passwords and tokens, which may also stand where a user's name would."""

    def keep_user_of_ssh(found: re.Match[str]) -> str:
        user = found["user"].partition(":")[0]
        return (
            f"{found['scheme']}://{user}@" if "ssh" in found["scheme"] and user else f"{found['scheme']}://"
        )

    if "://" not in url:
        return _USER_OF_SSH.sub(r"\g<user>@", url)
    return re.split(r"[?#]", _USER.sub(keep_user_of_ssh, url), maxsplit=1)[0]


def _uncommitted(changed: list[str], untracked: list[str]) -> str:
    parts = []
    if changed:
        parts.append(f"{counted(len(changed), 'file')} with changes ({_first(changed)})")
    if untracked:
        parts.append(f"{counted(len(untracked), 'file')} that git does not know ({_first(untracked)})")
    return (
        f"not all of it is committed: {' and '.join(parts)}; commit, ignore or exclude them, or take them as "
        "they are: on the command line with --dirty"
    )


def _first(names: list[str]) -> str:
    return few([quoted(name, LONGEST_QUOTED_PATH) for name in names])


def _text(text: str) -> str | None:
    """As it can be kept in a specification; None if it is too long."""
    safe = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return safe if len(safe) <= MAX_PATTERN_CHARS else None


def _parts(name: bytes) -> list[bytes]:
    return name.split(b"/")


def _small_files(tree: Tree) -> Iterable[TreeFile]:
    return (one for one in tree.found if isinstance(one, TreeFile) and one.size_bytes < POINTER_BYTES)


def _is_pointer_at(file: TreeFile) -> bool:
    try:
        with open(file.path, "rb") as opened:  # noqa: PTH123 - bytes
            return is_pointer(opened.read(POINTER_BYTES))
    except OSError:
        return False  # whoever reads it for sending says so
