"""What `admin check` finds of a cluster."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from distribute.client.about import ChannelAbout, own_version, serving_about
from distribute.client.checking import Finding, check
from distribute.client.queries import Queries
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, guard_scope
from distribute.memory.cluster import MemoryCluster
from distribute.memory.store import FileStore
from distribute.testing import builders as make

NOW = make.EPOCH.timestamp()


@pytest.fixture
def cluster(tmp_path: Path) -> MemoryCluster:
    return MemoryCluster(FileStore(tmp_path / "store"), lambda: NOW)


async def happen(cluster: MemoryCluster, *events: Event) -> None:
    for event in events:
        last = await cluster.log.last(guard_scope(event))
        await cluster.log.append(event, Guard(last.seq if last is not None else 0))


async def found_in(cluster: MemoryCluster) -> dict[str, Finding]:
    return {finding.what: finding for finding in await check(cluster, Queries(cluster, clock=lambda: NOW))}


async def test_a_cluster_that_is_well_is_all_ok(cluster: MemoryCluster) -> None:
    async def channels() -> list[ChannelAbout]:
        return [{"channel": "mail", "problem": None, "limits": []}]

    await happen(cluster, make.joined(version=own_version()))
    async with AsyncExitStack() as stack:
        for service in ("scheduler", "archiver"):
            await stack.enter_async_context(serving_about(cluster.queries, service))
        await stack.enter_async_context(serving_about(cluster.queries, "notifier", channels))
        found = await found_in(cluster)
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert list(found) == ["scheduler", "archiver", "notifier", "channel mail", "nodes", "log"]
    assert found["nodes"].text == "1 node: 1 idle"
    assert own_version() in found["scheduler"].text


async def test_services_that_do_not_answer_are_problems_but_a_lab_needs_no_notifier(
    cluster: MemoryCluster,
) -> None:
    found = await found_in(cluster)
    verdicts = {what: found[what].verdict for what in ("scheduler", "archiver", "notifier", "nodes")}
    assert verdicts == {
        "scheduler": "problem",
        "archiver": "problem",
        "notifier": "warning",
        "nodes": "problem",
    }
    assert "distribute client" in found["nodes"].text


async def test_a_channel_that_can_not_send_or_not_everything_is_named(cluster: MemoryCluster) -> None:
    async def channels() -> list[ChannelAbout]:
        return [
            {"channel": "mail", "problem": "no answer", "limits": []},
            {"channel": "matrix", "problem": None, "limits": ["encrypted rooms get no messages"]},
        ]

    async with serving_about(cluster.queries, "notifier", channels):
        found = await found_in(cluster)
    assert found["channel mail"] == ("problem", "channel mail", "no answer")
    assert found["channel matrix"] == ("warning", "channel matrix", "encrypted rooms get no messages")


async def test_nodes_in_trouble_and_of_other_versions_are_named(cluster: MemoryCluster) -> None:
    later = make.EPOCH + timedelta(hours=1)
    await happen(
        cluster,
        make.joined("well", version=own_version()),
        make.joined("old", version="0.0.9"),
        make.joined("broken", version=own_version()),
        make.quarantined("broken", until=datetime.fromtimestamp(later.timestamp(), tz=later.tzinfo)),
        make.joined("dead"),
        make.lost("dead"),
        make.listed("never"),
        make.joined("ended"),
        make.left("ended"),
    )
    found = await found_in(cluster)
    assert found["nodes"] == ("ok", "nodes", "2 nodes: 2 idle")
    named = {what: finding.text for what, finding in found.items() if what.startswith("node ")}
    assert set(named) == {"node old", "node broken", "node dead", "node never"}
    assert "0.0.9" in named["node old"]
    assert "succeeded elsewhere" in named["node broken"]


async def test_messages_that_nobody_can_read_are_a_warning(cluster: MemoryCluster) -> None:
    await happen(cluster, make.joined())
    cluster.log.garbage.count, cluster.log.garbage.last = 2, "no JSON at 7"
    found = await found_in(cluster)
    assert found["log"] == ("warning", "log", "2 messages in it can't be read: no JSON at 7")
