"""A node runs containers if Apptainer has just run one, and says why not if it has not."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from container_kit import need_apptainer
from distribute_services.node_runner.host import apptainer
from distribute_services.node_runner.host.apptainer import NOT_INSTALLED, why_no_containers
from distribute_services.node_runner.host.detect import detect
from distribute_services.node_runner.host.run_as import person

from .as_user import call_as_nobody, folder_of_nobody


def environment(*folders: Path | str) -> dict[str, str]:
    """The environment of jobs, with folders in front of their PATH."""
    return {"PATH": ":".join([*map(str, folders), os.environ["PATH"]]), "HOME": "/nonexistent"}


def program(folder: Path, script: str) -> Path:
    """A folder with a program `apptainer`."""
    (folder / "apptainer").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "apptainer").chmod(0o755)
    return folder


async def runs_containers() -> None:
    assert await why_no_containers(environment()) is None
    found = (await detect(environment=environment())).capacity
    assert ("apptainer" in found.capabilities, dict(found.lacks)) == (True, {})


async def test_root_runs_containers() -> None:
    need_apptainer()
    await runs_containers()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_a_user_runs_containers() -> None:
    need_apptainer()
    call_as_nobody(runs_containers)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run jobs as another user")
async def test_a_node_of_root_tries_it_as_the_user_of_its_jobs() -> None:
    need_apptainer()
    nobody = person("nobody")
    assert nobody is not None
    assert await why_no_containers(environment(), nobody) is None
    with folder_of_nobody() as folder:
        tell = 'echo "$(id -un) $USER $HOME $(stat -c %U "$APPTAINER_TMPDIR")" > ' + f"{folder}/who"
        await why_no_containers(environment(program(folder, tell)), nobody)
        assert (folder / "who").read_text() == f"nobody nobody {nobody.entry.pw_dir} nobody\n"


def test_a_user_without_user_namespaces_runs_none() -> None:
    """In a user namespace that allows no further ones, without any rights, as on a node that allows none."""
    need_apptainer()
    code = (
        "import asyncio, os; from distribute_services.node_runner.host.apptainer import why_no_containers;"
        "print(asyncio.run(why_no_containers(dict(os.environ))))"
    )
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces"
    weak = 'exec setpriv --bounding-set=-all --inh-caps=-all -- "$@"'
    found = subprocess.run(
        ["unshare", "-r", "sh", "-ec", f"{forbid}; {weak}", "sh", sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.startswith("users can make no containers on this node"), found.stderr


async def finds_fuse_closed() -> None:
    assert (await why_no_containers(environment()) or "").startswith("/dev/fuse is closed to the user")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to close /dev/fuse")
def test_a_user_with_squashfuse_and_a_closed_dev_fuse_runs_none() -> None:
    """In a mount namespace, so it is closed to nobody else."""
    need_apptainer()
    if shutil.which("squashfuse_ll") is None or not Path("/dev/fuse").exists():
        pytest.skip("squashfuse is not installed: apt-get install squashfuse")
    call_as_nobody(finds_fuse_closed, closed=Path("/dev/fuse"))


async def test_a_node_without_apptainer_runs_none(tmp_path: Path) -> None:
    (tmp_path / "cat").symlink_to("/bin/cat")
    only = {"PATH": str(tmp_path)}
    assert await why_no_containers(only) == NOT_INSTALLED
    found = (await detect(environment=only)).capacity
    assert ("apptainer" in found.capabilities, dict(found.lacks)) == (False, {"apptainer": NOT_INSTALLED})


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "it ran no container (exit code 0): it printed nothing"),
        ("echo it runs; exit 3", "it ran no container (exit code 3): it runs"),
        (r"printf '\033[91mno luck\033[0m' >&2; exit 1", "it ran no container (exit code 1): no luck"),
        ("echo 'FATAL:   bad superblock' >&2; exit 255", "the image can't be read"),
    ],
)
async def test_a_program_of_this_name_that_runs_no_container_is_none(
    script: str, reason: str, tmp_path: Path
) -> None:
    found = await why_no_containers(environment(program(tmp_path, script)))
    assert (found or "").startswith(reason)


async def test_a_program_of_this_name_that_hangs_runs_no_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apptainer, "ANSWERS_WITHIN_S", 0.5)
    found = await why_no_containers(environment(program(tmp_path, "exec sleep 60")))
    assert (found or "").startswith("it did not run a container within 0.5 s")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


async def test_nothing_is_left_of_the_trial(temporary: Path) -> None:
    await why_no_containers(environment())
    assert list(temporary.iterdir()) == []


def test_what_a_runner_left_that_was_killed_is_removed_by_the_next_trial(
    temporary: Path, tmp_path: Path
) -> None:
    code = (
        "import asyncio, os; from distribute_services.node_runner.host.apptainer import why_no_containers;"
        "asyncio.run(why_no_containers(dict(os.environ)))"
    )
    kills_its_runner = environment(program(tmp_path, "kill -KILL $PPID"))
    killed = subprocess.run(
        [sys.executable, "-P", "-c", code], env={**os.environ, **kills_its_runner}, check=False
    )
    assert (killed.returncode, len(list(temporary.iterdir()))) == (-signal.SIGKILL, 1)
    asyncio.run(why_no_containers(environment(program(tmp_path, "exit 1"))))
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run jobs as another user")
async def test_the_user_of_jobs_cannot_touch_the_lock_on_the_folder_of_a_trial() -> None:
    nobody = person("nobody")
    assert nobody is not None
    with folder_of_nobody() as folder:
        look = f'ls -A . > {folder}/seen; stat -c "%U %a" . lock > {folder}/rights'
        script = f'cd "$APPTAINER_TMPDIR/../.." && rm -f lock; {look}'
        await why_no_containers(environment(program(folder, script)), nobody)
        assert (folder / "rights").read_text() == "root 711\nroot 600\n"
        assert (folder / "seen").read_text() == "", "it may pass the folder, but not look around"


async def test_without_room_for_a_trial_the_node_runs_no_containers(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", is_full)
    found = await why_no_containers(environment())
    assert (found or "").startswith(f"the files to try it with can't be written: {temporary}/")
    assert (found or "").endswith("the disk is full")
    monkeypatch.setattr("distribute.scratch.temporary_place", lambda: temporary / "missing")
    found = await why_no_containers(environment())
    assert (found or "").startswith("no folder for temporary files can be made in ")
