"""Where units run on this computer, and what is known there of their processes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from distribute.core.files.manifest import Outside
from distribute.core.spec.setup_script import UNPREPARED
from distribute.host import EndedFor, Exit, Record, Unit
from distribute_services.node_runner.disk.builds import Build
from distribute_services.node_runner.disk.room import NO_SPACE, Space
from distribute_services.node_runner.disk.untouched import has_output, is_untouched
from distribute_services.node_runner.disk.workspace import Workspace
from distribute_services.node_runner.host.keeping import Message
from distribute_services.node_runner.host.notes import Note
from distribute_services.node_runner.host.tail import Followed
from distribute_services.node_runner.keeper.view import View
from distribute_services.node_runner.results.outside import is_plain, look_outside

_REFUSED = "it had as many processes and threads as its node allows a job, and could start no more"


@dataclass(slots=True, eq=False)
class Place:
    """A unit's workspace, and the file of its image. `build`: of a build, itself; of an attempt, its build.

    While the lease lasts, neither the build nor the image is removed.
    """

    workspace: Workspace
    build: Build | None
    image: Path | None
    lease: contextlib.AsyncExitStack
    unit: str | None = None
    """The name of the attempt that the keeper holds here."""
    results: Space = NO_SPACE
    """What the results of other jobs take, which were laid out here."""
    untouched: bool = False
    """It is known that its processes left the workspace as it was made (`untouched.py`)."""

    @property
    def is_build(self) -> bool:
        return self.build is not None and self.build.workspace is self.workspace


@dataclass(slots=True, eq=False)
class Running:
    """A unit's processes, which the keeper knows by `name`, and its output, which is followed."""

    name: str
    program: str
    place: Place
    output: Followed


def left_nothing(unit: Unit, place: Place) -> bool:
    """Has a job left and printed nothing at all, as many do that end at once? Takes 25 µs."""
    place.untouched = is_untouched(place.workspace.slot)
    was_empty = place.build is None and not unit.recipe.trees
    return was_empty and place.untouched and not has_output(place.workspace.stdout)


async def outside_of(unit: Unit, place: Place) -> Outside | None:
    """What a job left beside its results. None: nothing that was looked for."""
    recipe, folder = unit.recipe, place.workspace.folder
    given = {UNPREPARED, *(placed.path for placed in recipe.files)}
    if place.build is None and not recipe.trees and is_plain(folder, given):
        return None
    built = place.build.workspace.folder if place.build is not None else None
    return await asyncio.to_thread(
        look_outside,
        folder,
        given=given,
        built=built,
        binds=recipe.binds,
        in_container=recipe.image is not None,
        given_by_ns=_given_by(place.workspace) if recipe.trees or recipe.wants_results else None,
    )


def _given_by(workspace: Workspace) -> int | None:
    """When all input folders had been laid out. None: that is not known any more."""
    try:
        return workspace.given.stat().st_ctime_ns
    except FileNotFoundError:
        return None


def exit_of(ended: Message, why: str | None = None) -> Exit:
    """What the keeper tells of a unit's end. `why`: what the runner knows of it beside that."""
    ended_for = ended["ended_for"]
    limit: EndedFor | None = ended_for if ended_for in get_args(EndedFor) else None
    if limit != "disk":
        why = _REFUSED if ended.get("refused_processes") and ended["exit_code"] != 0 else None
    return Exit(
        exit_code=ended["exit_code"],
        signal=ended["signal"],
        cpu_s=ended["cpu_s"],
        max_rss_bytes=ended["max_rss_bytes"],
        wall_s=ended["wall_s"],
        started_at=ended["started_at"],
        ended_at=ended["ended_at"],
        paused_s=ended["paused_s"],
        ended_for=limit,
        complaint=why,
    )


def note_of(record: Record, unit: Unit, running: Running) -> Note:
    """What a later runner needs to know of an attempt."""
    place = running.place
    image, view = unit.recipe.image, place.workspace.view
    return Note(
        record,
        running.program,
        place.workspace.slot.name,
        place.build.workspace.slot.name if place.build is not None else None,
        image.sha256 if image is not None else None,
        (view.at, view.own, view.scratch, view.overlay) if view is not None else None,
    )


def view_of(note: Note) -> View | None:
    """What the process of an attempt sees that a note is about."""
    return View(*note.view) if note.view is not None else None
