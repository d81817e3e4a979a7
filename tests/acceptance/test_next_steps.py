"""What quickstart tells people to do next works in that order, in a new shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.pages import ROOT
from acceptance.person import kill_clusters

STEP = "  "
"""How a line with a command begins, and what stands before its explanation."""


def next_steps(environment: Path, shell: str = "/bin/bash") -> list[str]:
    """The commands that quickstart prints at its end."""
    printed = subprocess.run(
        ["/bin/sh", "-c", '. infra/environment.sh; next_steps "$1"', "sh", str(environment)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SHELL": shell},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [
        line.strip().partition(STEP)[0]
        for line in printed.splitlines()
        if line.startswith(STEP) and line.strip()
    ]


def test_next_steps_work_as_pasted_into_a_new_shell(tmp_path: Path) -> None:
    environment = tmp_path / "it's an environment"
    environment.symlink_to(sys.prefix)
    variables = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin", "LOGNAME": "jane"}
    try:
        ended = subprocess.run(
            ["/bin/bash", "-e", "-v"],
            input="\n".join(next_steps(environment)),
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    finally:
        kill_clusters(variables)  # if a step has failed
    assert ended.returncode == 0, ended.stderr
    assert "jane/pendulum-python completed: 2 of 2 jobs succeeded" in ended.stdout
    assert "released at 150 degrees, it is back after 3.535 s" in ended.stdout
    assert len(list((tmp_path / "pendulum/pendulum-python").glob("*/motion.csv"))) == 2
    assert "has ended" in ended.stdout


@pytest.mark.parametrize(
    ("shell", "first"),
    [
        ("/usr/bin/fish", "source '/x/bin/activate.fish'"),
        ("/bin/tcsh", "source '/x/bin/activate.csh'"),
        ("/bin/zsh", ". '/x/bin/activate'"),
    ],
)
def test_the_environment_is_entered_as_the_persons_shell_does_it(shell: str, first: str) -> None:
    assert next_steps(Path("/x"), shell)[0] == first


@pytest.mark.slow
def test_a_demo_can_be_run_again(tmp_path: Path) -> None:
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "distribute_cli", "demo"],
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert "published -0.11793" in ended.stdout
