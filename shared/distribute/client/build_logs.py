"""What the builds of a batch printed: live while they run, from their archived outputs afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.batch_log import BatchReader
from distribute.client.follow import follow_to_end
from distribute.client.output_text import Text, live_text, stored_text
from distribute.client.queries import no_such_batch
from distribute.client.results import BUILDS, fold_builds
from distribute.client.standing import ask_standing
from distribute.core.ids import BuildId
from distribute.core.manifest import is_build_output_name
from distribute.core.projections.results import BatchResults
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.core.events import BuildFinished
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster


class Builds(NamedTuple):
    """A batch's builds, by node: those that ended, and since when others run (in seconds since 1970).

    `has_build`: the batch has a build, which runs on each node before the first job there.
    """

    ended: Mapping[str, BuildFinished]
    running: Mapping[str, float]
    has_build: bool


class Printed(NamedTuple):
    """The next piece of what the build at `node` printed."""

    node: str
    piece: bytes | memoryview


class Ended(NamedTuple):
    """The build at `node` has ended. `build` None: its end was never reported, as of a lost node."""

    node: str
    build: BuildFinished | None


Take = Callable[[Printed | Ended], None]


async def read_builds(cluster: Cluster, batch: BatchId) -> Builds:
    """The builds of a batch, up to now.

    Raises:
        Refused: there is no such batch.
    """
    results = await _read(cluster, batch)
    return Builds(results.builds, results.building, results.has_build)


def build_output(cluster: Cluster, build: BuildFinished) -> Text:
    """What a build that has ended printed."""
    is_output = partial(is_build_output_name, batch=build.batch, node=build.node)
    return stored_text(cluster, build.outputs, is_output)


async def build_output_so_far(cluster: Cluster, batch: BatchId, node: str) -> Text:
    """What a build that runs has printed by now."""
    results = await _read(cluster, batch)
    since = results.built_before(node)
    return live_text(cluster, BuildId(batch, node), 0, since, partial(asyncio.sleep, 0))


async def follow_builds(cluster: Cluster, batch: BatchId, take: Take) -> None:
    """Hand on what the builds of a batch printed, then what they print, until the batch is over.

    Raises:
        Refused: there is no such batch, or a person deletes it meanwhile.
    """
    now = await cluster.log.last_seq()
    results = await _read(cluster, batch)
    for node, build in sorted(results.builds.items()):
        if node not in results.building:
            async with aclosing(build_output(cluster, build)) as pieces:
                async for piece in pieces:
                    take(Printed(node, piece))
            take(Ended(node, build))
    following = _Following(cluster, batch, results, take)
    try:
        async with asyncio.TaskGroup() as tasks:
            following.begin(tasks)
            reading = tasks.create_task(following.read_on(tasks, after=now))
            await follow_to_end(cluster, batch, archived=False)
            reading.cancel()
            following.end()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


class _Following:
    """Follows the builds of a batch that run, and those that begin."""

    def __init__(self, cluster: Cluster, batch: BatchId, results: BatchResults, take: Take) -> None:
        self._cluster = cluster
        self._batch = batch
        self._results = results
        self._take = take
        self._over: dict[str, asyncio.Event] = {}
        """By node: set when the build there has ended."""

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Follow the builds that run and are not followed yet."""
        for node in self._results.building.keys() - self._over.keys():
            self._over[node] = over = asyncio.Event()
            tasks.create_task(self._follow(node, self._results.built_before(node), over))

    def end(self) -> None:
        """The batch is over, so no build runs any more."""
        for over in self._over.values():
            over.set()

    async def read_on(self, tasks: asyncio.TaskGroup, after: int) -> None:
        """Read of builds that begin and end."""
        only = Only(types=BUILDS, batch=self._batch)
        async with aclosing(self._cluster.log.follow(after=after, only=only)) as following:
            async for events in following:
                for recorded in events:
                    self._results.fold(recorded)
                    for node in self._over.keys() - self._results.building.keys():
                        self._over.pop(node).set()
                    self.begin(tasks)

    async def _follow(self, node: str, since: float, over: asyncio.Event) -> None:
        pieces = live_text(self._cluster, BuildId(self._batch, node), 0, since, over.wait)
        async with aclosing(pieces) as printed:
            async for piece in printed:
                self._take(Printed(node, piece))
        ended = self._results.builds.get(node) if node not in self._results.building else None
        self._take(Ended(node, ended))


async def _read(cluster: Cluster, batch: BatchId) -> BatchResults:
    results = BatchResults(batch)
    told = await ask_standing(cluster, batch)
    if told is None:
        await BatchReader(cluster, batch, results.fold).read_to_now()
    elif told.course.exists:
        results = await fold_builds(cluster, batch, told.course)
    if not results.course.exists:
        raise no_such_batch(batch)
    return results
