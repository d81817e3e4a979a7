"""Where a job's copy can't be mounted over the build, what it writes there is found, named and mended."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from distribute_services.node_runner.disk.builds import Build
from distribute_services.node_runner.disk.pristine import changed_since, complaint, seal
from distribute_services.node_runner.disk.workspace import Workspace


@pytest.fixture
async def build(tmp_path: Path) -> Build:
    """A build that left files, folders and links."""
    slot = tmp_path / "builds" / "1"
    (slot / "job").mkdir(parents=True)
    in_build = Build(Workspace.of(slot))
    run(
        in_build,
        "mkdir -p tree/deep distribute_save input; echo a > a; echo b > tree/b; echo c > tree/deep/c;"
        " ln -s a link; chmod 640 tree/b; printf 'odd' > 'odd\nname'",
    )
    await seal(in_build.workspace)
    return in_build


def run(build: Build, script: str) -> None:
    subprocess.run(["/bin/sh", "-euc", script], cwd=build.workspace.folder, check=True)


def state(build: Build) -> str:
    """What is in the folder of a build."""
    listing = (
        "find . -path '*/__pycache__*' -prune -o -printf '%p %y %m %l\n' | sort; cat a tree/b tree/deep/c"
    )
    return subprocess.check_output(["/bin/sh", "-c", listing], cwd=build.workspace.folder, text=True)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo x > distribute_save/result", ["distribute_save/result"]),
        ("mkdir new; touch new/a new/b", ["new"]),
        ("echo x >> tree/b", ["tree/b"]),
        ("chmod 600 tree/b", ["tree/b"]),
        ("rm tree/deep/c", ["tree/deep/c"]),
        ("rm -r tree", ["tree"]),
        ("rm -r tree; touch tree", ["tree"]),
        ("ln -sfn tree link", ["link"]),
        ("rm a; mkdir a; touch a/b", ["a"]),
        ("mv a moved", ["a", "moved"]),
        ("echo x > 'odd\nname'", ["odd\nname"]),
        ("chmod 700 .", [""]),
        ("cd ..; rm -r job", [""]),
        ("mkdir tree/__pycache__; touch tree/__pycache__/b.pyc", []),
        ("cat a tree/b; touch -a a", []),
    ],
)
async def test_a_change_is_named_and_mended(build: Build, script: str, found: list[str]) -> None:
    before, started_at = state(build), time.time()
    run(build, script)
    assert await changed_since(build, started_at) == found
    assert state(build) == before
    assert await changed_since(build, time.time() + 1) == []


async def test_a_job_that_ran_beside_hears_of_it_and_a_later_one_does_not(build: Build) -> None:
    started_at = time.time()
    run(build, "echo x > distribute_save/result")
    assert await changed_since(build, started_at) == ["distribute_save/result"]
    assert await changed_since(build, started_at) == ["distribute_save/result"], "the job beside it"
    assert await changed_since(build, time.time() + 1) == []


async def test_the_complaint_says_what_to_do(build: Build) -> None:
    path = build.workspace.folder / "out/a.csv"
    assert complaint(build, ["out/a.csv", "b"]) == (
        f"it, or a job beside it, wrote to where the build ran: {path} and 1 more. This node can't give each"
        " job a copy at that path: write below $DISTRIBUTE_SAVE, or to the working directory"
    )


async def test_a_build_without_a_second_copy_has_no_changes(tmp_path: Path) -> None:
    (tmp_path / "1" / "job").mkdir(parents=True)
    assert await changed_since(Build(Workspace.of(tmp_path / "1")), 0.0) == []
