"""A build is used again by the next batch, and jobs that save to where it ran keep their results."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from acceptance.lab import Json, command_batch, open_lab

BUILD = (
    "echo it is built; date +%s%N > when;"
    ' printf \'#!/bin/sh\\necho "$1" > %s/distribute_save/result\\n\' "$PWD" > save; chmod +x save'
)
JOB = './save "$DISTRIBUTE_JOB"; cp when distribute_save/'


def batch(name: str, **meta: Any) -> Json:
    made = command_batch(name, {"a": JOB, "b": JOB}, **meta)
    made["command"]["initialize"] = {"build": BUILD}
    return made


async def test_the_next_batch_starts_from_the_build_of_the_one_before(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "2"]}) as lab:
        times = {}
        for name, meta in (("lab/x", {}), ("lab/y", {}), ("lab/z", {"rebuild": "always"})):
            await lab.add(batch(name, **meta), "--wait")
            folder, _ = await lab.pull(name)
            assert [(folder / job / "result").read_text() for job in "ab"] == ["a\n", "b\n"]
            assert len({(folder / job / "when").read_text() for job in "ab"}) == 1
            times[name] = (folder / "a" / "when").read_text()
            printed = await lab.distribute("logs", name)
            assert printed.out.splitlines()[-1] == "it is built"
        assert times["lab/x"] == times["lab/y"] != times["lab/z"]
        assert "build on ws1: kept from lab/x" in (await lab.distribute("status", "lab/y")).out
        assert "kept" not in (await lab.distribute("status", "lab/z")).out
        assert "ws1 (kept from lab/x)" in (await lab.distribute("logs", "lab/y")).out


async def test_a_node_that_starts_again_still_has_its_builds(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "2"]}) as lab:
        await lab.add(batch("lab/x"), "--wait")
        assert lab.processes.end("ws1", signal.SIGTERM) == 0
        left = await lab.event("left", node="ws1")
        lab.processes.start("ws1")
        await lab.event("joined", node="ws1", after=left.seq)
        await lab.add(batch("lab/y"), "--wait")
        (finished,) = await lab.events("build_finished", batch="lab/y")
        assert getattr(finished, "kept_from", None) == "lab/x"


async def test_a_node_without_views_names_the_job_that_saves_to_the_build(tmp_path: Path) -> None:
    """There it fails loudly, and the next job finds the build as it was."""
    async with open_lab(tmp_path, {"ws1": ["--cpus", "2", "--build-copies", "copy"]}) as lab:
        made = batch("lab/x")
        made["command"]["jobs"] = [{"name": "bad", "command": JOB}]
        await lab.add(made, "--wait", code=1)
        shown = (await lab.distribute("nodes", "ws1")).out
        assert "build copies  copies in folders of their own" in shown
        job = (await lab.jobs("lab/x"))["bad"]
        assert "wrote to where the build ran" in job["reason"]
        assert "/job/distribute_save/result" in job["reason"]
        made = batch("lab/y")
        made["command"]["jobs"] = [{"name": "good", "command": "cp when distribute_save/"}]
        await lab.add(made, "--wait")
        folder, _ = await lab.pull("lab/y")
        assert sorted(path.name for path in (folder / "good").iterdir()) == ["stdout.txt", "when"]
        (finished,) = await lab.events("build_finished", batch="lab/y")
        assert getattr(finished, "kept_from", None) == "lab/x"
