"""Builds are kept for the next batch, within a limit, and never removed while something uses them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from distribute.core.ids import BatchId
from distribute.core.spec.recipe import build_of
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork
from distribute.memory.store import FileStore
from distribute_services.node_runner.disk.builds import Build, Builds
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.limit import Limit
from distribute_services.node_runner.disk.workspace import Workspaces
from distribute_services.node_runner.host import software
from distribute_services.node_runner.host.software import build_key

from .conftest import AddInput

KIB = 1 << 10
BEFORE = BatchId("lab", "before")
RECIPE = build_of(
    BatchSpec(
        namespace="lab",
        batch="sweep",
        work=CommandWork(build="make", jobs=(CommandJob(name="a", command="true"),)),
    )
)
assert RECIPE is not None


class Node:
    """What a node keeps, in a folder. A new one is what a new runner finds there."""

    def __init__(self, folder: Path, max_bytes: int = 1 << 30) -> None:
        self.folder = folder
        self.limit = Limit(max_bytes)
        self.store = FileStore(folder / "store")
        self.cache = InputCache(folder / "cache", self.store, self.limit)
        self.builds = Builds(folder / "builds", self.limit)
        self.places = Workspaces(folder / "builds", self.cache)

    async def build(self, size_bytes: int = 0) -> Build:
        """A build that has run, and left a file of this size."""
        assert RECIPE is not None
        build = Build(await self.places.make(RECIPE, None))
        (build.workspace.folder / "program").write_bytes(os.urandom(size_bytes))
        return build

    async def kept(self, key: str, size_bytes: int = 0) -> Build:
        """A build that is kept under this key, and that nothing uses."""
        build = await self.build(size_bytes)
        await self.builds.keep(build, key, BEFORE)
        await self.builds.release(build)
        await self.builds.settle()
        return build

    def on_disk(self) -> set[Path]:
        return set((self.folder / "builds").iterdir())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_a_kept_build_is_found_where_it_ran(node: Node) -> None:
    build = await node.kept("key")
    assert node.builds.find("another key") is None
    assert node.builds.find("key") is build
    assert (build.of, build.users) == (BEFORE, 1)
    assert (build.workspace.folder / "program").exists()


async def test_a_build_that_is_not_kept_goes_with_its_last_user(node: Node) -> None:
    build = await node.build()
    node.builds.use(build)
    await node.builds.release(build)
    assert build.workspace.folder.is_dir()
    await node.builds.release(build)
    assert node.on_disk() == set()


async def test_a_later_build_of_the_same_key_replaces_the_earlier(node: Node) -> None:
    first = await node.kept("key")
    in_use = node.builds.find("key")
    second = await node.kept("key")
    assert node.builds.find("key") is second
    assert in_use is first
    assert first.workspace.folder.is_dir(), "something uses it"
    await node.builds.release(first)
    third = await node.kept("key")
    await node.builds.release(second)
    await node.builds.settle()
    assert node.on_disk() == {third.workspace.slot}


async def test_the_next_runner_finds_what_was_kept_and_removes_the_rest(node: Node) -> None:
    kept = await node.kept("key")
    await node.build()
    later = Node(node.folder)
    await later.builds.load()
    assert later.on_disk() == {kept.workspace.slot}
    found = later.builds.find("key")
    assert found is not None
    assert (found.workspace, found.of, found.size_bytes) == (kept.workspace, BEFORE, kept.size_bytes)
    assert (await later.build()).workspace.slot != kept.workspace.slot
    assert later.builds.find("another") is None


async def test_the_next_runner_leaves_what_its_jobs_use_recorded_or_not(node: Node) -> None:
    kept, unrecorded = await node.kept("key"), await node.build()
    later = Node(node.folder)
    used = [Build(later.places.in_slot(one.workspace.slot.name, None)) for one in (kept, unrecorded)]
    await later.builds.load(used)
    assert later.on_disk() == {kept.workspace.slot, unrecorded.workspace.slot}
    assert later.builds.find("key") is used[0]
    assert later.limit.empty() is False, "both are in use"
    for build in (used[0], used[0], used[1]):
        await later.builds.release(build)
    assert later.on_disk() == {kept.workspace.slot}


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"v": 2}', b"\0\0", b'{"v": 1, "key": "key"}'])
async def test_a_build_whose_record_is_damaged_is_removed(node: Node, content: bytes) -> None:
    kept = await node.kept("key")
    (kept.workspace.slot / "kept.json").write_bytes(content)
    later = Node(node.folder)
    await later.builds.load()
    assert later.builds.find("key") is None
    assert later.on_disk() == set()


async def test_a_build_knows_that_its_folder_was_moved(node: Node, tmp_path: Path) -> None:
    """It noted its own path, so at another one it is of no use."""
    await node.kept("key")
    shutil.move(tmp_path / "builds", tmp_path / "moved" / "builds")
    later = Node(tmp_path / "moved")
    await later.builds.load()
    assert later.builds.find("key") is None
    assert later.on_disk() == set()


async def test_a_kept_build_that_somebody_removed_is_built_again(node: Node) -> None:
    kept = await node.kept("key")
    shutil.rmtree(kept.workspace.slot)
    assert node.builds.find("key") is None
    assert await node.kept("key") is node.builds.find("key")


async def test_builds_and_inputs_share_a_limit_and_the_longest_unused_goes(
    tmp_path: Path, add_input: AddInput
) -> None:
    node = Node(tmp_path, 1000 * KIB)
    old = await node.kept("old", 300 * KIB)
    inputs = [await add_input(os.urandom(300 * KIB)) for _ in range(2)]
    await node.cache.get(inputs[0].sha256, inputs[0].size_bytes)
    new = await node.kept("new", 300 * KIB)
    assert node.on_disk() == {old.workspace.slot, new.workspace.slot}
    await node.cache.get(inputs[1].sha256, inputs[1].size_bytes)
    await node.builds.settle()
    assert node.on_disk() == {new.workspace.slot}, "the oldest of all went"
    in_use = node.builds.find("new")
    assert in_use is new
    await node.kept("newer", 300 * KIB)
    assert node.on_disk() == {new.workspace.slot, node.builds.find("newer").workspace.slot}  # type: ignore[union-attr]
    assert [path.name for path in (tmp_path / "cache").glob("*/*")] == [inputs[1].sha256]


async def test_a_use_makes_a_build_young_also_for_the_next_runner(node: Node) -> None:
    first, second = await node.kept("first", 300 * KIB), await node.kept("second", 300 * KIB)
    used = node.builds.find("first")
    assert used is first
    await node.builds.release(used)
    later = Node(node.folder, 500 * KIB)
    await later.builds.load()
    await later.builds.settle()
    assert later.on_disk() == {first.workspace.slot}
    assert second.workspace.slot not in later.on_disk()


async def test_what_is_in_use_is_never_removed(node: Node) -> None:
    await node.kept("key", 10)
    used = node.builds.find("key")
    assert used is not None
    assert not node.limit.empty()
    await node.builds.release(used)
    assert node.limit.empty()
    await node.builds.settle()
    assert node.on_disk() == set()
    assert node.builds.size_bytes == 0


def test_a_builds_key_is_that_of_its_recipe_its_environment_and_the_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RECIPE is not None
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    environment = {"PATH": str(tmp_path), "LANG": "C"}
    key = build_key(RECIPE, environment)
    assert build_key(RECIPE, dict(reversed(environment.items()))) == key
    assert build_key(RECIPE, environment | {"LANG": "de_DE.UTF-8"}) != key
    (tmp_path / "unknown-tool").touch(0o755)
    assert build_key(RECIPE, environment) == key
    compiler.write_text("#!/bin/sh\n# a newer one\n")
    newer = build_key(RECIPE, environment)
    assert newer != key
    monkeypatch.setattr(software.platform, "machine", lambda: "aarch64")
    assert build_key(RECIPE, environment) != newer
    monkeypatch.setattr(software.platform, "freedesktop_os_release", _no_release)
    assert len(build_key(RECIPE, {"odd": "\udcff"})) == 64


def _no_release() -> dict[str, str]:
    raise OSError("a system without it")
