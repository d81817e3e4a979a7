"""People edit what has not started, and move what runs, on a real cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path

from acceptance.lab import Lab, command_batch, open_lab
from distribute.core.log import events as ev

SAVES = "mkdir -p distribute_save; echo $DISTRIBUTE_NODE $DISTRIBUTE_CPUS > distribute_save/ran; "
HANGS = "sleep 1000"


def until(over: Path) -> str:
    """The command of a job that runs until this file is there."""
    return f"{SAVES} while [ ! -e {over} ]; do sleep 0.05; done"


async def began(lab: Lab, batch: str, job: str, *, after: int = 0) -> ev.Started:
    """Wait until the job runs."""
    found = await lab.event("started", batch=batch, after=after, where=lambda event: event.job == job)
    assert isinstance(found.event, ev.Started)
    return found.event


async def test_a_waiting_job_gets_what_an_edit_says_and_a_running_one_keeps_what_it_has(
    tmp_path: Path,
) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "2"]}) as lab:
        await lab.add(
            command_batch(
                "lab/x", {"a": until(tmp_path / "over"), "b": SAVES, "c": SAVES}, resources={"cpus": 2}
            )
        )
        await began(lab, "lab/x", "a")

        said = await lab.distribute("edit", "lab/x", "--cpus", "1", "--max-running", "1", "--dry", "--json")
        document = said.document
        assert (document["editing"], document["dry"]) == ("lab/x", True)
        assert document["changes"] == {"cpus": 1, "max_running": 1}
        assert (document["waiting"], document["in_flight"], document["over"]) == (2, 1, 0)
        assert await lab.events("edited", batch="lab/x") == []

        said = await lab.distribute("edit", "lab/x", "--cpus", "1", "--max-running", "1")
        assert said.out == "2 waiting jobs of lab/x are edited; 1 job that a node has keeps what it has\n"
        await lab.distribute("edit", "x", "b", "--timeout", "10m", "--retries", "1")
        status = (await lab.distribute("status", "lab/x", "--json")).document
        assert (status["max_running"], status["edited_by"]) == (1, "jane")
        story = (await lab.distribute("status", "lab/x/b", "--json")).document
        assert (story["resources"]["cpus"], story["timeout_s"], story["retries"]) == (1, 600.0, 1)
        story = (await lab.distribute("status", "lab/x/a", "--json")).document
        assert (story["resources"]["cpus"], story["timeout_s"], story["retries"]) == (2, None, 0)

        (tmp_path / "over").touch()
        await lab.over("lab/x")
        folder, _ = await lab.pull("lab/x")
        assert (folder / "a/ran").read_text() == "ws1 2\n"
        assert (folder / "b/ran").read_text() == (folder / "c/ran").read_text() == "ws1 1\n"
        said = await lab.distribute("edit", "lab/x", "--cpus", "1", code=4)
        assert "lab/x is over: there is nothing to edit" in said.err


async def test_a_job_runs_no_longer_than_an_edit_allows_and_one_that_fits_no_node_fits_after_it(
    tmp_path: Path,
) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1"]}) as lab:
        made = command_batch("lab/y", {"a": HANGS}, resources={"cpus": 9})
        await lab.add(made, "--anyway")
        said = await lab.distribute("edit", "lab/y", "--cpus", "8", code=4)
        assert "no node has 8 cpus for one job; the largest has 1 cpu. Ask for less, or edit it" in said.err
        said = await lab.distribute("edit", "lab/y", "--cpus", "8", "--anyway")
        assert "no node has 8 cpus for one job" in said.err
        await lab.distribute("edit", "lab/y", "--cpus", "1", "--timeout", "1s")
        await lab.over("lab/y")
        job = (await lab.jobs("lab/y"))["a"]
        assert (job["state"], job["reason"]) == ("failed", "ran for longer than its timeout of 1 s")


async def test_a_moved_job_runs_elsewhere_and_what_it_left_is_kept(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1"], "ws2": ["--cpus", "1"]}) as lab:
        await lab.add(
            command_batch("lab/z", {"a": until(tmp_path / "a"), "b": until(tmp_path / "b"), "c": SAVES})
        )
        first = await began(lab, "lab/z", "a")
        await began(lab, "lab/z", "b")
        other = "ws2" if first.node == "ws1" else "ws1"

        said = await lab.distribute("move", "lab/z/c", code=4)
        assert "lab/z/c waits: only a job that a node has can be moved" in said.err
        said = await lab.distribute("move", "lab/z/a", "--dry", "--json")
        assert said.document == {
            "moving": "lab/z/a",
            "user": "jane",
            "node": first.node,
            "attempt": 1,
            "moved_by": "jane",
            "held_by": None,
            "dry": True,
        }
        said = await lab.distribute("move", "lab/z/a")
        assert said.out == f"lab/z/a is being moved away from {first.node}\n"
        yielded = (await lab.event("yielded", batch="lab/z")).event
        assert isinstance(yielded, ev.Yielded)
        assert (yielded.job, yielded.reason) == ("a", "moved by jane")
        assert yielded.outputs is not None
        # The node that it left takes the other job, although `a` comes first; `a` waits for the other node.
        ended = (await lab.event("finished", batch="lab/z")).event
        assert isinstance(ended, ev.Finished)
        assert (ended.job, ended.node) == ("c", first.node)
        (tmp_path / "b").touch()
        again = (await lab.event("started", batch="lab/z", where=lambda event: event.attempt == 2)).event
        assert isinstance(again, ev.Started)
        assert (again.job, again.node) == ("a", other)
        (tmp_path / "a").touch()
        await lab.over("lab/z")
        story = (await lab.distribute("status", "lab/z/a", "--json")).document
        assert [(one["outcome"], one["reason"]) for one in story["attempts"]] == [
            ("yielded", "moved by jane"),
            ("succeeded", None),
        ]
        folder, _ = await lab.pull("lab/z")
        assert (folder / "a/ran").read_text() == f"{other} 1\n"
        said = await lab.distribute("move", "lab/z/a", code=4)
        assert "lab/z is over: there is nothing to move" in said.err


async def test_a_job_that_a_pause_holds_is_moved_away(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1"]}) as lab:
        await lab.add(command_batch("lab/p", {"a": HANGS}))
        await began(lab, "lab/p", "a")
        said = await lab.distribute("move", "lab/p/a", "--dry")
        assert "no other node that is here can take it, so it may run on ws1 again" in said.err
        assert "release" not in said.err
        await lab.distribute("pause", "--node", "ws1", "--duration", "1h", "--detach")
        await lab.distribute("hold", "lab/p")
        said = await lab.distribute("move", "lab/p/a")
        assert "jane holds its batch: it then waits until somebody releases that" in said.err
        assert "`distribute release lab/p`" in said.err
        await lab.event("yielded", batch="lab/p")
        await lab.distribute("kill", "lab/p")
        await lab.over("lab/p")
        await lab.distribute("resume", "--node", "ws1")


async def test_what_can_not_be_edited_or_moved_is_said(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1"]}) as lab:
        await lab.add(command_batch("lab/x", {"a": HANGS, "b": HANGS}))
        await began(lab, "lab/x", "a")
        refused = {
            ("edit", "lab/x"): (2, "say what to change"),
            ("edit", "lab/x", "--cpus", "many"): (
                2,
                "--cpus takes a whole number from 1 to 65536, not 'many'",
            ),
            ("edit", "lab/x", "--cpus", "0"): (2, "--cpus takes a whole number from 1"),
            ("edit", "lab/x", "--max-running", "0"): (2, "from 1 to 100000, or none, not '0'"),
            ("edit", "lab/x", "a", "--max-running", "1"): (2, "of the whole batch: name no jobs with them"),
            ("edit", "lab/x", "--memory", "much"): (2, "--memory"),
            ("edit", "lab/x", "--timeout", "soon"): (2, "--timeout"),
            ("edit", "lab/x", "nobody", "--cpus", "1"): (4, "lab/x has no job 'nobody'"),
            ("edit", "lab/x", "x/nobody", "--cpus", "1"): (4, "lab/x has no job 'nobody'"),
            ("edit", "lab/x", "lab/y/a", "--cpus", "1"): (2, "lab/y/a is no job of lab/x"),
            ("retry", "lab/x", "y/a"): (2, "y/a is no job of lab/x"),
            ("edit", "lab/x", "a", "--cpus", "1"): (4, "no job of lab/x that you would edit waits"),
            ("edit", "lab/none", "--cpus", "1"): (4, "there is no batch lab/none"),
            ("move", "lab/x"): (2, "'lab/x' names a batch; a job of it is"),
            ("move", "lab/x/nobody"): (4, "lab/x has no job 'nobody'"),
            ("move", "lab/none/a"): (4, "there is no batch lab/none"),
        }
        told = await asyncio.gather(
            *(lab.distribute(*words, code=code) for words, (code, _) in refused.items())
        )
        for said, (words, (_, text)) in zip(told, refused.items(), strict=True):
            assert text in said.err, (words, said.err)
        assert await lab.events("edited", "move_requested", batch="lab/x") == []
        await lab.distribute("kill", "lab/x")
        await lab.over("lab/x")
