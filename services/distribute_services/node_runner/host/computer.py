"""`port.Host` for this computer, with real processes and folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distribute.core.files.manifest import Outputs, build_output_name
from distribute.core.ids import AttemptId, BatchId, JobId
from distribute.core.spec.recipe import SAVE
from distribute.host import CannotStart, Exit, Figures, FoundBuild, Kept, Pause, Presence, SetAside, Unit
from distribute.ports import Cluster
from distribute.results.last_lines import last_lines
from distribute_services.node_runner.disk.own_folder import OwnFolder
from distribute_services.node_runner.disk.pristine import changed_since, complaint
from distribute_services.node_runner.disk.workspace import EXIT_FILE, Workspace, results_of
from distribute_services.node_runner.host import meters
from distribute_services.node_runner.host.container_faults import with_container_fault, without_notes
from distribute_services.node_runner.host.cores import Pinning
from distribute_services.node_runner.host.detect import Sampler
from distribute_services.node_runner.host.disk_guard import DiskGuard
from distribute_services.node_runner.host.environment import NodeEnvironment
from distribute_services.node_runner.host.keeping import Keeping, Refusal
from distribute_services.node_runner.host.leftovers import kill_leftovers
from distribute_services.node_runner.host.lending import Lent
from distribute_services.node_runner.host.mpi import mpi_settings
from distribute_services.node_runner.host.notes import Found, attempts_left
from distribute_services.node_runner.host.pause_group import let_in
from distribute_services.node_runner.host.places import (
    Place,
    Running,
    exit_of,
    left_nothing,
    note_of,
    outside_of,
)
from distribute_services.node_runner.host.refusals import explained, reason_of
from distribute_services.node_runner.host.run_as import job_user
from distribute_services.node_runner.host.software import build_key
from distribute_services.node_runner.host.staging import Staging
from distribute_services.node_runner.host.tail import Tail
from distribute_services.node_runner.host.times import times_of
from distribute_services.node_runner.host.visiting import ComputerVisits
from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.keeper.held import LEFTOVER_GRACE_S
from distribute_services.node_runner.options import Options
from distribute_services.node_runner.owner.sensor import Sensor

log = logging.getLogger(__name__)


class Computer:
    """`port.Host` for the computer on which this process runs."""

    def __init__(self, options: Options, folder: OwnFolder, lent: Lent, cluster: Cluster) -> None:
        self.identity = folder.identity
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self.capacity = lent.capacity
        self._options = options
        self._store = cluster.store
        self._user = job_user(options.run_as, folder.path, has_gpus=bool(lent.gpus))
        self._staging = Staging(folder.path, options, cluster, self._user.owner)
        self._kept: list[Kept[Place, Running]] = []
        """What `kept` has named: `clear` leaves it."""
        self._keeping = Keeping(folder.path / "keeper", options.for_keeper)
        self._disk_guard = DiskGuard(self._staging.room, self._keeping)
        self._tail = Tail(cluster.live)
        self._sampler = Sampler(options.work_dir, lent.gpus)
        measures_load = options.terms.load_limit is not None
        self._sensor = Sensor(lambda: self._keeping.pids, measures_load=measures_load)
        self._counts = lent.counts
        self._memory_bytes = meters.memory().total_bytes
        self._pinning = Pinning(lent.cores, lent.capacity.cpus)
        self._gpu_words = [gpu.word for gpu in lent.gpus] if lent.hides_gpus else None
        self._environment = NodeEnvironment.of(self._user.environment(os.environ), options.env, options.path)
        self.visits = ComputerVisits(self._keeping, self._environment.variables, lambda: self.paused)
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
        for found in attempts_left(
            self._keeping.units, self._keeping.notes, self._staging.root, self.boot_id
        ):
            if (taken_up := self._staging.take_up(found.note, found.unit)) is not None:
                self._kept.append(self._take_up(found, *taken_up))
        return self._kept

    def _take_up(self, found: Found, place: Place, built: Place | None) -> Kept[Place, Running]:
        if found.ended is not None and found.unit not in self._keeping.units:
            self._keeping.recall(found.unit, dict(found.ended))
        record = found.note.record
        output = self._tail.add(
            record.attempt.job_id, record.attempt.attempt, place.workspace.stdout, goes_on=True
        )
        running = Running(found.unit, found.note.program, place, output)
        if found.ended is None:
            self._disk_guard.watch(running)
            self._pinning.hold(found.unit, self._keeping.units[found.unit].get("cpus", ()))
        return Kept(record, place, built, running, found.started_at)

    async def clear(self) -> None:
        """As `Host.clear`."""
        await self.open()
        await self._keeping.end_all(LEFTOVER_GRACE_S, but={one.running.name for one in self._kept})
        own = f"{self.identity}/"
        await kill_leftovers(lambda marker: marker.startswith(own), keepers=self._keeping.pids)
        kept, self._kept = self._kept, []
        await self._staging.clear(one.place for one in kept)

    async def full(self) -> None:
        """As `Host.full`."""
        await self._staging.full.wait()

    async def stage(self, unit: Unit, built: Place | None) -> Place:
        """As `Host.stage`."""
        return await self._staging.stage(unit, built)

    async def find_build(self, unit: Unit) -> FoundBuild[Place] | None:
        """As `Host.find_build`."""
        if unit.recipe.always:
            return None
        place = await self._staging.find_build(build_key(unit.recipe, self._environment.variables))
        if place is None or place.build is None or place.build.of is None:
            return None
        return FoundBuild(place, place.build.of)

    async def keep_build(self, unit: Unit, place: Place) -> None:
        """As `Host.keep_build`."""
        await self._staging.seal_build(place)
        if isinstance(unit.of, BatchId) and not unit.recipe.always:
            key = build_key(unit.recipe, self._environment.variables)
            await self._staging.keep_build(place, key, unit.of)

    def start(self, unit: Unit, place: Place) -> Running:
        """As `Host.start`."""
        workspace, folder = place.workspace, place.workspace.seen
        name = self._marker(unit, workspace)
        # A build may use all cores that the node lends: it ends soon.
        cpus = self._pinning.take(name, unit.share.cpus) if unit.attempt else self._pinning.all
        environment = unit.recipe.environment(
            {**self._environment.variables, **mpi_settings(cpus, self._counts)},
            unit.share,
            folder=folder,
            node=self._options.name,
            attempt=unit.attempt or None,
            gpus=self._gpu_words,
        )
        output = self._tail.add(unit.output_of(self._options.name), unit.attempt, workspace.stdout)
        login = self._environment.login(unit.recipe, environment)
        argv = unit.recipe.argv(unit.share, folder, str(place.image), login)
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
            treatment=self._treatment(unit, cpus, place),
            **times_of(unit.recipe, self._options.grace_s),
            view=workspace.view,
            exit_file=str(workspace.slot / EXIT_FILE) if note is not None else None,
            note=note,
        )
        self._disk_guard.watch(running, unit)
        return running

    def _treatment(self, unit: Unit, cpus: Collection[int], place: Place) -> dict[str, Any]:
        """How the keeper treats a unit. It need not watch for memory that can't be too much."""
        options, limit = self._options, unit.share.memory_bytes or self.capacity.memory_bytes
        return {
            "niceness": options.niceness,
            "idle_io": options.idle_io,
            "cpus": sorted(cpus),
            "memory_bytes": limit if limit < self._memory_bytes else None,
            "user": self._user.told(place.image),
            "max_processes": options.max_processes,
        }

    def _marker(self, unit: Unit, workspace: Workspace) -> str:
        # What has the same name and is of a deleted batch may still be ending, so the marker gets the slot.
        return f"{self.identity}/{unit.of}/{unit.attempt or ''}/{workspace.slot.name}"

    async def wait(self, running: Running) -> Exit | CannotStart:
        """As `Host.wait`."""
        ended = await self._keeping.wait(running.name)
        self._pinning.release(running.name)
        why = self._disk_guard.ended(running)
        await self._tail.finish(running.output)
        if running.place.unit is None:
            self._keeping.forget(running.name)
        if isinstance(ended, Refusal):
            workspace = running.place.workspace
            return CannotStart(reason_of(ended, running.program, workspace.seen, workspace.stdout))
        place, exited = running.place, exit_of(ended, why)
        if exited.ended_for is None:
            exited = explained(exited, place.workspace)
        if place.image is not None and exited.ended_for is None and exited.complaint is None:
            exited = with_container_fault(exited, self.last_lines(place))
        return await self._checked(place, exited)

    async def _checked(self, place: Place, ended: Exit) -> Exit:
        """The same, with a complaint if the job wrote to the folder of its build and not to its copy."""
        if place.build is None or place.is_build or self._staging.copies.way != "copy":
            return ended
        written = await changed_since(place.build, ended.started_at)
        return replace(ended, complaint=complaint(place.build, written)) if written else ended

    async def kill(self, running: Running, *, thaw: bool = False, soon: bool = False) -> None:
        """As `Host.kill`."""
        await self._keeping.end(running.name, LEFTOVER_GRACE_S if soon else None, thaw=thaw)

    def disown(self, place: Place) -> None:
        """As `Host.disown`."""
        if place.unit is not None:
            (place.workspace.slot / EXIT_FILE).unlink(missing_ok=True)
            self._keeping.disown(place.unit)

    async def collect(self, unit: Unit, place: Place) -> Outputs | None:
        """As `Host.collect`."""
        if isinstance(unit.of, JobId) and left_nothing(unit, place):
            return None
        from distribute.results.outputs import collect, collect_build, nothing  # a runner at rest needs none

        node, workspace = self._options.name, place.workspace
        match unit.of:
            case JobId():
                prefix = f"{unit.of}/{unit.attempt}"
                seen_as = unit.recipe.seen(SAVE, workspace.seen)
                outside = await outside_of(unit, place)
                save = await results_of(workspace)
                outputs = await collect(save, workspace.stdout, self._store, prefix, node, [seen_as], outside)
                return outputs if outputs is not nothing() else None
            case BatchId(_, batch):
                name = build_output_name(batch, node, unit.is_job)
                return await collect_build(workspace.stdout, name, self._store, f"{unit.of}//{node}", node)

    def last_lines(self, place: Place) -> tuple[str, ...]:
        """As `Host.last_lines`."""
        lines = last_lines(place.workspace.stdout)
        return lines if place.image is None else without_notes(lines)

    async def set_aside(self, of: AttemptId, place: Place) -> SetAside | None:
        """As `Host.set_aside`."""
        return await self._staging.set_aside(of, place)

    async def remove(self, place: Place) -> None:
        """As `Host.remove`."""
        if place.unit is not None:
            self._keeping.forget(place.unit)
        await self._staging.remove(place)

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
            disk_needed_bytes=self._staging.room.needed.size_bytes,
            build_copies=self._staging.copies.way,
        )

    async def presence(self) -> Presence:
        """As `Host.presence`."""
        return await self._sensor.read()

    async def close(self) -> None:
        """Close what is open, and leave the keeper, which ends if it holds nothing."""
        await self._disk_guard.close()
        await self._tail.close()
        await self._staging.close()
        await self._sensor.close()
        await self._keeping.close()
