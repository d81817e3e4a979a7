"""A person asks a node for a pause, or its end, and reads the node's answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client.pausing import answer_of, ask_pause, ask_resume, next_change
from distribute.client.queries import Queries
from distribute.core.errors import Refused
from distribute.testing import builders as make


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


@pytest.fixture
def queries(cluster: Any) -> Queries:
    return Queries(cluster, clock=lambda: make.EPOCH.timestamp())


async def test_a_pause_is_asked_for_with_its_length_and_its_reason(cluster: Any, queries: Queries) -> None:
    await cluster.say(make.joined())
    asked = await ask_pause(cluster, queries, JANE, "ws1", 5410.0, reason="a talk")
    event = (await cluster.log.get(asked.seq)).event
    assert (event.type, event.author, event.reason, event.id) == (
        "pause_requested",
        "jane",
        "a talk",
        asked.id,
    )
    assert event.until - event.time == timedelta(hours=1, minutes=30, seconds=10)
    resume = await ask_resume(cluster, queries, JANE, "ws1")
    assert (await cluster.log.get(resume.seq)).event.type == "resume_requested"


async def test_only_the_answer_of_the_node_to_this_request_counts(cluster: Any, queries: Queries) -> None:
    await cluster.say(make.joined(), make.joined("ws2"))
    asked = await ask_pause(cluster, queries, JANE, "ws1", 60.0)
    answer = asyncio.create_task(answer_of(cluster, asked))
    await cluster.say(
        make.paused("ws1", by="owner"),
        make.paused("ws2", causation=asked.id),
        make.resumed("ws1"),
    )
    await asyncio.sleep(0)
    assert not answer.done()
    await cluster.say(said := make.paused("ws1", by="jane", causation=asked.id))
    found, seq = await answer
    assert found == said
    assert (await cluster.log.get(seq)).event == said


async def test_whoever_counts_down_hears_of_the_next_change(cluster: Any) -> None:
    await cluster.say(make.joined(), pause := make.paused(by="jane"))
    change = asyncio.create_task(next_change(cluster, pause, 2))
    await cluster.say(make.pause_requested(), said := make.paused(by="bob"), make.resumed())
    assert await change == (said, 4)


@pytest.mark.parametrize("ask", [ask_resume, lambda *who: ask_pause(*who, 60.0)], ids=["resume", "pause"])
async def test_nothing_is_asked_of_a_node_that_is_not_there(cluster: Any, queries: Queries, ask: Any) -> None:
    with pytest.raises(Refused, match="there is no node 'ws1'"):
        await ask(cluster, queries, JANE, "ws1")
    await cluster.say(make.joined(), make.left())
    with pytest.raises(Refused, match="ws1 has left: it lends nothing anyway"):
        await ask(cluster, queries, JANE, "ws1")
