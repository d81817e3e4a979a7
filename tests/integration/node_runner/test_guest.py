"""A unit's processes run on the cores that they were given, and behind the owner's work."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from distribute_services.node_runner.host.keeping import Keeping
from distribute_services.node_runner.host.mpi import mpi_settings

from .keeping_kit import Kept, keeper, until

CPUS = sorted(os.sched_getaffinity(0))

TELL = "grep Cpus_allowed_list /proc/self/status | cut -f 2; cat /proc/self/oom_score_adj; ionice"
"""Prints a process's cpus, its score if memory is short, and its class of disk use."""


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with keeper(tmp_path) as kept:
        yield kept


async def test_a_process_has_its_manners_from_the_first_moment(kept: Kept) -> None:
    """So have its children, though it starts them at once."""
    cpu = CPUS[-1]
    await kept.end_of(kept.start("sh", "-c", f"( {TELL} )", cpus=[cpu], idle_io=True))
    assert (kept.folder / "out").read_text().split() == [str(cpu), "1000", "idle"]


async def test_the_keeper_itself_keeps_its_own(kept: Kept) -> None:
    await kept.end_of(kept.start("true", cpus=CPUS[:1], idle_io=True))
    (pid,) = kept.keeping.pids
    its = psutil.Process(pid)
    assert its.cpu_affinity() == CPUS
    assert its.ionice().ioclass != psutil.IOPRIO_CLASS_IDLE
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == Path("/proc/self/oom_score_adj").read_text()
    assert its.nice() == os.getpriority(os.PRIO_PROCESS, 0)


async def test_the_next_runner_learns_which_cores_a_unit_has(kept: Kept) -> None:
    name = kept.start("sleep", "600", cpus=CPUS[:1])
    again = Keeping(kept.folder / "work" / "keeper")
    await again.open()
    assert again.units[name]["cpus"] == CPUS[:1]
    await again.close()
    await kept.keeping.end(name, grace_s=5)


async def test_a_process_that_was_given_no_cores_runs_on_all(kept: Kept) -> None:
    await kept.end_of(kept.start("sh", "-c", TELL))
    allowed, _, io = (kept.folder / "out").read_text().splitlines()
    status = Path("/proc/self/status").read_text()
    assert f"Cpus_allowed_list:\t{allowed}\n" in status
    assert io != "idle"


async def test_a_process_runs_though_its_cores_are_gone(kept: Kept) -> None:
    """A computer can switch cores off while the node-runner runs."""
    ended, _ = await kept.run("true")
    assert ended["exit_code"] == 0
    gone = await kept.end_of(kept.start("true", cpus=[max(CPUS) + 1000]))
    assert not isinstance(gone, tuple)
    assert gone["exit_code"] == 0


async def test_each_session_of_a_unit_is_nice(kept: Kept) -> None:
    """Where the kernel shares the processor by sessions, its processes need not be nice only, but it, too."""
    name = kept.start("sh", "-c", "setsid sleep 600 & setsid sleep 600 & wait")
    await until(lambda: len(kept.left()) == 3)
    await until(lambda: all(os.getpriority(os.PRIO_PROCESS, pid) == 10 for pid in kept.left()))
    groups = [Path(f"/proc/{pid}/autogroup") for pid in kept.left()]
    if groups[0].exists():
        await until(lambda: [group.read_text().split()[-1] for group in groups] == ["10"] * 3)
    await kept.keeping.end(name, grace_s=5)


def test_openmpi_binds_nothing_unless_a_job_has_the_whole_computer() -> None:
    assert mpi_settings([0, 1], "cores", 4) == {
        "OMPI_MCA_hwloc_base_binding_policy": "none",
        "PRTE_MCA_hwloc_default_binding_policy": "none",
    }
    assert mpi_settings([0, 1, 2, 3], "cores", 4) == {}
    assert mpi_settings([0, 1, 2, 3], "threads", 4) == {"OMPI_MCA_hwloc_base_use_hwthreads_as_cpus": "1"}
