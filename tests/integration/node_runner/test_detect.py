"""Detection of a computer's hardware and load. A script stands in for `nvidia-smi`."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from distribute.core.ids import check_name
from distribute_services.node_runner.host import ask as ask_module
from distribute_services.node_runner.host import limits
from distribute_services.node_runner.host.detect import Sampler, default_node_name, detect, find_programs
from distribute_services.node_runner.host.gpus import Gpu
from distribute_services.node_runner.host.lending import Wishes
from distribute_services.node_runner.host.run_as import person
from distribute_services.node_runner.host.topology import read_cores

from .as_user import folder_of_nobody


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder; PATH names nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write_program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


NVIDIA = """
case "$1" in
--query-gpu=name) printf 'NVIDIA A100-SXM4-40GB\\nNVIDIA A100-SXM4-40GB\\n' ;;
--query-gpu=utilization.gpu) printf '37\\n[N/A]\\n' ;;
esac
"""


async def test_this_computers_hardware_is_detected() -> None:
    lent = await detect()
    found = lent.capacity
    assert 1 <= found.cpus <= len(os.sched_getaffinity(0))
    assert 0 < found.memory_bytes <= psutil.virtual_memory().total
    assert len(lent.cores) == found.cpus
    assert check_name(default_node_name())


async def test_only_cpus_that_the_affinity_allows_are_counted() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert (await detect()).capacity.cpus == 1
    finally:
        os.sched_setaffinity(0, before)


async def test_options_replace_what_is_detected(programs: Path) -> None:
    write_program(programs, "nvidia-smi", NVIDIA)
    wishes = Wishes(cpus=64, memory_bytes=1 << 40, gpus=1)
    found = (await detect(wishes, frozenset({"matlab"}))).capacity
    assert (found.cpus, found.memory_bytes, found.gpus) == (64, 1 << 40, ("NVIDIA A100-SXM4-40GB",))
    assert found.capabilities == {"matlab", "gpu"}


async def test_capabilities_follow_from_the_programs_on_the_path(programs: Path) -> None:
    assert (await detect()).capacity.capabilities == set()
    write_program(programs, "nvidia-smi", NVIDIA)
    (programs / "python3").symlink_to(sys.executable)
    found = (await detect()).capacity
    assert found.gpus == ("NVIDIA A100-SXM4-40GB",) * 2
    version = f"python3.{sys.version_info.minor}"
    assert found.capabilities == {"gpu", "python3", version}


async def test_each_version_of_python_on_the_path_is_a_capability(programs: Path) -> None:
    write_program(programs, "python3", "echo Python 3.11.9")
    write_program(programs, "python3.13", "echo Python 3.13.1")
    write_program(programs, "python3.9", "echo Python 3.8.20")  # some other one
    write_program(programs, "python3.8", "echo 'pyenv: 3.8 is not installed' >&2; exit 127")
    (programs / "python3.12").write_bytes(b"\x00 no program")
    (programs / "python3.12").chmod(0o755)
    (programs / "python3.14").symlink_to(programs / "gone")
    write_program(programs, "python3.13-config", "echo Python 3.13.1")
    found = (await detect()).capacity
    assert found.capabilities == {"python3", "python3.11", "python3.13"}


async def test_folders_of_programs_that_are_not_there_hide_no_python(programs: Path, tmp_path: Path) -> None:
    write_program(programs, "python3.13", "echo Python 3.13.1")
    path = f"{tmp_path}/gone:/proc/none:{programs}"
    assert (await detect(environment={"PATH": path})).capacity.capabilities == {"python3.13"}


async def test_programs_are_looked_for_where_jobs_find_them(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "of_the_admin").mkdir()
    (tmp_path / "of_the_admin" / "python3").symlink_to(sys.executable)
    (programs / "python3").symlink_to("/bin/false")
    path = f"{tmp_path}/of_the_admin:{programs}"
    assert "python3" in (await detect(environment={"PATH": path})).capacity.capabilities
    assert "python3" not in (await detect()).capacity.capabilities


@pytest.mark.parametrize("script", ["echo Python 2.7.18", "echo choose a version first", "exit 1"])
async def test_a_program_called_python3_that_is_none_is_no_capability(programs: Path, script: str) -> None:
    write_program(programs, "python3", script)
    assert (await detect()).capacity.capabilities == set()


@pytest.mark.parametrize("script", ["echo no devices were found >&2; exit 9", "exec /bin/sleep 60"])
async def test_a_broken_driver_is_logged(
    programs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, script: str
) -> None:
    monkeypatch.setattr(ask_module, "ASK_TIMEOUT_S", 0.2)
    write_program(programs, "nvidia-smi", script)
    found = (await detect()).capacity
    assert found.gpus == ()
    assert "nvidia-smi" in caplog.text


async def test_a_file_called_python3_that_is_no_program_is_no_capability(
    programs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (programs / "python3").write_bytes(b"\x00 no program")
    (programs / "python3").chmod(0o755)
    assert (await detect()).capacity.capabilities == set()
    assert "this node ignores python3, which can't be run: it is not a program" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run jobs as another user")
async def test_a_node_of_root_looks_for_programs_with_the_rights_of_the_user_of_its_jobs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nobody = person("nobody")
    assert nobody is not None
    with folder_of_nobody() as folder:
        closed, own = folder / "closed", folder / "own"
        for place in (closed, own):
            place.mkdir()
            write_program(place, "python3", f'echo "$USER $HOME $(/usr/bin/id -un)" > {folder}/who; exit 1')
            write_program(place, "apptainer", "exit 0")
            (place / "cat").symlink_to("/bin/cat")
        closed.chmod(0o700)
        roots = {"USER": "root", "HOME": "/root"}
        found = await find_programs({**roots, "PATH": f"{closed}:/bin"}, nobody)
        assert f"may not run {closed}/apptainer" in found.lacks["apptainer"]
        assert not (folder / "who").exists()
        found = await find_programs({**roots, "PATH": str(closed)}, nobody)
        assert found.capabilities == set()
        assert f"may not run {closed}/python3" in caplog.text
        await find_programs({**roots, "PATH": f"{closed}:{own}"}, nobody)
        assert (folder / "who").read_text() == f"nobody {nobody.entry.pw_dir} nobody\n", "the next one"


CGROUPS = [
    ("0::/user/job", {"user/job/cpu.max": "150000 100000", "user/cpu.max": "max 100000"}, 1, None),
    ("0::/user/job", {"user/job/cpu.max": "max 100000", "cpu.max": "50000 100000"}, 1, None),
    ("0::/user/job", {"user/memory.max": "1048576", "user/job/memory.max": "max"}, None, 1 << 20),
    ("4:memory:/job", {"memory/job/memory.limit_in_bytes": "2097152"}, None, 2 << 20),
    ("4:memory:/job", {"memory/job/memory.limit_in_bytes": "9223372036854771712"}, None, None),
    (
        "2:cpu,cpuacct:/host/path",
        {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
        1,
        None,
    ),
    ("2:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
]


@pytest.mark.parametrize(("own", "files", "cpus", "memory"), CGROUPS)
async def test_cgroup_limits_bound_cpus_and_memory(
    tmp_path: Path,
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    files: dict[str, str],
    cpus: int | None,
    memory: int | None,
) -> None:
    """With cgroup files that the test writes: real limits need root, and depend on the cgroup version."""
    (tmp_path / "own").write_text(f"{own}\n")
    for name, content in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(f"{content}\n")
    monkeypatch.setattr(limits, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "_OWN_CGROUPS", tmp_path / "own")
    found = (await detect()).capacity
    allowed = len(read_cores(os.sched_getaffinity(0)))
    assert found.cpus == min(allowed, math.inf if cpus is None else cpus)
    assert found.memory_bytes == (psutil.virtual_memory().total if memory is None else memory)


async def test_load_memory_and_gpu_use_are_measured(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path, ())
    busy_until = time.process_time() + 0.1
    while time.process_time() < busy_until:
        pass
    figures = await sampler.sample()
    assert 0 < figures.cpu_percent <= 100
    assert figures.load >= 0
    assert 0 < figures.memory_available_bytes < psutil.virtual_memory().total
    assert figures.disk_free_bytes > 0
    assert figures.gpu_percent == ()
    assert figures.owner_idle_s is None or figures.owner_idle_s >= 0


async def test_gpus_are_asked_now_and_then(programs: Path, tmp_path: Path) -> None:
    write_program(programs, "nvidia-smi", NVIDIA + f"echo asked >> {tmp_path}/asked")
    sampler = Sampler(tmp_path, [Gpu("A100", 0, word) for word in ("1", "0")])
    for _ in range(5):
        assert (await sampler.sample()).gpu_percent == (0.0, 37.0), (
            "of those that the node lends, in its order"
        )
    assert (tmp_path / "asked").read_text() == "asked\n"
