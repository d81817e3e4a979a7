"""Where units run on this computer, and what is known there of their processes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from distribute.core.manifest import Outside
from distribute.host import EndedFor, Exit, Record, Unit
from distribute_services.node_runner.disk.builds import Build
from distribute_services.node_runner.disk.workspace import Workspace
from distribute_services.node_runner.host.keeping import Message
from distribute_services.node_runner.host.notes import Note
from distribute_services.node_runner.host.tail import Followed
from distribute_services.node_runner.keeper.view import View
from distribute_services.node_runner.results.outside import is_plain, look_outside


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


async def outside_of(unit: Unit, place: Place) -> Outside | None:
    """What a job left beside its results. None: nothing that was looked for."""
    recipe, folder = unit.recipe, place.workspace.folder
    given = {placed.path for placed in recipe.files}
    if place.build is None and is_plain(folder, given):
        return None
    built = place.build.workspace.folder if place.build is not None else None
    return await asyncio.to_thread(look_outside, folder, given=given, built=built, binds=recipe.binds)


def exit_of(ended: Message) -> Exit:
    """What the keeper tells of a unit's end."""
    ended_for = ended["ended_for"]
    limit: EndedFor | None = ended_for if ended_for in get_args(EndedFor) else None
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
