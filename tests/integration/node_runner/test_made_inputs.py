"""What a program made for a job comes to it through a real broker, and small files share objects."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import distribute
from distribute.api.plan import BatchPlan
from distribute.client.upload import upload
from distribute.config.loading import LoadedBatch, load
from distribute.core.errors import IntegrityError
from distribute.core.spec.recipe import recipe_of
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, InputFile, InputObject
from distribute.memory.store import FileStore
from distribute.nats.broker.embedded import Broker
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.workspace import Workspaces
from hypothesis_kit import FAIL_BY_CHANCE
from integration.store_kit import Stores, stores

LARGE = bytes(range(256)) * 5000
CONTENTS = st.lists(st.binary(max_size=50) | st.just(LARGE), min_size=1, max_size=12)


@pytest.fixture
async def cluster(broker: Broker) -> AsyncIterator[Stores]:
    async with stores(broker) as made:
        yield made


def nobody(done: int, total: int) -> None:
    """Nobody watches."""


async def found_by_jobs(batch: LoadedBatch, workspaces: Workspaces) -> list[dict[str, bytes]]:
    """The contents of the input folder of each job."""
    found = []
    for job in batch.spec.work.jobs:
        workspace = await workspaces.make(recipe_of(batch.spec, job), None)
        found.append({path.name: path.read_bytes() for path in workspace.input.iterdir()})
    return found


async def test_jobs_find_what_python_made_for_them(cluster: Stores, tmp_path: Path) -> None:
    examples: list[list[bytes]] = []

    @given(contents=CONTENTS)
    @settings(
        deadline=None,
        max_examples=15,
        suppress_health_check=[*FAIL_BY_CHANCE, HealthCheck.function_scoped_fixture],
    )
    def each(contents: list[bytes]) -> None:
        examples.append(contents)

    each()
    store = await cluster.store()
    workspaces = Workspaces(tmp_path / "work", InputCache(tmp_path / "cache", await cluster.store()))
    for contents in examples:
        plan = BatchPlan("b", namespace="n", files={"all": contents[0]})
        for number, content in enumerate(contents):
            plan.job(f"job{number}", "true", files={"own": content})
        batch = plan.loaded()
        small = {content for content in contents if content != LARGE}
        assert len(batch.sources) == bool(small) + (LARGE in contents)
        await upload(store, batch.sources, nobody)
        assert await found_by_jobs(batch, workspaces) == [
            {"all": contents[0], "own": content} for content in contents
        ]


async def test_the_jobs_of_a_sweep_find_what_templates_made(
    cluster: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("case.in.j2").write_text("re = {{ re }}\n")
    Path("case.in.j2").chmod(0o750)
    Path("jobs.yaml").write_text(
        "meta: {namespace: n, batch_name: b}\nsweep: {grid: {re: {from: 1, to: 300}}}\n"
        "command: {job: {command: a, required_files: [{template: case.in.j2}]}}\n"
    )
    batch = load(Path("jobs.yaml"))
    await upload(await cluster.store(), batch.sources, nobody)
    cache = InputCache(tmp_path / "cache", await cluster.store())
    workspaces = Workspaces(tmp_path / "work", cache)
    found = await found_by_jobs(batch, workspaces)
    assert found == [{"case.in": b"re = %d\n" % number} for number in range(1, 301)]
    assert cache.size_bytes == sum(len(each["case.in"]) for each in found), "one object came to the node"
    workspace = await workspaces.make(recipe_of(batch.spec, batch.spec.work.jobs[0]), None)
    status, template = (workspace.input / "case.in").stat(), Path("case.in.j2").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o750, template.st_mtime_ns)


@pytest.mark.parametrize(("offset", "size_bytes"), [(1, 4), (4, 5), (99, 4)])
async def test_a_file_that_does_not_lie_where_its_batch_says_is_refused(
    workspaces: Workspaces, store: FileStore, tmp_path: Path, offset: int, size_bytes: int
) -> None:
    """Whoever forges the digest of a file could else give others a wrong build."""
    path = tmp_path / "pack"
    path.write_bytes(b"abcdefgh")
    pack = InputObject(sha256=hashlib.sha256(b"abcdefgh").hexdigest(), size_bytes=8)
    await store.put_input(path, pack.sha256)
    digest = hashlib.sha256(b"efgh").hexdigest()
    right = InputFile(alias="a", sha256=digest, size_bytes=4, pack=pack, offset=4)
    wrong = right.model_copy(update={"offset": offset, "size_bytes": size_bytes})
    for file in (right, wrong):
        job = CommandJob(name="a", command="true", files=(file,))
        made = workspaces.make(
            recipe_of(BatchSpec(namespace="n", batch="b", work=CommandWork(jobs=(job,))), job), None
        )
        if file is right:
            assert ((await made).input / "a").read_bytes() == b"efgh"
        else:
            with pytest.raises(IntegrityError, match="input a does not lie where its batch says"):
                await made


def test_contents_that_python_made_name_no_file_of_the_computer(tmp_path: Path) -> None:
    plan = BatchPlan("b", namespace="n")
    plan.sweep(distribute.sweep(grid={"x": [1, 2]}), "true", files={"{x}.txt": lambda x: f"{x}"})
    assert not any(isinstance(source, Path) for source in plan.loaded().sources.values())
