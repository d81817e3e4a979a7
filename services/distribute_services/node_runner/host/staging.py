"""The places of this computer's units: made, taken up from an earlier runner, and removed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from distribute.core.ids import JobId
from distribute.core.spec.recipe import RESULTS
from distribute_services.node_runner.disk.builds import Build, Builds
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.limit import Limit
from distribute_services.node_runner.disk.pristine import seal
from distribute_services.node_runner.disk.private_copies import find_out
from distribute_services.node_runner.disk.room import NO_SPACE, Room, Space
from distribute_services.node_runner.disk.superseded import Superseded
from distribute_services.node_runner.disk.workspace import EXIT_FILE, Workspace, Workspaces
from distribute_services.node_runner.host.places import Place, view_of

if TYPE_CHECKING:
    from pathlib import Path

    from distribute.core.ids import AttemptId, BatchId
    from distribute.host import SetAside, Unit
    from distribute.ports import Cluster
    from distribute_services.node_runner.host.notes import Note
    from distribute_services.node_runner.options import Options


class Staging:
    """All places in one working folder, the builds and inputs that are kept there, and the room for them."""

    def __init__(
        self, folder: Path, options: Options, cluster: Cluster, owner: tuple[int, int] | None
    ) -> None:
        """`owner`: as `Workspaces` has it."""
        self._cluster = cluster
        self.copies = find_out(folder, options.copies)
        """How attempts get their copies of a build."""
        self.full = asyncio.Event()
        """Set when the disk has no room, although no work of this node takes any."""
        self._limit = Limit(options.cache_bytes)
        self._cache = InputCache(folder / "cache", cluster.store, self._limit)
        self._workspaces = Workspaces(folder / "work", self._cache, self.copies, owner)
        self._builds = Builds(folder / "builds", self._limit)
        self._build_places = Workspaces(folder / "builds", self._cache, None, owner)
        self._superseded = Superseded(folder, options.superseded_keep_s, options.cache_bytes)
        self._attempts: set[Place] = set()
        self._taken_up: dict[tuple[str, BatchId, str | None], Place] = {}
        """The builds of attempts that an earlier runner left, by slot, batch and id of the submission."""
        self.room = Room(
            (folder / "work", folder / "builds"),
            evict=self._evict,
            is_busy=lambda: bool(self._attempts),
            on_full=self.full.set,
            keep_free_bytes=options.keep_free_bytes,
        )

    @property
    def root(self) -> Path:
        """The folder of the slots of all attempts."""
        return self._workspaces.root

    async def stage(self, unit: Unit, built: Place | None) -> Place:
        """As `Host.stage`."""
        image = unit.recipe.image
        async with contextlib.AsyncExitStack() as lease:
            cached = await lease.enter_async_context(
                self._cache.lease({image.sha256: image.size_bytes} if image else {})
            )
            if not unit.attempt:
                workspace = await self.room.give(lambda: self._build_places.make(unit.recipe, None))
                return self._place_of(Build(workspace))
            build = built.build if built is not None else None
            if build is not None:
                self._builds.use(build)
                lease.push_async_callback(self._builds.release, build)
            start = build.workspace if build is not None else None
            workspace, results = await self.room.give(lambda: self._make(unit, start))
            file = cached[image.sha256] if image else None
            place = Place(workspace, build, file, lease.pop_all(), results=results)
        self._attempts.add(place)
        return place

    async def _make(self, unit: Unit, start: Workspace | None) -> tuple[Workspace, Space]:
        """Make the workspace of an attempt, with the results of other jobs if it wants them.

        Returns also how much room these take.
        """
        workspace = await self._workspaces.make(unit.recipe, start)
        if not unit.recipe.wants_results or not isinstance(unit.of, JobId):
            return workspace, NO_SPACE
        # Imported here: it takes all that a person's `pull` does, and few jobs want results.
        from distribute_services.node_runner.results.of_others import lay_out_results

        results = workspace.input / RESULTS
        try:
            await asyncio.to_thread(self._workspaces.make_folder, results)
            await lay_out_results(self._cluster, unit.of, results)
            await asyncio.to_thread(self._workspaces.give_folder, workspace, results)
            return workspace, await Space.taken_by(results)
        except BaseException:
            await self._workspaces.remove(workspace)
            raise

    def take_up(self, note: Note, unit: str) -> tuple[Place, Place | None] | None:
        """The place of an attempt that an earlier runner left, and that of its build. None: it is gone."""
        workspace = self._workspaces.in_slot(note.slot, view_of(note))
        if not workspace.folder.is_dir():
            return None
        built = self._take_up_build(note) if note.built is not None else None
        build = built.build if built is not None else None
        lease = contextlib.AsyncExitStack()
        if build is not None:
            self._builds.use(build)
            lease.push_async_callback(self._builds.release, build)
        image = lease.enter_context(self._cache.hold(note.image)) if note.image is not None else None
        place = Place(workspace, build, image, lease, unit)
        self._attempts.add(place)
        return place, built

    def _take_up_build(self, note: Note) -> Place:
        assert note.built is not None, "its workspace began as a copy of one"
        user = note.built, note.record.attempt.job_id.batch_id, note.record.submission_id
        if user not in self._taken_up:
            others = (place.build for (slot, *_), place in self._taken_up.items() if slot == note.built)
            build = next(others, None) or Build(self._build_places.in_slot(note.built, None), users=0)
            self._builds.use(build)
            self._taken_up[user] = self._place_of(build)
        return self._taken_up[user]

    async def clear(self, kept: Iterable[Place]) -> None:
        """Remove what an earlier runner left, but `kept`. Waits for room if nothing is kept."""
        kept = list(kept)
        self.full.clear()
        self._taken_up = {}
        await self._superseded.load()
        await self._workspaces.clear({place.workspace.slot.name for place in kept})
        await self._builds.load([place.build for place in kept if place.build is not None])
        if not kept:
            await self.room.enough()

    def _place_of(self, build: Build) -> Place:
        """The place of a build, which the caller uses already."""
        lease = contextlib.AsyncExitStack()
        lease.push_async_callback(self._builds.release, build)
        return Place(build.workspace, build, None, lease)

    async def find_build(self, key: str) -> Place | None:
        """The place of a build that was kept under this key."""
        build = self._builds.find(key)
        if build is None or build.of is None:
            return None
        place = self._place_of(build)
        try:
            if self.copies.way == "copy" and build.workspace.pristine is None:
                await seal(build.workspace)  # this computer let jobs have a view when it was built
        except BaseException:
            await place.lease.aclose()
            raise
        return place

    async def seal_build(self, place: Place) -> None:
        """Have attempts begin with what the build has left now, if they get copies of it."""
        if place.build is not None and self.copies.way == "copy":
            await seal(place.workspace)

    async def keep_build(self, place: Place, key: str, of: BatchId) -> None:
        """Keep a build for later batches."""
        if place.build is not None:
            await self._builds.keep(place.build, key, of)

    async def _evict(self) -> bool:
        """Remove what is kept but not in use, results last. Returns False if there was nothing."""
        if self._limit.empty():
            await self._builds.settle()
            return True
        return await self._superseded.empty()

    async def set_aside(self, of: AttemptId, place: Place) -> SetAside | None:
        """As `Host.set_aside`."""
        return await self._superseded.add(of, place.workspace)

    async def remove(self, place: Place) -> None:
        """Remove a place, or keep its build, if that is in use or kept."""
        with self.room.freeing():
            try:
                if place.unit is not None:
                    (place.workspace.slot / EXIT_FILE).unlink(missing_ok=True)
                if not place.is_build:
                    await self._workspaces.remove(place.workspace, untouched=place.untouched)
                await place.lease.aclose()
            finally:
                self._attempts.discard(place)

    async def close(self) -> None:
        """Wait for removals under way."""
        await self._builds.settle()
        await self._superseded.close()
