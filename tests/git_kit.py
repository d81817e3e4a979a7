"""Real git repositories for tests, whatever settings a person has, and batches that have them as inputs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from config_kit import job, put, write
from distribute.config.loading import LoadedBatch, load
from distribute.core.errors import InputError
from distribute.core.spec.git_commit import GitCommit
from distribute.core.spec.specs import InputFolder
from distribute.inputs.laying_out import lay_out
from distribute.inputs.sources import as_files

_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Jane",
    "GIT_AUTHOR_EMAIL": "jane@example.org",
    "GIT_COMMITTER_NAME": "Jane",
    "GIT_COMMITTER_EMAIL": "jane@example.org",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
}


def git(folder: Path, *args: str) -> str:
    """Run git in a folder. Returns what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ended = subprocess.run(
        ["git", *args], cwd=folder, env=environment | _ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return ended.stdout.strip()


def commit_all(folder: Path, tag: str) -> str:
    """Commit everything, and tag it. Returns the hash."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", tag)
    git(folder, "tag", tag)
    return git(folder, "rev-parse", "HEAD")


def repository(folder: Path) -> Path:
    """A new repository, with a tagged commit: a file in a folder, a program and a link."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    put(folder, src__a_DOT_txt="one", run_DOT_sh="#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/a.txt")
    commit_all(folder, "v1")
    return folder


def loaded(files: str, *, dirty: bool = False) -> LoadedBatch:
    """A batch here whose job has these inputs."""
    return load(write(Path(), job(f"required_files: {files}")), dirty=dirty)


def folder_of(batch: LoadedBatch) -> InputFolder:
    """The only input of its job."""
    (folder,) = batch.spec.work.jobs[0].folders or ()
    return folder


def commit_of(batch: LoadedBatch) -> GitCommit:
    """The commit of that input."""
    found = folder_of(batch).git
    assert found is not None, "it is a git checkout"
    return found


def laid_out(batch: LoadedBatch) -> Path:
    """What a job finds."""
    Path("parts").mkdir()
    files = as_files(batch.sources, Path("parts"))
    target = Path("laid-out")
    lay_out(files[folder_of(batch).sha256], files, target)
    return target


def found_in(folder: Path) -> dict[str, str]:
    """The files in a folder, with their contents."""
    return {
        str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if not path.is_dir()
    }


def refusal(files: str, *, dirty: bool = False) -> str:
    """The only problem of a file of a batch."""
    with pytest.raises(InputError) as caught:
        loaded(files, dirty=dirty)
    (problem,) = caught.value.problems
    return problem
