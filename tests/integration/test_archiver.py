"""The archiver at work on a real log: each event is taken up once, however long it takes."""

from __future__ import annotations

import asyncio

import pytest

from distribute.core.events import Guard, JobArchived
from distribute.core.manifest import Manifest, Outputs, StoredObject
from distribute.nats import durable
from distribute.nats.cluster import Cluster
from distribute.nats.jetstream import call
from distribute.nats.provision import EVENTS
from distribute.ports import Only
from distribute.testing import builders
from distribute_services.archiver import logic, service
from distribute_services.archiver.service import CONSUMER, ArchiverService
from integration.store_kit import stream_of

WITHIN_S = 30.0


async def test_what_takes_long_is_not_begun_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "ACK_WAIT_S", 1)
    monkeypatch.setattr(service, "PROGRESS_EVERY_S", 0.2)
    began: list[str] = []
    go_on = asyncio.Event()
    commit = cluster.store.commit_result

    async def slowly(stored: StoredObject) -> None:
        began.append(stored.name)
        await go_on.wait()
        await commit(stored)

    monkeypatch.setattr(cluster.store, "commit_result", slowly)
    stored = await cluster.store.put_result("lab/sweep/job1/1/0", "ws1", stream_of(b"told"))
    outputs = Outputs(inline=Manifest(objects=(stored,)))
    seq = await cluster.log.append(builders.finished(outputs=outputs), Guard(0))
    stop = asyncio.Event()
    archiver = asyncio.create_task(ArchiverService(cluster).run(stop))
    await asyncio.sleep(3)  # it takes long: that is what is tested
    assert began == ["lab/sweep/job1/1/0"]
    go_on.set()
    only = Only(types=frozenset({"job_archived"}))
    async with asyncio.timeout(WITHIN_S):
        async for _ in cluster.log.follow(after=seq, only=only):
            break
        stop.set()
        await archiver
    consumer = await call(cluster.connection, f"CONSUMER.INFO.{EVENTS}.{CONSUMER}")
    assert consumer["delivered"]["consumer_seq"] == 1
    assert len(began) == 1


async def archived_with(cluster: Cluster, manifest: StoredObject) -> str | None:
    """What of an attempt's outputs the archiver says is missing, whose manifest is stored as this."""
    seq = await cluster.log.append(builders.finished(outputs=Outputs(stored=manifest)), Guard(0))
    stop = asyncio.Event()
    archiver = asyncio.create_task(ArchiverService(cluster).run(stop))
    async with asyncio.timeout(WITHIN_S):
        said = await anext(cluster.log.follow(after=seq, only=Only(types=frozenset({"job_archived"}))))
        stop.set()
        await archiver
    event = said[0].event
    assert isinstance(event, JobArchived)
    return event.missing


async def test_the_objects_of_a_stored_manifest_are_committed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: list[StoredObject] = []
    commit = cluster.store.commit_result

    async def noted(stored: StoredObject) -> None:
        committed.append(stored)
        await commit(stored)

    monkeypatch.setattr(cluster.store, "commit_result", noted)
    objects = [
        await cluster.store.put_result(f"lab/sweep/job1/1/{number}", "ws1", stream_of(b"told"))
        for number in range(2)
    ]
    text = Manifest(objects=tuple(objects)).model_dump_json().encode()
    manifest = await cluster.store.put_result("lab/sweep/job1/1/2", "ws1", stream_of(text))
    assert await archived_with(cluster, manifest) is None
    assert committed == [*objects, manifest]


async def test_what_is_no_manifest_is_said(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logic, "MISSING_AFTER", 1)
    text = stream_of(b'{"entries":[{"kind":"file"}]}')
    manifest = await cluster.store.put_result("lab/sweep/job1/1/0", "ws1", text)
    missing = await archived_with(cluster, manifest)
    assert missing == "lab/sweep/job1/1/0 is no manifest: Field required"
