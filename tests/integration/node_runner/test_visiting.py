"""People look into a job that runs under a real keeper, and see what its process sees."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distribute.core.errors import Refused
from distribute.core.ids import JobId
from distribute.core.spec.recipe import Recipe, Share
from distribute.core.spec.visits import Piece
from distribute.host import Pause, Unit
from distribute_services.node_runner.disk.workspace import Workspace
from distribute_services.node_runner.host.keeping import Keeping
from distribute_services.node_runner.host.places import Place, Running
from distribute_services.node_runner.host.visiting import ComputerVisits
from distribute_services.node_runner.keeper.view import View

from .keeping_kit import ENV, Kept, appearance, keeper

UNIT = Unit(JobId("lab", "b", "a"), 1, Recipe(("sh",)), Share(1))


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with keeper(tmp_path) as kept:
        yield kept


async def job_with_a_copy(kept: Kept) -> Running:
    """A job that sees its copy of a build at the build's path, and has written there."""
    slot, built = kept.folder / "slot", kept.folder / "built"
    built.mkdir()
    workspace = Workspace.of(slot)
    for folder in (slot, workspace.folder, workspace.save):
        folder.mkdir()
    workspace = replace(workspace, view=View(str(built), str(workspace.folder)))
    workspace.stdout.write_text("begun\n")
    name = f"{kept.prefix}/job"
    script = f"echo result > {built}/distribute_save/x; touch begun; exec sleep 600"
    kept.keeping.start(
        name, ["sh", "-c", script], cwd=str(workspace.folder), env=ENV, stdout=str(kept.folder / "out"),
        treatment={"niceness": 10}, view=workspace.view,
    )  # fmt: skip
    await appearance(workspace.save / "x")
    output: Any = None
    return Running(name, "sh", Place(workspace, None, None, contextlib.AsyncExitStack()), output)


def visits(kept: Kept, pause: Pause | None = None) -> ComputerVisits:
    return ComputerVisits(kept.keeping, ENV, lambda: pause)


async def test_files_are_those_that_the_process_sees(kept: Kept) -> None:
    running = await job_with_a_copy(kept)
    found = await visits(kept).list_files(running, None)
    assert [(entry.path, entry.size_bytes) for entry in found.entries] == [("distribute_save/x", 7)]
    assert (found.results, found.printed_bytes) == ("distribute_save", 6)
    pieces = [Piece(path=path, offset=0, until=100) for path in ("", "distribute_save/x")]
    _, data = await visits(kept).read_files(running, pieces)
    assert data == [b"begun\n", b"result\n"]
    with pytest.raises(Refused, match="'nowhere' is not there"):
        await visits(kept).list_files(running, "nowhere")
    await kept.keeping.end(running.name, grace_s=5)
    with pytest.raises(Refused, match="it has just ended"):
        await visits(kept).list_files(running, None)


async def test_a_command_prints_through_pipes_that_leave_nothing(kept: Kept) -> None:
    running = await job_with_a_copy(kept)
    many = "cat distribute_save/x; head -c 300000 /dev/zero; echo oops >&2"
    command = await visits(kept).start_command(UNIT, running, ["sh", "-c", many])
    assert sorted(path.name for path in running.place.workspace.slot.iterdir()) == ["job", "stdout"]
    out, errors = b"", b""
    while any(some := await command.printed(1000)):
        out, errors = out + some[0], errors + some[1]
        assert len(some[0]) + len(some[1]) <= 1000
    assert (out[:7], len(out), errors) == (b"result\n", 300_007, b"oops\n")
    assert await command.ended() == (0, None)
    command.close()
    with pytest.raises(Refused, match="'no-such' can't be started: no such program in the PATH of this node"):
        await visits(kept).start_command(UNIT, running, ["no-such"])
    with pytest.raises(Refused, match="this node is paused by jane until"):
        await visits(kept, Pause(0.0, "jane")).start_command(UNIT, running, ["true"])
    await kept.keeping.end(running.name, grace_s=5)


async def test_a_job_of_a_keeper_that_knows_no_visits_is_named(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper of today stands for an older one: the runner asks it for a verb of tomorrow."""
    running = await job_with_a_copy(kept)

    async def ask(keeping: Keeping, name: str) -> int | None:
        await keeping.current.ask({"do": "where it is tomorrow"})
        return None

    monkeypatch.setattr(Keeping, "pid_of", ask)
    with pytest.raises(Refused, match="the job was begun by an older distribute"):
        await asyncio.wait_for(visits(kept).list_files(running, None), 60)
    await kept.keeping.end(running.name, grace_s=5)
