"""Jobs are held alike in each way: by root and by a user, with cgroups and without.

The other tests cover one way. Here, those that pause, end and take up jobs run in the other three.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration.node_runner.as_user import (
    WITHOUT_CGROUPS,
    folder_of_nobody,
    group_of_nobody,
    pytest_as_nobody,
    pytest_without_cgroups,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be root and others")

HOLD_JOBS = ("ends", "grace", "jobs_outlive", "keeper_killed", "pausing", "running_jobs")


@pytest.mark.parametrize("name", HOLD_JOBS)
@pytest.mark.parametrize("has_group", [True, False], ids=["with cgroups", "without"])
def test_a_user_holds_jobs(name: str, has_group: bool) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(folder_of_nobody())
        group = stack.enter_context(group_of_nobody()) if has_group else None
        check_all_passed(pytest_as_nobody(folder, *file_of(name), group=group))


@pytest.mark.parametrize("name", HOLD_JOBS)
def test_root_holds_jobs_without_cgroups(name: str, tmp_path: Path) -> None:
    check_all_passed(pytest_without_cgroups(tmp_path, *file_of(name)))


def test_the_keeper_finds_no_group_without_cgroups() -> None:
    find = "from distribute_services.node_runner.keeper.cgroup import own_group; print(own_group())"
    found = subprocess.run(
        [*WITHOUT_CGROUPS, sys.executable, "-P", "-c", find], capture_output=True, text=True
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "None\n", "")


def file_of(name: str) -> tuple[str, str]:
    return "-q", str(Path(__file__).with_name(f"test_{name}.py"))


def check_all_passed(told: str) -> None:
    assert re.search(r"^\d+ passed in", told, re.MULTILINE), told
