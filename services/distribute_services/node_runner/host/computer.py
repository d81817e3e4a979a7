"""`port.Host` for this computer, with real processes and folders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from distribute.core.ids import BatchId, JobId
from distribute.core.manifest import Outputs, build_output_name
from distribute.core.recipe import SAVE
from distribute.host import CannotStart, Exit, Figures, FoundBuild, Kept, Pause, Presence, Unit
from distribute.ports import ArtifactStore, Cluster, LiveOutput
from distribute_services.node_runner.disk.builds import Build, Builds
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.limit import Limit
from distribute_services.node_runner.disk.own_folder import OwnFolder
from distribute_services.node_runner.disk.pristine import changed_since, complaint, seal
from distribute_services.node_runner.disk.private_copies import find_out
from distribute_services.node_runner.disk.room import Room
from distribute_services.node_runner.disk.workspace import Workspace, Workspaces, results_of
from distribute_services.node_runner.host.cores import Pinning
from distribute_services.node_runner.host.detect import Sampler
from distribute_services.node_runner.host.environment import base_environment, chosen, own_programs
from distribute_services.node_runner.host.keeping import Keeping, Refusal
from distribute_services.node_runner.host.leftovers import kill_leftovers
from distribute_services.node_runner.host.lending import Lent
from distribute_services.node_runner.host.mpi import mpi_settings
from distribute_services.node_runner.host.notes import EXIT_FILE, Found, attempts_left
from distribute_services.node_runner.host.pause_group import let_in
from distribute_services.node_runner.host.places import Place, Running, exit_of, note_of, outside_of, view_of
from distribute_services.node_runner.host.refusals import reason_of, with_noexec
from distribute_services.node_runner.host.software import build_key
from distribute_services.node_runner.host.tail import Tail
from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.keeper.held import LEFTOVER_GRACE_S
from distribute_services.node_runner.options import Options
from distribute_services.node_runner.owner.sensor import Sensor
from distribute_services.node_runner.results.last_lines import last_lines
from distribute_services.node_runner.results.outputs import NOTHING, collect, collect_build

log = logging.getLogger(__name__)


class Computer:
    """`port.Host` for the computer on which this process runs."""

    def __init__(
        self,
        options: Options,
        folder: OwnFolder,
        lent: Lent,
        store: ArtifactStore,
        live: LiveOutput,
    ) -> None:
        self.identity = folder.identity
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self.capacity = lent.capacity
        self._options = options
        self._store = store
        self._limit = Limit(options.cache_bytes)
        self._cache = InputCache(folder.path / "cache", store, self._limit)
        self.copies = find_out(folder.path, options.copies)
        self._workspaces = Workspaces(folder.path / "work", self._cache, self.copies)
        self._full = asyncio.Event()
        self._attempts: set[Place] = set()
        self._builds = Builds(folder.path / "builds", self._limit)
        self._build_places = Workspaces(folder.path / "builds", self._cache)
        self._kept: list[Kept[Place, Running]] = []
        """What `kept` has named: `clear` leaves it."""
        self._room = Room(
            (folder.path / "work", folder.path / "builds"),
            evict=self._evict,
            is_busy=lambda: bool(self._attempts),
            on_full=self._full.set,
        )
        told = {"max_pause_s": options.max_pause_s, "node": options.name, "server": options.server}
        self._keeping = Keeping(folder.path / "keeper", told)
        self._tail = Tail(live)
        self._sampler = Sampler(options.work_dir, lent.gpus)
        measures_load = options.terms.load_limit is not None
        self._sensor = Sensor(lambda: self._keeping.pids, measures_load=measures_load)
        self._counts = lent.counts
        self._memory_bytes = psutil.virtual_memory().total
        self._pinning = Pinning(lent.cores, lent.capacity.cpus)
        self._gpu_words = [gpu.word for gpu in lent.gpus] if lent.hides_gpus else None
        self._base = chosen(base_environment(os.environ, own_programs()), options.env, options.path)
        # The programs that copy and remove folders inherit this mark. If this runner is killed, the next
        # one ends them.
        os.environ[procfs.MARKER] = f"{self.identity}/"

    async def open(self) -> None:
        """Start the keeper, or connect to the one that runs.

        Raises:
            KeeperFailed: it does not start.
            InputError: `pause_group` can't be let in.
        """
        await self._keeping.open()
        if self._options.pause_group is not None:
            let_in(self._options.pause_group, self._keeping.folder)

    async def kept(self) -> Sequence[Kept[Place, Running]]:
        """As `Host.kept`."""
        await self.open()
        left = attempts_left(self._keeping.units, self._keeping.notes, self._workspaces.root, self.boot_id)
        builds: dict[str, Build] = {}
        built: dict[tuple[str, BatchId, str | None], Place] = {}
        for found in left:
            note, workspace = found.note, self._workspaces.in_slot(found.note.slot, view_of(found.note))
            if not workspace.folder.is_dir():
                continue
            if found.ended is not None and found.unit not in self._keeping.units:
                self._keeping.recall(found.unit, dict(found.ended))
            if note.built is None:
                self._kept.append(self._take_up(found, workspace, None))
                continue
            user = note.built, note.record.attempt.job_id.batch_id, note.record.submission_id
            if user not in built:
                slot = self._build_places.in_slot(note.built, None)
                build = builds.setdefault(note.built, Build(slot, users=0))
                self._builds.use(build)
                built[user] = self._place_of(build)
            self._kept.append(self._take_up(found, workspace, built[user]))
        return self._kept

    def _take_up(self, found: Found, workspace: Workspace, built: Place | None) -> Kept[Place, Running]:
        note, build = found.note, built.build if built is not None else None
        lease = contextlib.AsyncExitStack()
        if build is not None:
            self._builds.use(build)
            lease.push_async_callback(self._builds.release, build)
        image = lease.enter_context(self._cache.hold(note.image)) if note.image is not None else None
        place = Place(workspace, build, image, lease, found.unit)
        self._attempts.add(place)
        of = note.record.attempt
        output = self._tail.add(of.job_id, of.attempt, workspace.stdout, only_news=True)
        running = Running(found.unit, note.program, place, output)
        if found.ended is None:
            self._pinning.hold(found.unit, self._keeping.units[found.unit].get("cpus", ()))
        return Kept(note.record, place, built, running, found.started_at)

    async def clear(self) -> None:
        """As `Host.clear`."""
        self._full.clear()
        await self.open()
        await self._keeping.end_all(LEFTOVER_GRACE_S, but={one.running.name for one in self._kept})
        own = f"{self.identity}/"
        await kill_leftovers(lambda marker: marker.startswith(own), keepers=self._keeping.pids)
        await self._workspaces.clear({one.place.workspace.slot.name for one in self._kept})
        await self._builds.load([one.place.build for one in self._kept if one.place.build is not None])
        if not self._kept:
            await self._room.enough()
        self._kept = []

    async def full(self) -> None:
        """As `Host.full`."""
        await self._full.wait()

    async def stage(self, unit: Unit, built: Place | None) -> Place:
        """As `Host.stage`."""
        image = unit.recipe.image
        async with contextlib.AsyncExitStack() as lease:
            cached = await lease.enter_async_context(self._cache.lease([image] if image else []))
            if not unit.attempt:
                workspace = await self._room.give(lambda: self._build_places.make(unit.recipe, None))
                return self._place_of(Build(workspace))
            build = built.build if built is not None else None
            if build is not None:
                self._builds.use(build)
                lease.push_async_callback(self._builds.release, build)
            start = build.workspace if build is not None else None
            workspace = await self._room.give(lambda: self._workspaces.make(unit.recipe, start))
            place = Place(workspace, build, cached[image.sha256] if image else None, lease.pop_all())
        self._attempts.add(place)
        return place

    def _place_of(self, build: Build) -> Place:
        """The place of a build, which the caller uses already."""
        lease = contextlib.AsyncExitStack()
        lease.push_async_callback(self._builds.release, build)
        return Place(build.workspace, build, None, lease)

    async def find_build(self, unit: Unit) -> FoundBuild[Place] | None:
        """As `Host.find_build`."""
        if unit.recipe.always:
            return None
        build = self._builds.find(build_key(unit.recipe, self._base))
        if build is None or build.of is None:
            return None
        place = self._place_of(build)
        try:
            if self.copies.way == "copy" and build.workspace.pristine is None:
                await seal(build.workspace)  # this computer let jobs have a view when it was built
        except BaseException:
            await place.lease.aclose()
            raise
        return FoundBuild(place, build.of)

    async def keep_build(self, unit: Unit, place: Place) -> None:
        """As `Host.keep_build`."""
        if place.build is not None and self.copies.way == "copy":
            await seal(place.workspace)
        if place.build is not None and isinstance(unit.of, BatchId) and not unit.recipe.always:
            await self._builds.keep(place.build, build_key(unit.recipe, self._base), unit.of)

    async def _evict(self) -> bool:
        """Remove what is kept but not in use. Returns False if there was nothing."""
        was_any = self._limit.empty()
        await self._builds.settle()
        return was_any

    def start(self, unit: Unit, place: Place) -> Running:
        """As `Host.start`."""
        workspace = place.workspace
        folder = workspace.seen
        name = self._marker(unit, workspace)
        # A build may use all cores that the node lends: it ends soon.
        cpus = self._pinning.take(name, unit.share.cpus) if unit.attempt else self._pinning.all
        environment = unit.recipe.environment(
            self._base | mpi_settings(cpus, os.cpu_count() or 1, self._counts),
            unit.share,
            folder=folder,
            node=self._options.name,
            attempt=unit.attempt or None,
            gpus=self._gpu_words,
        )
        output = self._tail.add(unit.output_of(self._options.name), unit.attempt, workspace.stdout)
        argv = unit.recipe.argv(unit.share, folder, str(place.image))
        running = Running(name, argv[0], place, output)
        note = None
        if unit.record is not None:
            place.unit = running.name
            note = note_of(unit.record, unit, running).to_json()
        self._keeping.start(
            running.name,
            argv,
            cwd=str(workspace.folder),
            env=environment,
            stdout=str(workspace.stdout),
            treatment=self._treatment(unit, cpus),
            timeout_s=unit.recipe.timeout_s,
            grace_s=self._options.grace_s,
            view=workspace.view,
            exit_file=str(workspace.slot / EXIT_FILE) if note is not None else None,
            note=note,
        )
        return running

    def _treatment(self, unit: Unit, cpus: Collection[int]) -> dict[str, Any]:
        """How the keeper treats a unit. It need not watch for memory that can't be too much."""
        options, limit = self._options, unit.share.memory_bytes or self.capacity.memory_bytes
        return {
            "niceness": options.niceness,
            "idle_io": options.idle_io,
            "cpus": sorted(cpus),
            "memory_bytes": limit if limit < self._memory_bytes else None,
        }

    def _marker(self, unit: Unit, workspace: Workspace) -> str:
        # What has the same name and is of a deleted batch may still be ending, so the marker gets the slot.
        return f"{self.identity}/{unit.of}/{unit.attempt or ''}/{workspace.slot.name}"

    async def wait(self, running: Running) -> Exit | CannotStart:
        """As `Host.wait`."""
        ended = await self._keeping.wait(running.name)
        self._pinning.release(running.name)
        await self._tail.finish(running.output)
        if running.place.unit is None:
            self._keeping.forget(running.name)
        if isinstance(ended, Refusal):
            workspace = running.place.workspace
            return CannotStart(reason_of(ended, running.program, workspace.seen, workspace.stdout))
        return await self._checked(running.place, with_noexec(exit_of(ended), running.place.workspace))

    async def _checked(self, place: Place, ended: Exit) -> Exit:
        """The same, with a complaint if the job wrote to the folder of its build and not to its copy."""
        if place.build is None or place.is_build or self.copies.way != "copy":
            return ended
        written = await changed_since(place.build, ended.started_at)
        return replace(ended, complaint=complaint(place.build, written)) if written else ended

    async def kill(self, running: Running, *, thaw: bool = False) -> None:
        """As `Host.kill`."""
        await self._keeping.end(running.name, self._options.grace_s, thaw=thaw)

    def disown(self, place: Place) -> None:
        """As `Host.disown`."""
        if place.unit is not None:
            (place.workspace.slot / EXIT_FILE).unlink(missing_ok=True)
            self._keeping.disown(place.unit)

    async def collect(self, unit: Unit, place: Place) -> Outputs | None:
        """As `Host.collect`."""
        node, workspace = self._options.name, place.workspace
        match unit.of:
            case JobId():
                prefix = f"{unit.of}/{unit.attempt}"
                seen_as = unit.recipe.seen(SAVE, workspace.seen)
                outside = await outside_of(unit, place)
                save = await results_of(workspace)
                outputs = await collect(save, workspace.stdout, self._store, prefix, node, [seen_as], outside)
                return outputs if outputs is not NOTHING else None
            case BatchId(_, batch):
                name = build_output_name(batch, node, unit.is_job)
                return await collect_build(workspace.stdout, name, self._store, f"{unit.of}//{node}", node)

    def last_lines(self, place: Place) -> tuple[str, ...]:
        """As `Host.last_lines`."""
        return last_lines(place.workspace.stdout)

    async def remove(self, place: Place) -> None:
        """As `Host.remove`."""
        with self._room.freeing():
            try:
                if place.unit is not None:
                    self._keeping.forget(place.unit)
                    (place.workspace.slot / EXIT_FILE).unlink(missing_ok=True)
                if not place.is_build:
                    await self._workspaces.remove(place.workspace)
                await place.lease.aclose()
            finally:
                self._attempts.discard(place)

    @property
    def paused(self) -> Pause | None:
        """As `Host.paused`."""
        pause = self._keeping.current.paused
        return Pause(pause["until"], pause["by"] or None, pause["reason"]) if pause is not None else None

    async def pause(self, duration_s: float, *, by: str | None, reason: str) -> None:
        """As `Host.pause`."""
        await self._keeping.pause(duration_s, by=by or "", reason=reason)

    async def resume(self) -> None:
        """As `Host.resume`."""
        await self._keeping.resume()

    async def pause_changed(self, known: Pause | None) -> None:
        """As `Host.pause_changed`."""
        while self.paused == known:
            await self._keeping.current.pause_changed.wait()

    async def broken(self) -> None:
        """As `Host.broken`."""
        await self._keeping.lost()
        log.error("the keeper ended: all jobs and builds that ran are lost with it, and run again")

    async def sample(self) -> Figures:
        """As `Host.sample`."""
        figures, presence = await self._sampler.sample(), await self.presence()
        return replace(
            figures,
            owner_idle_s=presence.idle_s,
            owner_source=presence.source,
            freezes_by=self._keeping.current.freezes_by,
        )

    async def presence(self) -> Presence:
        """As `Host.presence`."""
        return await self._sensor.read()

    async def close(self) -> None:
        """Close what is open, and leave the keeper, which ends if it holds nothing."""
        await self._tail.close()
        await self._builds.settle()
        await self._sensor.close()
        await self._keeping.close()


@contextlib.asynccontextmanager
async def open_computer(options: Options, lent: Lent, cluster: Cluster) -> AsyncIterator[Computer]:
    """Open this computer as a host, and lock its working folder.

    Raises:
        InputError: another runner works in the folder, or it can't be used.
    """
    with OwnFolder(options.work_dir) as folder:
        computer = Computer(options, folder, lent, cluster.store, cluster.live)
        await computer.open()
        try:
            yield computer
        finally:
            await computer.close()
