"""What a git repository lacks is refused by name, and nothing that it names is run, fetched or kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from config_kit import put
from git_kit import commit_all, commit_of, found_in, git, laid_out, loaded, refusal, repository


@pytest.fixture(autouse=True)
def in_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "solver")


def test_without_the_program_git_the_error_says_so(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(repo, git='#!/bin/sh\nexec /usr/bin/git "$@"\n')
    (repo / "git").chmod(0o755)
    monkeypatch.chdir(repo)
    monkeypatch.setenv("PATH", ".:")  # a checkout's own program must not be taken
    assert "needs the program git, which is not on this computer; install it" in refusal("[{git: .}]")


def test_an_old_git_and_a_strange_one_are_refused(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Path("bin/git").absolute()
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent))
    for said, expected in (("git version 2.25.1", "git 2.25.1 is too old"), ("hello", "is no git: it calls")):
        program.write_text(f"#!/bin/sh\necho {said}\n")
        program.chmod(0o755)
        assert expected in refusal("[{git: solver}]")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_checkout_of_another_user_is_refused_as_git_does(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path("home").absolute()))  # with no safe.directory of the person
    for path in (repo, repo / ".git"):
        os.chown(path, 12345, 12345)
    problem = refusal("[{git: solver}]")
    assert "belongs to another user, so git does not read it" in problem
    assert f"git config --global --add safe.directory {repo}" in problem


def test_submodules_are_refused_by_name_unless_they_are_excluded(repo: Path) -> None:
    other = repository(Path("lib").absolute())
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "libs/lib")
    commit_all(repo, "v2")
    assert f"'{repo}/libs/lib' is a repository of its own (a submodule)" in refusal("[{git: solver}]")
    assert "is a repository of its own" in refusal("[{git: solver}]", dirty=True)
    put(repo, src__a_DOT_txt="changed")
    assert "is a repository of its own" in refusal("[{git: solver}]", dirty=True)
    assert commit_of(loaded("[{git: solver, exclude: [libs/]}]", dirty=True)).dirty


def test_pointers_of_git_lfs_are_refused_by_name(repo: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    put(repo, mesh_DOT_dat=pointer)
    commit_all(repo, "v2")
    expected = f"'{repo}/mesh.dat' is kept by Git LFS, and the commit has only a pointer to it"
    assert expected in refusal("[{git: solver}]")
    put(repo, src__a_DOT_txt="changed")
    assert expected in refusal("[{git: solver}]", dirty=True)
    put(repo, mesh_DOT_dat="the content")
    assert found_in(laid_out(loaded("[{git: solver}]", dirty=True)))["mesh.dat"] == "the content"


def test_a_committed_link_that_leads_out_is_refused_by_its_path_in_the_checkout(repo: Path) -> None:
    (repo / "out").symlink_to("/etc/hostname")
    commit_all(repo, "v2")
    assert f"'{repo}/out' is a link that leads out of the folder" in refusal("[{git: solver}]")


def test_a_clone_without_all_contents_is_refused_and_nothing_is_fetched(repo: Path) -> None:
    git(repo, "config", "uploadpack.allowFilter", "true")
    put(repo, src__a_DOT_txt="two")
    commit_all(repo, "v2")
    git(Path(), "clone", "--quiet", "--filter=blob:none", repo.as_uri(), "partial")
    assert commit_of(loaded("[{git: partial}]")).remote == repo.as_uri()
    assert "this clone lacks the content of" in refusal("[{git: partial, ref: v1}]")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.org/solver.git", "https://example.org/solver.git"),
        ("https://jane:secret@example.org/solver.git", "https://example.org/solver.git"),
        ("https://secret@example.org:8443/solver.git", "https://example.org:8443/solver.git"),
        ("https://jane:se@cret@example.org/solver.git?token=secret", "https://example.org/solver.git"),
        ("ssh://git:secret@example.org/solver.git", "ssh://git@example.org/solver.git"),
        ("git@example.org:group/solver.git", "git@example.org:group/solver.git"),
        ("jane:secret@example.org:solver.git", "jane@example.org:solver.git"),
        ("../solver.git", "../solver.git"),
    ],
)
def test_the_url_of_the_remote_is_kept_without_its_password(repo: Path, url: str, kept: str) -> None:
    git(repo, "remote", "add", "other", "https://example.org/other.git")
    git(repo, "remote", "add", "origin", url)
    assert commit_of(loaded("[{git: solver}]")).remote == kept


def test_no_program_that_a_repository_names_is_run(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = Path("it-ran").absolute()
    evil = Path("evil").absolute()
    evil.write_text(f'#!/bin/sh\necho "$@" >> {marker}\ncat\n')
    evil.chmod(0o755)
    put(repo, _DOT_gitattributes="*.txt filter=evil diff=evil\n")
    commit_all(repo, "v2")
    put(repo, src__a_DOT_txt="two")
    for key in ("core.fsmonitor", "core.pager", "diff.external", "core.sshCommand", "gpg.program"):
        git(repo, "config", key, str(evil))
    for key in ("filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv"):
        git(repo, "config", key, str(evil))
    git(repo, "config", "filter.evil.required", "true")
    git(repo, "config", "log.showSignature", "true")
    hooks = repo / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    shutil.copy(evil, hooks / "post-index-change")
    marker.unlink(missing_ok=True)  # to set it up, git ran it
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(evil))
    index = (repo / ".git/index").read_bytes()
    assert "1 file with changes ('src/a.txt')" in refusal("[{git: solver}]")
    assert commit_of(loaded("[{git: solver}]", dirty=True)).dirty
    assert commit_of(loaded("[{git: solver, ref: v1}]")).ref == "v1"
    assert not marker.exists()
    assert (repo / ".git/index").read_bytes() == index
    subprocess.run(["git", "status"], cwd=repo, capture_output=True, check=False)
    assert marker.exists(), "git itself runs such a program: the test would see it"


def test_variables_of_git_do_not_lead_elsewhere(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = repository(Path("other").absolute())
    put(other, src__a_DOT_txt="other")
    commit_all(other, "v2")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert commit_of(loaded("[{git: solver}]")).commit == git(repo, "rev-parse", "HEAD")
