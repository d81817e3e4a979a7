"""A unit that uses more memory than it may is ended. A lack of memory is named."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from distribute_services.node_runner.keeper import procfs

from .keeping_kit import Kept, keeper

MIB = 1 << 20
HOG = "import time; held = bytearray({mib} << 20); open('held', 'w').close(); time.sleep({s})"
"""Takes so many MiB, and lives on."""

GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with keeper(tmp_path) as kept:
        yield kept


async def test_a_unit_is_ended_when_it_uses_more_memory_than_it_may(kept: Kept) -> None:
    hog = HOG.format(mib=200, s=60)
    ended = await kept.end_of(kept.start(sys.executable, "-c", hog, memory_bytes=100 * MIB))
    assert not isinstance(ended, tuple)
    assert ended["ended_for"] == "memory"
    # By SIGKILL if it used far too much when the keeper looked.
    assert ended["signal"] in {signal.SIGTERM, signal.SIGKILL}
    assert ended["max_rss_bytes"] > 100 * MIB


async def test_the_memory_of_all_processes_counts_together(kept: Kept) -> None:
    """Each takes less than the limit."""
    one = f"{sys.executable} -c '{HOG.format(mib=80, s=60).replace(chr(39), chr(34))}'"
    ended = await kept.end_of(kept.start("sh", "-c", f"{one} & {one} & wait", memory_bytes=120 * MIB))
    assert not isinstance(ended, tuple)
    assert ended["ended_for"] == "memory"


async def test_a_unit_may_use_what_it_asked_for(kept: Kept) -> None:
    hog = HOG.format(mib=50, s=1.5)
    ended = await kept.end_of(kept.start(sys.executable, "-c", hog, memory_bytes=200 * MIB))
    assert not isinstance(ended, tuple)
    assert (ended["ended_for"], ended["exit_code"]) == (None, 0)


@pytest.fixture
def group() -> Iterator[Path]:
    """A group of processes that the kernel lets have 60 MiB."""
    if not os.access(GROUPS, os.W_OK) or not (GROUPS / "memory.limit_in_bytes").exists():
        pytest.skip("no group with a limit of memory can be made: that needs root, and cgroups of version 1")
    path = GROUPS / f"distribute-test-{uuid.uuid4().hex}"
    path.mkdir()
    (path / "memory.limit_in_bytes").write_text(str(60 * MIB))
    yield path
    path.rmdir()


@pytest.mark.parametrize("shell", ["exec", ""], ids=["the first process", "a child of its shell"])
async def test_what_the_kernel_ended_for_lack_of_memory_is_named(kept: Kept, group: Path, shell: str) -> None:
    hog = HOG.format(mib=300, s=60).replace("'", '"')
    command = f"echo $$ > {group}/cgroup.procs; {shell} {sys.executable} -c '{hog}'; exit $?"
    ended = await kept.end_of(kept.start("sh", "-c", command))
    assert not isinstance(ended, tuple)
    assert ended["ended_for"] == "oom"


async def test_another_sigkill_is_no_lack_of_memory(kept: Kept) -> None:
    while True:
        before = procfs.oom_kills()
        ended = await kept.end_of(kept.start("sh", "-c", "sleep 0.2; kill -KILL $$"))
        if procfs.oom_kills() == before:
            break  # else the kernel has ended processes meanwhile: those of another test
    assert not isinstance(ended, tuple)
    assert (ended["ended_for"], ended["signal"]) == (None, signal.SIGKILL)
