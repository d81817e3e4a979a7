"""A keeper that root started runs units as another user, who sees nothing else of the working folder."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distribute.core.errors import InputError
from distribute_services.node_runner.host.keeping import Refusal
from distribute_services.node_runner.host.run_as import AS_ROOT, job_user, person, warn_of_root

from .as_user import NOBODY, as_nobody
from .keeping_kit import Kept, alive, appearance, keeper, until
from .test_commands import command_in

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run units as another user")


@pytest.fixture(params=["cgroup", "signals"])
async def kept(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    async with keeper(tmp_path, use_cgroups=request.param == "cgroup") as kept:
        yield kept


def workspace(kept: Kept) -> tuple[Path, tuple[object, ...]]:
    """A folder of nobody's in a folder that only root may pass, and what the keeper is told of nobody."""
    kept.folder.chmod(0o700)
    user = job_user("nobody", kept.folder)
    folder = kept.folder / "slot" / "job"
    folder.mkdir(parents=True)
    assert user.owner is not None
    os.chown(folder, *user.owner)
    told = user.told(None)
    assert told is not None
    return folder, told


@needs_root
async def test_a_tree_of_another_user_is_frozen_and_ended(kept: Kept) -> None:
    folder, user = workspace(kept)
    beats = 'trap "" TERM; while :; do sleep 0.05; date +%N > beat; done'
    script = f"trap '' TERM; id -un > who; setsid sh -c '{beats}'"
    name = kept.start("sh", "-c", script, cwd=folder, user=user, grace_s=0.2)
    await appearance(folder / "beat")
    assert (folder / "who").read_text() == "nobody\n"
    assert (folder / "who").stat().st_uid == NOBODY
    await kept.keeping.pause(60, by="", reason="")
    (unit,) = (await kept.keeping.look())["units"]
    assert len(unit["pids"]) >= 2
    before = (folder / "beat").read_text()
    await asyncio.sleep(0.3)  # nothing must happen in this time
    assert (folder / "beat").read_text() == before
    await kept.keeping.resume()
    await until(lambda: (folder / "beat").read_text() not in {"", before})
    await kept.keeping.end(name)
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal)
    assert ended["signal"] == signal.SIGKILL
    assert [pid for pid in unit["pids"] if alive(pid)] == []


@needs_root
async def test_another_user_sees_only_its_own_folder(kept: Kept) -> None:
    folder, user = workspace(kept)
    (kept.folder / "secret").write_text("secret")
    (kept.folder / "slot" / "other").mkdir()
    script = f"ls -A {kept.folder} {kept.folder}/slot; touch {kept.folder}/x {kept.folder}/slot/x; id -G"
    await kept.end_of(kept.start("sh", "-c", script, cwd=folder, user=user))
    printed = (kept.folder / "out").read_text()
    listed = [line for line in printed.splitlines() if "Permission denied" not in line]
    groups = " ".join(map(str, os.getgrouplist("nobody", NOBODY)))
    assert listed == [f"{kept.folder}:", "slot", "", f"{kept.folder}/slot:", "job", groups]
    assert not (kept.folder / "x").exists()
    assert (kept.folder / "out").stat().st_uid == NOBODY, "it may open its /dev/stdout anew"


@needs_root
async def test_a_command_in_a_unit_of_another_user_is_that_users(kept: Kept) -> None:
    folder, user = workspace(kept)
    unit = kept.start("sh", "-c", "touch began; exec sleep 600", cwd=folder, user=user)
    await until((folder / "began").exists)
    async with command_in(kept, unit) as command:
        await command.start("sh", "-c", "id -un; ls -A ..; touch made", cwd=folder)
        assert (await command.end())["exit_code"] == 0
        assert command.printed() == ("nobody\njob\n", "")
    assert (folder / "made").stat().st_uid == NOBODY
    await kept.keeping.end(unit)


def test_an_unknown_user_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        InputError, match=r"run_as: this computer has no user 'nobdy'; did you mean 'nobody'\?"
    ):
        person("nobdy")
    with pytest.raises(InputError, match=r"run_as: this computer has no user 'qzxv-1'$"):
        person("qzxv-1")


@needs_root
def test_a_node_of_another_user_can_not_change_users() -> None:
    def refused() -> None:
        with pytest.raises(
            InputError, match="only a node that root started can run jobs as 'root', and this"
        ):
            person("root")
        assert person("nobody") is None, "it is nobody already"

    as_nobody(refused)
    assert person("root") is None


@needs_root
def test_a_node_that_may_not_mount_says_so(tmp_path: Path) -> None:
    code = "from pathlib import Path; from distribute_services.node_runner.host.run_as import job_user;"
    code += f"job_user('nobody', Path({str(tmp_path)!r}))"
    without = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    refused = subprocess.run(
        [*without, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "run_as: to run jobs as 'nobody', root needs the right to mount" in refused.stderr
    assert "CAP_SYS_ADMIN" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_a_root_that_nobody_chose_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_root("root")
    assert caplog.messages == []
    warn_of_root(None)
    assert caplog.messages == ([AS_ROOT] if os.geteuid() == 0 else [])


@needs_root
def test_a_job_gets_the_name_and_home_of_its_user(tmp_path: Path) -> None:
    base = {"PATH": "/bin", "HOME": "/root", "USER": "root", "SHELL": "/bin/zsh", "TMPDIR": "/own/tmp"}
    found = job_user("nobody", tmp_path).environment(base)
    assert found == {
        "PATH": "/bin",
        "HOME": pwd.getpwnam("nobody").pw_dir,
        "USER": "nobody",
        "LOGNAME": "nobody",
        "SHELL": "/bin/sh",
    }
    assert job_user("root", tmp_path).environment(base) == base
