"""Folders come to a job through a real broker as they were, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distribute.client.upload import upload
from distribute.core.spec.recipe import recipe_of
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, InputFolder
from distribute.inputs.listed import Hasher, Listed
from distribute.inputs.patterns import Exclude
from distribute.inputs.tree import folder_tree
from distribute.memory.store import FileStore
from distribute.nats.broker.embedded import Broker
from distribute.nats.client import jetstream
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.private_copies import Way, find_out
from distribute_services.node_runner.disk.workspace import Workspaces
from distribute_services.node_runner.results.outside import look_outside
from hypothesis_kit import FAIL_BY_CHANCE
from integration.store_kit import Stores, stores
from tree_kit import NAMES, TREES, Tree, look, make

from .as_user import as_nobody, folder_of_nobody

JOB = CommandJob(name="a", command="true")


@pytest.fixture
async def cluster(broker: Broker) -> AsyncIterator[Stores]:
    async with stores(broker) as made:
        yield made


def listed(folder: Path) -> Listed:
    tree = folder_tree(str(folder), Exclude(()))
    assert tree.problems == []
    return Hasher().listed(tree, str(folder))


def batch(*folders: InputFolder, job: CommandJob = JOB) -> BatchSpec:
    return BatchSpec(namespace="n", batch="b", folders=folders or None, work=CommandWork(jobs=(job,)))


def nobody(done: int, total: int) -> None:
    """Nobody watches."""


async def stored_messages(cluster: Stores) -> int:
    connection = await cluster.connection()
    answer = await jetstream.call(connection, "STREAM.INFO.OBJ_inputs", {})
    return int(answer["state"]["last_seq"])


async def test_a_tree_comes_to_a_job_as_it_was(cluster: Stores, tmp_path: Path) -> None:
    store = await cluster.store()
    numbers = iter(range(1000))

    @given(tree=st.dictionaries(NAMES, TREES, max_size=6))
    @settings(
        deadline=None,
        max_examples=15,
        suppress_health_check=[*FAIL_BY_CHANCE, HealthCheck.function_scoped_fixture],
    )
    def each(tree: Tree) -> None:
        folder = tmp_path / f"tree-{next(numbers)}"
        folder.mkdir()
        make(os.fsencode(folder), tree)
        trees.append(folder)

    trees: list[Path] = []
    each()
    workspaces = Workspaces(tmp_path / "work", InputCache(tmp_path / "cache", await cluster.store()))
    for folder in trees:
        found = listed(folder)
        await upload(store, found.sources, nobody)
        workspace = await workspaces.make(recipe_of(batch(found.folder("case")), JOB), None)
        assert look(os.fsencode(workspace.input / "case")) == look(os.fsencode(folder))


async def test_what_the_store_has_is_not_sent_again(cluster: Stores, tmp_path: Path) -> None:
    store = await cluster.store()
    folder = tmp_path / "case"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03}").write_bytes(os.urandom(100_000))
    (folder / "large").write_bytes(os.urandom(3 << 20))
    first = listed(folder)
    await upload(store, first.sources, nobody)
    before = await stored_messages(cluster)
    await upload(await cluster.store(), listed(folder).sources, nobody)
    assert await stored_messages(cluster) == before
    (folder / "077").write_bytes(os.urandom(100_001))
    later = listed(folder)
    new = [source.size_bytes for sha256, source in later.sources.items() if sha256 not in first.sources]
    assert len(first.sources) > 4, "there are several packs"
    assert sum(new) <= (8 << 20) + 100_001 + 100_000, "a pack and the listing"
    told: list[tuple[int, int]] = []
    await upload(store, later.sources, lambda done, total: told.append((done, total)))
    assert await stored_messages(cluster) > before
    assert told[-1] == (sum(source.size_bytes for source in later.sources.values()),) * 2


@pytest.fixture
async def case(tmp_path: Path, store: FileStore) -> Listed:
    folder = tmp_path / "case"
    (folder / "d").mkdir(parents=True)
    (folder / "d" / "f").write_text("f")
    (folder / "g").write_text("g")
    (folder / "l").symlink_to("d/f")
    found = listed(folder)
    await upload(store, found.sources, nobody)
    return found


async def test_a_job_may_write_in_its_copy_and_the_next_one_finds_it_whole(
    workspaces: Workspaces, case: Listed
) -> None:
    recipe = recipe_of(batch(case.folder("case")), JOB)
    first = await workspaces.make(recipe, None)
    (first.input / "case" / "d" / "f").write_text("changed")
    (first.input / "case" / "g").unlink()
    second = await workspaces.make(recipe, None)
    assert (second.input / "case" / "l").read_text() == "f"
    assert (second.input / "case" / "g").read_text() == "g"


async def test_a_folder_of_the_job_replaces_the_whole_folder_of_the_batch(
    workspaces: Workspaces, case: Listed, tmp_path: Path, store: FileStore
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "only").write_text("own")
    of_job = listed(own)
    await upload(store, of_job.sources, nobody)
    job = CommandJob(name="a", command="true", folders=(of_job.folder("case"), of_job.folder(None, "own/*")))
    workspace = await workspaces.make(recipe_of(batch(case.folder("case"), job=job), job), None)
    names = sorted(str(path.relative_to(workspace.input)) for path in workspace.input.rglob("*"))
    assert names == ["case", "case/only", "only"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_everything_in_a_folder_is_its_jobs_own(
    tmp_path: Path, cache: InputCache, case: Listed
) -> None:
    workspaces = Workspaces(tmp_path / "work", cache, owner=(65534, 65534))
    workspace = await workspaces.make(recipe_of(batch(case.folder("case")), JOB), None)
    found = [workspace.input, *workspace.input.rglob("*")]
    assert len(found) == 6
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in found} == {(65534, 65534)}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
@pytest.mark.parametrize("way", ["overlay", "bind", "copy"])
def test_a_folder_that_allows_no_changes_comes_to_a_job_of_a_build(way: Way) -> None:
    """As that of the batch, and as that of the job, which replaces the one that the build left."""
    with folder_of_nobody() as folder:
        as_nobody(lambda: asyncio.run(_read_only_folders(folder, way)))


async def _read_only_folders(tmp_path: Path, way: Way) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    for folder in (shared, own):
        (folder / "d").mkdir(parents=True)
        (folder / "d" / folder.name).write_text(folder.name)
        (folder / "d").chmod(0o555)
        folder.chmod(0o555)
    store = FileStore(tmp_path / "store")
    of_batch, of_job = listed(shared), listed(own)
    await upload(store, {**of_batch.sources, **of_job.sources}, nobody)
    workspaces = Workspaces(tmp_path / "work", InputCache(tmp_path / "cache", store), find_out(tmp_path, way))
    empty = await workspaces.make(recipe_of(batch(), JOB), None)
    first = await workspaces.make(recipe_of(batch(of_batch.folder("case")), JOB), empty)
    assert look(os.fsencode(first.input / "case")) == look(os.fsencode(shared))
    built = await workspaces.make(recipe_of(batch(of_batch.folder("case")), JOB), None)
    job = CommandJob(name="a", command="true", folders=(of_job.folder("case"),))
    second = await workspaces.make(recipe_of(batch(of_batch.folder("case"), job=job), job), built)
    assert look(os.fsencode(second.input / "case")) == look(os.fsencode(own))
    for workspace in (first, second):
        await workspaces.remove(workspace)
        assert not workspace.slot.exists()


async def test_only_what_a_job_wrote_among_its_inputs_is_told(workspaces: Workspaces, case: Listed) -> None:
    workspace = await workspaces.make(recipe_of(batch(case.folder("case")), JOB), None)
    given_by_ns = workspace.given.stat().st_ctime_ns
    assert look_outside(workspace.folder, given=(), given_by_ns=given_by_ns) is None
    while True:  # the clock of a file system has steps of some milliseconds
        (workspace.input / "case" / "g").write_text("result")
        if (workspace.input / "case" / "g").stat().st_ctime_ns > given_by_ns:
            break
    outside = look_outside(workspace.folder, given=(), given_by_ns=given_by_ns)
    assert outside is not None
    assert [file.path for file in outside.largest] == ["input/case/g"]
