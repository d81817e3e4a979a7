"""A git checkout travels with a batch, and `status` tells which commit it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.person import PATIENCE_S, Person
from config_kit import put
from git_kit import git, repository

FILE = """\
meta: {namespace: jane, batch_name: BATCH, resources: {cpus: 1}}
command:
  initialize: {required_files: [{git: {path: solver, ref: HEAD}, alias: code}]}
  jobs: [{name: x, command: "cat input/code/src/a.txt"}]
"""


@pytest.fixture
def repo(jane: Person) -> Path:
    folder = repository(jane.home / "solver")
    git(folder, "remote", "add", "origin", "https://jane:secret@example.org/solver.git")
    return folder


@pytest.fixture
def cluster(jane: Person) -> Iterator[None]:
    jane.runs("up", "--nodes", "1", "--cpus", "2", "--detach")
    yield
    jane.starts("down").communicate(timeout=PATIENCE_S)


def writes(jane: Person, batch: str) -> str:
    (jane.home / f"{batch}.yaml").write_text(FILE.replace("BATCH", batch))
    return f"{batch}.yaml"


AT = (
    *("--cluster-username", "jane", "--cluster-address", "lab"),
    *("--cluster-upload-destination", "/home/jane"),
)


@pytest.mark.usefixtures("cluster")
def test_status_tells_of_the_commit_and_of_changes_that_came_along(jane: Person, repo: Path) -> None:
    commit = git(repo, "rev-parse", "HEAD")
    jane.runs("add", writes(jane, "committed"), "--wait")
    assert jane.runs("logs", "jane/committed/x").stdout == "one"
    told = {
        "input": "code", "commit": commit, "ref": "HEAD", "dirty": False, "folder": "",
        "remote": "https://example.org/solver.git",
    }  # fmt: skip
    assert jane.asks("status", "jane/committed")["git"] == [told]
    assert jane.asks("status", "jane/committed/x")["git"] == [told]
    shown = " ".join(jane.runs("status", "jane/committed/x").stdout.split())
    assert f"commit code: {commit} (HEAD) of https://example.org/solver.git" in shown
    assert "with changes" not in shown

    put(repo, src__a_DOT_txt="changed")
    assert "1 file with changes ('src/a.txt')" in jane.runs("add", writes(jane, "changed"), code=2).stderr
    assert "there is no batch jane/changed" in jane.runs("status", "jane/changed", code=4).stderr
    jane.runs("add", "changed.yaml", "--dirty", "--wait")
    assert jane.runs("logs", "jane/changed/x").stdout == "changed"
    shown = " ".join(jane.runs("status", "jane/changed/x").stdout.split())
    assert f"code: {commit} (HEAD) of https://example.org/solver.git, with changes" in shown
    assert jane.asks("status", "jane/changed")["git"] == [told | {"dirty": True}]

    jane.runs("add", jane.writes("plain", {"x": "true"}), "--wait")
    assert jane.asks("status", "jane/plain")["git"] == []
    assert jane.asks("status", "jane/plain/x")["git"] == []


def test_run_and_slurm_refuse_changes_or_take_them(jane: Person, repo: Path) -> None:
    put(repo, src__a_DOT_txt="changed")
    file = writes(jane, "here")
    for verb in (["run", file], ["slurm", "out", file, *AT]):
        refused = jane.runs(*verb, code=2)
        assert "1 file with changes ('src/a.txt')" in refused.stderr
        assert "--dirty" in refused.stderr
    jane.runs("run", file, "--dirty")
    assert (jane.home / "distribute-run/here/x/stdout.txt").read_text() == "changed"
    jane.runs("slurm", "out", file, "--dirty", *AT)
    (found,) = (jane.home / "out/files").glob("*/src/a.txt")
    assert found.read_text() == "changed"
    refused = jane.runs("slurm", "--collect", "out", "--dirty", code=2)
    assert "--collect DIR stands alone" in refused.stderr
