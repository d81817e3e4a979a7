"""A git checkout as an input is sent as of a commit, or with its changes if a person wants that."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from config_kit import put
from distribute.core.errors import InputError
from distribute.core.spec.git_commit import GitCommit
from distribute.inputs.listed import Hasher
from distribute.inputs.patterns import Exclude
from distribute.inputs.tree import folder_tree
from git_kit import (
    commit_all,
    commit_of,
    folder_of,
    found_in,
    git,
    laid_out,
    loaded,
    refusal,
    repository,
)


@pytest.fixture(autouse=True)
def in_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "solver")


def test_a_checkout_is_sent_as_of_a_commit_with_its_modes_and_links(repo: Path) -> None:
    first = git(repo, "rev-parse", "HEAD")
    put(repo, src__a_DOT_txt="two", new_DOT_txt="new")
    commit_all(repo, "v2")
    put(repo, src__a_DOT_txt="three")
    batch = loaded("[{git: solver, ref: v1}]")
    assert (folder_of(batch).alias, commit_of(batch)) == ("solver", GitCommit(commit=first, ref="v1"))
    target = laid_out(batch)
    assert found_in(target) == {"src/a.txt": "one", "run.sh": "#!/bin/sh\n", "link": "one"}
    assert str((target / "link").readlink()) == "src/a.txt"
    assert [(target / name).stat().st_mode & 0o777 for name in ("run.sh", "src/a.txt", "src", ".")] == [
        0o755,
        0o644,
        0o755,
        0o755,
    ]
    assert (target / "run.sh").stat().st_mtime == int(git(repo, "log", "-1", "--format=%ct", "v1"))


def test_a_commit_that_was_laid_out_gives_the_same_listing_again(repo: Path) -> None:
    batch = loaded("[{git: solver}]")
    again = Hasher().listed(folder_tree(str(laid_out(batch)), Exclude(())), "it")
    assert again.sha256 == folder_of(batch).sha256
    assert folder_of(loaded("[{git: solver}]")) == folder_of(batch)


@pytest.mark.parametrize(
    "written",
    [
        "{git: solver, alias: code}",
        "{git: solver, ref: HEAD, alias: code}",
        "{git: {path: solver, ref: HEAD}, alias: code}",
        "{git: {path: solver}, ref: HEAD, alias: code}",
        "{git: {path: ./solver/, ref: null}, path: null, alias: code}",
    ],
)
def test_a_checkout_is_written_in_several_forms(repo: Path, written: str) -> None:
    batch = loaded(f"[{written}]")
    assert folder_of(batch).alias == "code"
    assert commit_of(batch) == GitCommit(commit=git(repo, "rev-parse", "HEAD"), ref="HEAD")


def test_the_folder_of_the_file_may_be_the_checkout_and_gives_its_name(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo)
    put(repo, _DOT_gitignore="distribute-jobs.yaml\n")
    commit_all(repo, "v2")
    assert folder_of(loaded("[{git: .}]")).alias == "solver"


@pytest.mark.parametrize("ref", ["main", "v1", "HEAD~0", "@"])
def test_other_refs_do_not_look_at_what_is_not_committed(repo: Path, ref: str) -> None:
    put(repo, src__a_DOT_txt="changed", new_DOT_txt="new")
    assert found_in(laid_out(loaded(f"[{{git: solver, ref: '{ref}'}}]")))["src/a.txt"] == "one"


def test_a_hash_names_a_commit_too(repo: Path) -> None:
    short = git(repo, "rev-parse", "--short", "HEAD")
    assert commit_of(loaded(f"[{{git: solver, ref: {short}}}]")).commit == git(repo, "rev-parse", "HEAD")


def test_what_is_not_committed_is_refused_by_name(repo: Path) -> None:
    put(repo, src__a_DOT_txt="changed", new_DOT_txt="new", _DOT_gitignore="*.o\n", built_DOT_o="o")
    (repo / "run.sh").unlink()
    assert refusal("[{git: solver}]").endswith(
        "'solver': not all of it is committed: 2 files with changes ('run.sh', 'src/a.txt') and 2 files that "
        "git does not know ('.gitignore', 'new.txt'); commit, ignore or exclude them, or take them as they "
        "are: on the command line with --dirty"
    )
    assert refusal("[{git: solver, ref: HEAD}]").startswith("distribute-jobs.yaml:")


def test_what_is_staged_is_not_committed_either(repo: Path) -> None:
    put(repo, staged_DOT_txt="s")
    git(repo, "add", "staged.txt")
    assert "1 file with changes ('staged.txt')" in refusal("[{git: solver}]")


def test_changes_of_what_is_excluded_do_not_matter(repo: Path) -> None:
    put(repo, src__a_DOT_txt="changed", results__x_DOT_dat="x")
    batch = loaded("[{git: solver, exclude: [src, results/]}]")
    assert not commit_of(batch).dirty
    target = laid_out(batch)
    assert sorted(path.name for path in target.iterdir()) == ["link", "run.sh"]


def test_dirty_takes_the_files_as_they_are_but_for_ignored_ones(repo: Path) -> None:
    put(repo, src__a_DOT_txt="changed", new__b_DOT_txt="new", _DOT_gitignore="*.o\nbuild/\n")
    put(repo, built_DOT_o="o", build__c_DOT_txt="c")
    (repo / "run.sh").unlink()
    batch = loaded("[{git: solver, alias: code}]", dirty=True)
    assert commit_of(batch) == GitCommit(commit=git(repo, "rev-parse", "HEAD"), ref="HEAD", dirty=True)
    assert found_in(laid_out(batch)) == {
        "src/a.txt": "changed",
        "link": "changed",
        "new/b.txt": "new",
        ".gitignore": "*.o\nbuild/\n",
    }


def test_dirty_changes_nothing_if_everything_is_committed(repo: Path) -> None:
    assert folder_of(loaded("[{git: solver}]", dirty=True)) == folder_of(loaded("[{git: solver}]"))


def test_a_folder_in_a_checkout_is_that_part_and_only_its_changes_count(repo: Path) -> None:
    put(repo, run_DOT_sh="changed")
    batch = loaded("[{git: solver/src}]")
    assert (folder_of(batch).alias, commit_of(batch).folder) == ("src", "src")
    assert found_in(laid_out(batch)) == {"a.txt": "one"}
    put(repo, src__a_DOT_txt="changed")
    assert "('a.txt')" in refusal("[{git: solver/src}]")


def test_files_are_sent_as_the_commit_has_them_whatever_attributes_say(repo: Path) -> None:
    put(repo, _DOT_gitattributes="*.txt text eol=crlf\nsrc export-ignore\n", b_DOT_txt="1\n2\n")
    commit_all(repo, "v2")
    Path(repo, "b.txt").unlink()
    git(repo, "checkout", "--", "b.txt")
    assert (repo / "b.txt").read_bytes() == b"1\r\n2\r\n"
    target = laid_out(loaded("[{git: solver}]"))
    assert (target / "b.txt").read_bytes() == b"1\n2\n"
    assert (target / "src/a.txt").read_text() == "one"


def test_a_name_of_any_bytes_is_sent(repo: Path) -> None:
    path = os.fsencode(repo) + b'/\xff\n" x'
    with open(path, "w") as file:  # noqa: PTH123 - bytes
        file.write("x")
    assert "\\udcff" in refusal("[{git: solver}]")
    commit_all(repo, "v2")
    assert b'\xff\n" x' in os.listdir(os.fsencode(laid_out(loaded("[{git: solver}]"))))  # noqa: PTH208


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{git: nowhere}", "there is no such folder"),
        ("{git: plain}", "is not in a git checkout; write the folder of one, or path: instead of git:"),
        ("{git: solver/run.sh}", "there is no such folder"),
        ("{git: solver, ref: v9}", "has no branch, tag or commit 'v9' here; `git branch -a`"),
        ("{git: solver, ref: --all}", "has no branch, tag or commit '--all' here"),
        ("{git: solver, ref: 'v1:src'}", "has no branch, tag or commit 'v1:src' here"),
        ("{git: solver/.git}", "is the inside of a repository, without files"),
        ("{git: bare.git}", "is a bare repository, without files; write the folder of a checkout"),
        ("{git: empty}", "has no commit yet"),
        ("{git: shallow, ref: v1}", "it is a shallow clone; `git -C "),
        ("{git: solver/later, ref: v1}", "has no folder 'later'; write another ref, or another folder"),
        ("{git: solver, exclude: ['*']}", "'exclude' leaves nothing of it in commit "),
        ("{git: solver, path: plain}", "'path' and 'git' can't stand together; write one of them"),
        ("{path: plain, ref: v1}", "'ref' is for a git checkout; write git: FOLDER instead of path"),
        ("{git: {path: solver, ref: v1}, ref: v2}", "it has two refs; write one of them"),
        ("{git: {ref: v1}}", "needs the key 'path'; write path: ."),
        ("{git: {path: solver, rev: v1}}", "has no key 'rev'; write 'ref'"),
        ("{git: [solver]}", "takes the folder of a checkout, or {path: FOLDER, ref: REF}, not a list"),
        ("{alias: code}", "needs the key 'path'"),
    ],
)
def test_what_is_no_checkout_is_refused_with_its_place(repo: Path, written: str, expected: str) -> None:
    put(repo, later__x_DOT_txt="x", src__a_DOT_txt="two")
    commit_all(repo, "v2")
    put(Path(), plain__x_DOT_txt="x", empty__x_DOT_txt="x")
    git(Path("empty"), "init", "--quiet")
    git(Path(), "clone", "--quiet", "--bare", "solver", "bare.git")
    git(Path(), "clone", "--quiet", "--depth", "1", "--no-tags", repo.as_uri(), "shallow")
    problem = refusal(f"[{written}]")
    assert problem.startswith("distribute-jobs.yaml:")
    assert expected in problem


def test_a_damaged_repository_is_refused(repo: Path) -> None:
    shutil.rmtree(repo / ".git/objects")
    (repo / ".git/objects").mkdir()
    assert "git can't read its commit" in refusal("[{git: solver}]")


def test_a_linked_worktree_and_a_repository_of_sha256_are_checkouts_too(repo: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "../linked", "-b", "other")
    assert commit_of(loaded("[{git: linked}]")).commit == git(repo, "rev-parse", "HEAD")
    Path("long").mkdir()
    git(Path("long"), "init", "--quiet", "--object-format=sha256")
    put(Path("long"), x_DOT_txt="x")
    commit = commit_all(Path("long"), "v1")
    assert (len(commit), commit_of(loaded("[{git: long}]")).commit) == (64, commit)


def test_conflicts_of_a_merge_are_changes(repo: Path) -> None:
    git(repo, "checkout", "--quiet", "-b", "other")
    put(repo, src__a_DOT_txt="two")
    commit_all(repo, "v2")
    git(repo, "checkout", "--quiet", "main")
    put(repo, src__a_DOT_txt="three")
    commit_all(repo, "v3")
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "merge", "other")
    assert "1 file with changes ('src/a.txt')" in refusal("[{git: solver}]")
    assert ">>>>>>>" in found_in(laid_out(loaded("[{git: solver}]", dirty=True)))["src/a.txt"]


def test_two_checkouts_of_one_name_are_refused(repo: Path) -> None:
    put(repo, src__a_DOT_txt="two")
    commit_all(repo, "v2")
    problem = refusal("[{git: solver, ref: v1}, {git: solver, ref: v2}]")
    assert "two files would become './input/solver'" in problem
    assert "add an alias: {git: 'solver', alias: 'other-solver'}" in problem


def test_the_files_of_a_commit_are_kept_as_long_as_the_batch_and_no_longer(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(Path("tmp").absolute()))
    batch = loaded("[{git: solver}]")
    assert len(list(Path("tmp").iterdir())) == 1
    del batch
    gc.collect()
    assert list(Path("tmp").iterdir()) == []
    with pytest.raises(InputError):
        loaded("[{git: solver}, {git: nowhere}]")
    gc.collect()
    assert list(Path("tmp").iterdir()) == []
