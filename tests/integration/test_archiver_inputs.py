"""Archivers at a real broker: inputs go with the last batch that names them, and no sooner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client_kit import JANE
from distribute.client.submit import submit
from distribute.core.spec.specs import BatchSpec, InputFile
from distribute.inputs.listed import Hasher
from distribute.inputs.patterns import Exclude
from distribute.inputs.sources import Source
from distribute.inputs.tree import folder_tree
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.objects import store as store_module
from distribute.testing import builders
from distribute_services.archiver.service import ArchiverService
from integration.store_kit import content, digest
from log_kit import append

WITHIN_S = 60.0
KEEP_S = 2.0
"""Longer than a submission takes here."""


@pytest.fixture(autouse=True)
def _renews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs are renewed at once, not only after a day."""
    monkeypatch.setattr(store_module, "RENEW_INPUTS_AFTER_S", 0.0)


@asynccontextmanager
async def two_archivers(broker: Broker) -> AsyncIterator[None]:
    """Each looks for unused inputs again and again."""
    stop = asyncio.Event()
    async with open_cluster(broker.address, "one") as one, open_cluster(broker.address, "other") as other:
        services = [
            ArchiverService(cluster, inputs_keep_s=KEEP_S, look_every_s=0.05) for cluster in (one, other)
        ]
        running = [asyncio.create_task(service.run(stop)) for service in services]
        try:
            async with asyncio.timeout(WITHIN_S):
                yield
        finally:
            stop.set()
            await asyncio.gather(*running)


async def there(cluster: Cluster) -> set[str]:
    """The digests of all inputs in the store."""
    return {each.sha256 async for each in cluster.store.inputs_unused_for(-WITHIN_S)}


async def only(cluster: Cluster, wanted: set[str]) -> None:
    """Wait until the store has these inputs, and no others."""
    while await there(cluster) != wanted:  # noqa: ASYNC110 - a removal is no event
        await asyncio.sleep(0.05)


async def delete(cluster: Cluster, spec: BatchSpec) -> None:
    last = await cluster.log.last(spec.id, "submitted")
    assert last is not None
    over = builders.completed(spec, state="killed", submission=last.event.id)
    await append(cluster, builders.kill_requested(spec), over, builders.deleted(spec))


async def test_inputs_go_with_the_last_batch_that_names_them(
    broker: Broker, cluster: Cluster, tmp_path: Path
) -> None:
    files: dict[str, Path] = {}
    for name in ("shared", "own", "nobody's"):
        files[name] = tmp_path / name
        files[name].write_bytes(name.encode())
    shared, own, nobodys = (
        InputFile(alias=name, sha256=digest(name.encode()), size_bytes=len(name)) for name in files
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "small").write_text("a small file")
    (tmp_path / "folder" / "large").write_bytes(content(3 << 20))
    listed = Hasher().listed(folder_tree(str(tmp_path / "folder"), Exclude(())), str(tmp_path / "folder"))
    assert len(listed.sources) == 3, "the list, the small file, the large one"
    first = builders.batch(1, batch="first", files=(shared, own), folders=(listed.folder("folder"),))
    second = builders.batch(1, batch="second", files=(shared,))
    of_first: dict[str, Path | Source] = {
        shared.sha256: files["shared"], own.sha256: files["own"], **listed.sources
    }  # fmt: skip
    of_second: dict[str, Path | Source] = {shared.sha256: files["shared"]}
    async with two_archivers(broker):
        await submit(cluster, JANE, first, of_first)
        await submit(cluster, JANE, second, of_second)
        for _ in range(2):
            # When this one is gone, the others are old, too: they are there because batches name them.
            await cluster.store.put_input(files["nobody's"], nobodys.sha256)
            await only(cluster, {*of_first})
        await delete(cluster, first)
        await only(cluster, {*of_second})
        await delete(cluster, second)
        await only(cluster, set())
        await submit(cluster, JANE, first, of_first)
        await cluster.store.put_input(files["nobody's"], nobodys.sha256)
        await only(cluster, {*of_first})
    for sha256 in of_first:
        await cluster.store.get_input(sha256, tmp_path / "fetched")
