"""Setup lines run before the build and before each job, and a line that fails is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acceptance.lab import Json, command_batch, open_lab

PROFILE = "export PATH=/opt/site:/usr/bin:/bin OMP_NUM_THREADS=64 SITE=here\n"
SHOW = 'echo "$MODE $SITE $OMP_NUM_THREADS $PATH"'


def batch(name: str, build: str | None = None, **meta: Any) -> Json:
    made = command_batch(name, {"text": f"greet; {SHOW}", "list": ["sh", "-c", f"cat built; {SHOW}"]}, **meta)
    made["command"]["initialize"] = {"build": build or f"greet > built; {SHOW} >> built"}
    return made


@pytest.mark.parametrize("copies", ["overlay", "copy"])
async def test_a_build_and_its_jobs_get_what_the_setup_lines_load(tmp_path: Path, copies: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bash_profile").write_text(PROFILE)
    options = ["--cpus", "2", "--env", f"HOME={home}", "--path", "/opt/first", "--build-copies", copies]
    async with open_lab(tmp_path / "lab", {"ws1": options}) as lab:
        setup = ["sleep 1000 &", "set -u; greet() { echo hello; }", 'export MODE="it\'s set"']
        for name, lines in (("x", setup), ("y", setup), ("z", [*setup, "export MODE=other"])):
            await lab.add(batch(f"lab/{name}", setup=lines), "--wait")
        shown = "it's set here 1 /opt/first:/opt/site:/usr/bin:/bin"
        for name, line in (("x", shown), ("y", shown), ("z", shown.replace("it's set", "other"))):
            folder, _ = await lab.pull(f"lab/{name}")
            assert (folder / "text" / "stdout.txt").read_text().splitlines()[-2:] == ["hello", line]
            built = line.replace(" 1 ", " 2 ")
            assert (folder / "list" / "stdout.txt").read_text().splitlines()[-3:] == ["hello", built, line]
        builds = {name: await lab.events("build_finished", batch=f"lab/{name}") for name in "xyz"}
        kept = {name: getattr(found, "kept_from", None) for name, (found,) in builds.items()}
        assert kept == {"x": None, "y": "lab/x", "z": None}
        story = (await lab.distribute("status", "lab/x/text")).out
        assert "bash -l" in story
        assert "sleep 1000 &" in story


async def test_a_setup_line_that_fails_is_named(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "2"]}) as lab:
        jobs = {"a": "touch distribute_save/begun", "b": ["touch", "distribute_save/begun"]}
        lines = ["export A=1", "cat /no/such/file", "true"]
        await lab.add(command_batch("lab/x", jobs, setup=lines, shell="sh"), "--wait", code=1)
        for job in (await lab.jobs("lab/x")).values():
            assert (job["state"], job["exit_code"]) == ("failed", 1)
            assert job["reason"] == "its setup line 'cat /no/such/file' failed"
        folder, _ = await lab.pull("lab/x", code=0)
        assert not [*folder.rglob("begun")]
        assert "/no/such/file" in (await lab.distribute("logs", "lab/x/a")).out
        await lab.add(batch("lab/y", setup=["exit 0"]), "--wait", code=1)
        failed = await lab.distribute("status", "lab/y", code=0)
        assert "its setup line 'exit 0' ended the shell" in failed.out


async def test_a_job_that_is_killed_or_late_in_its_setup_ends_as_any_other(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "2"]}) as lab:
        jobs = {"late": {"command": "true", "timeout": 1}, "killed": "true"}
        await lab.add(command_batch("lab/x", jobs, setup="sleep 1000\n"))
        await lab.event("started", batch="lab/x", where=lambda event: event.job == "killed")
        await lab.distribute("kill", "lab/x/killed")
        await lab.over("lab/x")
        found = await lab.jobs("lab/x")
        assert found["killed"]["state"] == "killed"
        assert found["late"]["reason"] == "ran for longer than its timeout of 1 s"
