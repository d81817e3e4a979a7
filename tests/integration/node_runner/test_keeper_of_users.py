"""What the keeper can do is the same for root and for a user, with a cgroup of their own and without."""

from __future__ import annotations

import asyncio
import os
import re
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from distribute_services.node_runner.keeper.cgroup import own_group

from .as_user import call_as_nobody, folder_of_nobody, group_of_nobody, pytest_as_nobody
from .keeping_kit import Tree, keeper

STILL_S = 0.3


async def stops_and_ends_all(folder: Path, use_cgroups: bool, freezes_by: str) -> None:
    """Pause, resume and end a tree that is hard to find."""
    async with keeper(folder, use_cgroups=use_cgroups) as kept:
        assert kept.keeping.current.freezes_by == freezes_by
        tree = Tree(kept.folder / "seen", 20)
        name = kept.start(*tree.argv)
        await tree.runs()
        await kept.keeping.pause(60, by="jane", reason="")
        before = tree.seen()
        await asyncio.sleep(STILL_S)
        assert tree.seen() == before
        await kept.keeping.resume()
        await tree.runs(since=time.monotonic())
        await kept.keeping.pause(60, by="jane", reason="")
        await kept.keeping.end(name, grace_s=5)
        assert kept.left() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be root and others")
@pytest.mark.parametrize("use_cgroups", [True, False], ids=["cgroups", "signals"])
@pytest.mark.parametrize("who", ["root", "user", "user with a group"])
def test_a_tree_is_stopped_and_ended(who: str, use_cgroups: bool, tmp_path: Path) -> None:
    if who == "root":
        kind = "cgroup" if use_cgroups and own_group() is not None else "signals"
        asyncio.run(stops_and_ends_all(tmp_path, use_cgroups, kind))
        return
    with folder_of_nobody() as folder:
        if who == "user":
            call_as_nobody(stops_and_ends_all, folder, use_cgroups, "signals")
            return
        with group_of_nobody() as group:
            kind = "cgroup" if use_cgroups else "signals"
            call_as_nobody(stops_and_ends_all, folder, use_cgroups, kind, group=group)


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as a user anyhow")
@pytest.mark.parametrize("has_group", [True, False], ids=["with a group", "without one"])
def test_the_tests_of_the_keeper_pass_for_a_user(has_group: bool) -> None:
    """Without a group, all of them; with one, those that need not do without it."""
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in ("keeper", "freezing", "memory")]
    with ExitStack() as stack:
        folder = stack.enter_context(folder_of_nobody())
        group = stack.enter_context(group_of_nobody()) if has_group else None
        only = ["-k", "not signals"] if has_group else []
        told = pytest_as_nobody(folder, "-v", *only, *files, group=group)
    kind = "with cgroups" if has_group else "with signals"
    assert re.search(rf"\[{kind}\] PASSED", told), f"none ran {kind}"
