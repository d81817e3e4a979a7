"""What the builds of a batch printed: live while they run, from their archived outputs afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.batch_log import BatchReader
from distribute.client.follow import follow_to_end
from distribute.client.output_text import Text, live_text, stored_text
from distribute.client.queries import no_such_batch
from distribute.client.results import BUILDS, fold_builds
from distribute.client.standing import ask_standing
from distribute.core.errors import LogReplaced
from distribute.core.files.manifest import is_build_output_name
from distribute.core.ids import BuildId
from distribute.core.log.event_base import BuildEvent
from distribute.core.log.events import (
    BuildCollected,
    BuildEnd,
    BuildFinished,
    BuildStarted,
    Deleted,
    Released,
    Submitted,
)
from distribute.core.projections.results import BatchResults
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.core.log.recorded import Recorded
    from distribute.ports import Cluster, Place


class Builds(NamedTuple):
    """A batch's builds, by node: those that ended, and since when others run (in seconds since 1970).

    `has_build`: the batch has a build, which runs on each node before the first job there.
    """

    ended: Mapping[str, BuildEnd]
    running: Mapping[str, float]
    has_build: bool


class Printed(NamedTuple):
    """The next piece of what the build at `node` printed."""

    node: str
    piece: bytes | memoryview


class Ended(NamedTuple):
    """The build at `node` has ended. `build` None: its end was never reported, as of a lost node."""

    node: str
    build: BuildEnd | None


Take = Callable[[Printed | Ended], None]


async def read_builds(cluster: Cluster, batch: BatchId) -> Builds:
    """The builds of a batch, up to now.

    Raises:
        Refused: there is no such batch.
    """
    results = await _read(cluster, batch, BatchResults(batch))
    return Builds(results.builds, results.building, results.has_build)


def build_output(cluster: Cluster, build: BuildEnd) -> Text:
    """What a build that has ended printed."""
    is_output = partial(is_build_output_name, batch=build.batch, node=build.node)
    return stored_text(cluster, build.outputs, is_output)


async def build_output_so_far(cluster: Cluster, batch: BatchId, node: str) -> Text:
    """What a build that runs has printed by now."""
    results = await _read(cluster, batch, BatchResults(batch))
    since = results.built_before(node)
    return live_text(cluster, BuildId(batch, node), 0, since, partial(asyncio.sleep, 0))


async def follow_builds(cluster: Cluster, batch: BatchId, take: Take) -> None:
    """Hand on what the builds of a batch print, one build after the other, until the batch is over.

    They come in the order in which they began. So do those that run at once: each is in one piece, and what a
    build prints while another is shown is not lost. Survives a log that was replaced.

    Raises:
        Refused: there is no such batch, or a person deletes it meanwhile.
    """
    shown = _Shown(take)
    while True:
        try:
            return await _follow(cluster, batch, shown)
        except LogReplaced:
            continue  # as after a restore from an older copy: what was folded is invalid, so read again


async def _follow(cluster: Cluster, batch: BatchId, shown: _Shown) -> None:
    """As `follow_builds`, as long as the log is this one, and without what was shown already."""
    history = _History(batch)
    now = await cluster.log.end()
    await _read(cluster, batch, history)
    try:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_read_on(cluster, history, after=now))
            ending = tasks.create_task(follow_to_end(cluster, batch, archived=False))
            ending.add_done_callback(lambda _: history.end())
            begun = Counter[str]()
            async for build in history.builds_to_show():
                begun[build.node] += 1
                if begun[build.node] > shown.ended[build.node]:
                    await _show(cluster, batch, build, shown)
            await ending
            reading.cancel()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


class _Shown:
    """What of the builds was handed on. It outlives a log that was replaced: nothing is shown twice."""

    def __init__(self, take: Take) -> None:
        self.ended = Counter[str]()
        """How many builds of each node were shown to their ends."""
        self._take = take
        self._node = ""
        self._bytes = 0
        """How much was shown of the build at `_node` that has not ended."""
        self._again = 0

    def begin(self, node: str) -> None:
        """What comes next is from the beginning of a build. It may be the one that was shown last."""
        self._again = self._bytes if node == self._node else 0
        self._node, self._bytes = node, self._again

    def print(self, piece: bytes | memoryview) -> None:
        """Hand on a piece of the build, without what was shown of it before."""
        new = piece[self._again :]
        self._again -= len(piece) - len(new)
        self._bytes += len(new)
        if new:
            self._take(Printed(self._node, new))

    def end(self, build: BuildEnd | None) -> None:
        """The build has ended."""
        self._take(Ended(self._node, build))
        self.ended[self._node] += 1
        self._node, self._bytes = "", 0


@dataclass(slots=True, eq=False)
class _Build:
    """One build at a node. It printed nothing before `since`, in seconds since 1970."""

    node: str
    since: float
    finished: BuildEnd | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has ended, or its end will never be reported."""


