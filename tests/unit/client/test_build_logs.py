"""Output of builds, live and from the archive, by the events that the fold accepts."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, MemoryCluster, left
from distribute.client.build_logs import (
    Ended,
    Printed,
    build_output,
    build_output_so_far,
    follow_builds,
    read_builds,
)
from distribute.core.errors import Refused
from distribute.core.files.manifest import StoredFile, build_output_name
from distribute.core.ids import BuildId
from distribute.core.log.events import BuildFinished
from distribute.testing import builders as make

SPEC = make.batch(1, build="make")
WS1, WS2 = BuildId(SPEC.id, "ws1"), BuildId(SPEC.id, "ws2")


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


async def built(cluster: Any, node: str, text: bytes, **fields: Any) -> BuildFinished:
    """A build that printed `text` and ended."""
    stored = await cluster.keep(text, f"{SPEC.id}//{node}/0")
    name, digest = build_output_name(SPEC.batch, node), hashlib.sha256(text).hexdigest()
    file = StoredFile(path=name, size_bytes=len(text), sha256=digest, object=0)
    return make.build_finished(node, SPEC, outputs=left(file, objects=(stored,)), **fields)


class Taken:
    """What a follower of builds has got."""

    def __init__(self, cluster: Any) -> None:
        self._news: asyncio.Queue[Printed | Ended] = asyncio.Queue()
        self.task = asyncio.create_task(follow_builds(cluster, SPEC.id, self._news.put_nowait))

    async def next(self) -> tuple[str, bytes | None]:
        """The node, and what it printed; None: the build there has ended."""
        async with asyncio.timeout(60):
            news = await self._news.get()
        return (news.node, bytes(news.piece)) if isinstance(news, Printed) else (news.node, None)

    async def ends(self) -> None:
        async with asyncio.timeout(60):
            await self.task
        assert self._news.empty()


async def test_builds_that_run_and_that_ended_are_listed(cluster: Any) -> None:
    with pytest.raises(Refused, match="there is no batch lab/sweep"):
        await read_builds(cluster, SPEC.id)
    await cluster.say(make.joined(), make.submitted(SPEC), make.build_started("ws1", SPEC))
    await cluster.say(await built(cluster, "ws1", b"built"))
    await cluster.say(make.joined("ws2"), make.build_started("ws2", SPEC))
    builds = await read_builds(cluster, SPEC.id)
    assert (list(builds.ended), list(builds.running), builds.has_build) == (["ws1"], ["ws2"], True)
    text = [bytes(piece) async for piece in build_output(cluster, builds.ended["ws1"])]
    assert b"".join(text) == b"built"


async def test_a_batch_without_a_build_is_told_from_one_that_is_not_built_yet(cluster: Any) -> None:
    await cluster.say(make.submitted(make.batch(batch="plain")), make.submitted(SPEC))
    assert not (await read_builds(cluster, make.batch(batch="plain").id)).has_build
    assert (await read_builds(cluster, SPEC.id)).has_build


async def test_what_a_build_has_printed_by_now_is_shown(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC), make.build_started("ws1", SPEC))
    await cluster.live.send(WS1, 0, b"cc -O2\n")
    text = await build_output_so_far(cluster, SPEC.id, "ws1")
    assert b"".join([bytes(piece) async for piece in text]) == b"cc -O2\n"


async def test_a_build_is_followed_and_the_next_one_until_the_batch_is_over(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC), make.build_started("ws1", SPEC))
    await cluster.live.send(WS1, 0, b"one ")
    follower = Taken(cluster)
    assert await follower.next() == ("ws1", b"one ")
    await cluster.live.send(WS1, 0, b"two")
    assert await follower.next() == ("ws1", b"two")
    await cluster.say(make.build_finished("ws1", SPEC, succeeded=False))
    assert await follower.next() == ("ws1", None)
    await cluster.say(make.joined("ws2"), make.build_started("ws2", SPEC))
    await cluster.live.send(WS2, 0, b"other")
    assert await follower.next() == ("ws2", b"other")
    await cluster.say(make.build_finished("ws2", SPEC))
    assert await follower.next() == ("ws2", None)
    assert not follower.task.done()
    await cluster.say(make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
    await follower.ends()


async def test_builds_that_run_at_once_are_shown_one_after_the_other(cluster: Any) -> None:
    await cluster.say(make.joined(), make.joined("ws2"), make.submitted(SPEC))
    follower = Taken(cluster)
    await cluster.say(make.build_started("ws1", SPEC), make.build_started("ws2", SPEC))
    for build, text in ((WS1, b"a"), (WS2, b"b"), (WS1, b"c")):
        await cluster.live.send(build, 0, text)
    assert [await follower.next(), await follower.next()] == [("ws1", b"a"), ("ws1", b"c")]
    await cluster.say(make.build_finished("ws1", SPEC))
    assert [await follower.next(), await follower.next()] == [("ws1", None), ("ws2", b"b")]
    await cluster.say(make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
    assert await follower.next() == ("ws2", None)
    await follower.ends()


async def test_of_a_build_that_ended_while_another_was_shown_all_is_shown(cluster: Any) -> None:
    await cluster.say(make.joined(), make.joined("ws2"), make.submitted(SPEC))
    await cluster.say(make.build_started("ws1", SPEC), make.build_started("ws2", SPEC))
    follower = Taken(cluster)
    await cluster.live.send(WS1, 0, b"a")
    assert await follower.next() == ("ws1", b"a")
    await cluster.say(await built(cluster, "ws2", b"all of it"), make.build_finished("ws1", SPEC))
    shown = [await follower.next() for _ in range(3)]
    assert shown == [("ws1", None), ("ws2", b"all of it"), ("ws2", None)]
    follower.task.cancel()
    await asyncio.gather(follower.task, return_exceptions=True)


@pytest.mark.parametrize("reason", ["node_lost", "node_restarted"])
async def test_a_build_whose_node_went_down_does_not_hide_the_next(cluster: Any, reason: Any) -> None:
    await cluster.say(make.joined(), make.joined("ws2"), make.submitted(SPEC))
    await cluster.say(make.assigned(), make.claimed(), make.build_started("ws1", SPEC))
    follower = Taken(cluster)
    await cluster.live.send(WS1, 0, b"a")
    assert await follower.next() == ("ws1", b"a")
    await cluster.say(make.released(reason=reason), make.build_started("ws2", SPEC))
    await cluster.live.send(WS2, 0, b"b")
    assert [await follower.next(), await follower.next()] == [("ws1", None), ("ws2", b"b")]
    follower.task.cancel()
    await asyncio.gather(follower.task, return_exceptions=True)


async def test_builds_that_ended_before_are_shown_from_the_archive_first(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC), make.build_started("ws1", SPEC))
    await cluster.say(await built(cluster, "ws1", b"stored", succeeded=False))
    await cluster.say(make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
    follower = Taken(cluster)
    assert await follower.next() == ("ws1", b"stored")
    assert await follower.next() == ("ws1", None)
    await follower.ends()


async def test_a_build_that_is_tried_again_is_followed_again(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC), make.build_started("ws1", SPEC))
    follower = Taken(cluster)
    for text in (b"first", b"again"):
        await cluster.live.send(WS1, 0, text)
        assert await follower.next() == ("ws1", text)
        await cluster.say(make.build_finished("ws1", SPEC, succeeded=False))
        assert await follower.next() == ("ws1", None)
        await cluster.say(make.build_started("ws1", SPEC))
    follower.task.cancel()
    await asyncio.gather(follower.task, return_exceptions=True)


async def test_a_forged_end_of_a_build_ends_nothing(cluster: Any) -> None:
    began = make.build_started("ws1", SPEC)
    await cluster.say(make.joined(), make.submitted(SPEC), began)
    follower = Taken(cluster)
    await cluster.live.send(WS1, 0, b"a")
    assert await follower.next() == ("ws1", b"a")
    await cluster.say(make.build_finished("ws1", SPEC, causation="another"))
    await cluster.live.send(WS1, 0, b"b")
    assert await follower.next() == ("ws1", b"b")
    await cluster.say(make.build_finished("ws1", SPEC, causation=began.id))
    assert await follower.next() == ("ws1", None)
    follower.task.cancel()
    await asyncio.gather(follower.task, return_exceptions=True)


async def test_a_batch_that_is_deleted_ends_its_follower(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC), make.build_started("ws1", SPEC))
    follower = Taken(cluster)
    await cluster.live.send(WS1, 0, b"a")
    await follower.next()
    await cluster.say(make.kill_requested(SPEC), make.completed(SPEC, state="killed"), make.deleted(SPEC))
    async with asyncio.timeout(60):
        await asyncio.wait({follower.task})
    error = follower.task.exception()
    assert error is None or "there is no batch lab/sweep" in str(error)
