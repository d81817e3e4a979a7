"""A person's computer on which nothing says where the cluster is."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def nobody_says_where_the_cluster_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("DISTRIBUTE_SERVER", raising=False)
    monkeypatch.delenv("DISTRIBUTE_CREDS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder_with_a_solver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody_says_where_the_cluster_is: None
) -> Path:
    """The folder of a person with a program, a script and some cases."""
    here = tmp_path / "here"
    (here / "cases").mkdir(parents=True)
    monkeypatch.chdir(here)
    for name in ("run.py", "mesh.dat", "solver", "cases/coarse.dat", "cases/fine.dat"):
        (here / name).write_text(name)
    (here / "solver").chmod(0o755)
    (here / "lines").write_text("100 0.5\n\n  400 x\n")
    (here / "table.csv").write_text("re,n\n100,48\n400,64\n")
    return here