class _History(BatchResults):
    """All builds of a batch, in the order in which they began."""

    def __init__(self, batch: BatchId) -> None:
        super().__init__(batch)
        self._all: list[_Build] = []
        self._is_over = False
        self._news = asyncio.Event()

    def fold(self, recorded: Recorded) -> bool:
        """Fold the next event under the batch."""
        event = recorded.event
        before = self.built_before(event.node) if isinstance(event, BuildEvent) else 0.0
        if not super().fold(recorded):
            return False
        match event:
            case Submitted() | Deleted():
                self._all.clear()
            case BuildStarted():
                self.give_up(event.node)  # the end of the one before was never reported
                self._all.append(_Build(event.node, before))
            case BuildFinished() | BuildCollected():
                build = self._running(event.node)
                if build is None:
                    build = _Build(event.node, before)
                    self._all.append(build)
                build.finished = event
                build.over.set()
            case _:
                pass
        self._news.set()
        return True

    def give_up(self, node: str) -> None:
        """A node has a batch no more: the end of its build will not be reported."""
        if (build := self._running(node)) is not None:
            build.over.set()

    def end(self) -> None:
        """The batch is over, so no build runs, and none begins."""
        self._is_over = True
        for build in self._all:
            build.over.set()
        self._news.set()

    async def builds_to_show(self) -> AsyncGenerator[_Build, None]:
        """Yield each build, those that begin later, too, until the batch is over."""
        shown = 0
        while shown < len(self._all) or not self._is_over:
            if shown < len(self._all):
                shown += 1
                yield self._all[shown - 1]
            else:
                self._news.clear()
                await self._news.wait()

    def _running(self, node: str) -> _Build | None:
        return next((build for build in self._all if build.node == node and not build.over.is_set()), None)


async def _read_on(cluster: Cluster, history: _History, after: Place) -> None:
    """Read of builds that begin and end, and of nodes that lose jobs of the batch."""
    only = Only(types=BUILDS | {"released"}, batch=history.story.id)
    async with aclosing(cluster.log.follow(after=after.seq, at=after.time, only=only)) as following:
        async for events in following:
            for recorded in events:
                event = recorded.event
                if isinstance(event, Released):
                    history.give_up(event.node)
                else:
                    history.fold(recorded)


async def _show(cluster: Cluster, batch: BatchId, build: _Build, shown: _Shown) -> None:
    """Hand on what a build printed: from the archive if it has ended, else as it comes."""
    if build.finished is not None:
        pieces = build_output(cluster, build.finished)
    else:
        pieces = live_text(cluster, BuildId(batch, build.node), 0, build.since, build.over.wait)
    shown.begin(build.node)
    async with aclosing(pieces) as printed:
        async for piece in printed:
            shown.print(piece)
    shown.end(build.finished)


async def _read(cluster: Cluster, batch: BatchId, results: BatchResults) -> BatchResults:
    """Fold the builds of a batch up to now. Raises `Refused` if there is no such batch."""
    told = await ask_standing(cluster, batch)
    if told is None:
        await BatchReader(cluster, batch, results.fold).read_to_now()
    elif told.course.exists:
        await fold_builds(cluster, results, told.course)
    if not results.course.exists:
        raise no_such_batch(batch)
    return results
