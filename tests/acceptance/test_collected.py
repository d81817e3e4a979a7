"""A batch that ran at SLURM, brought into the archive, is a batch like any other there."""

from __future__ import annotations

import re
import signal
from datetime import datetime
from pathlib import Path

from acceptance.lab import Lab, open_lab
from distribute.core.log.events import Collected
from distribute.core.spec.specs import BatchSpec
from distribute.testing import builders as make
from ran_kit import RanFolder

JOBS = ("good", "bad", "stopped", "$(touch x); rm -rf ~", "two\nlines")
CANCELLED = "102|CANCELLED by 1000|0:15|2026-11-27T07:00:00|2026-11-27T07:10:00|00:10:00|00:01:00|1M|ws1|0"


def spec(name: str = "sweep", jobs: tuple[str, ...] = JOBS) -> BatchSpec:
    return make.batch([make.job(job) for job in jobs], batch=name)


def ran(folder: Path) -> RanFolder:
    """One job succeeded, one failed, and a person cancelled one. Their nodes have names of the lab's own."""
    there = RanFolder(folder, spec())
    there.end("good", "hello\n", {"u.dat": "1\n", "plots/u.png": "2"}, node="ws1")
    there.end("bad", "step 1\nno room\n", {"half.dat": "3"}, exit_code=3, node="ws1")
    work = there.work_of("stopped")
    (work / "stdout.txt").write_text("step 1\n")
    (work / "job" / "distribute_save" / "restart.dat").write_text("4")
    there.end(JOBS[3], "a\n")
    there.end(JOBS[4], "b\n")
    there.account(CANCELLED)
    return there


async def test_a_batch_that_ran_at_slurm_is_collected_and_pulled(tmp_path: Path) -> None:
    folder = ran(tmp_path / "out")
    async with open_lab(tmp_path / "lab", {"ws1": ["--cpus", "2"]}) as lab:
        dry = await lab.distribute("slurm", "--collect", str(folder.path), "--dry")
        assert dry.out == "lab/sweep would be collected: 5 jobs: 3 succeeded, 1 failed, 1 killed\n"
        assert await lab.events("submitted", batch="lab/sweep") == []
        said = await lab.distribute("slurm", "--collect", str(folder.path))
        assert said.out == "lab/sweep is collected: 5 jobs: 3 succeeded, 1 failed, 1 killed\n"
        assert "`distribute pull lab/sweep` gets its results" in said.err
        assert (await lab.distribute("wait", "lab/sweep", code=1)).code == 1

        pulled, _ = await lab.pull("lab/sweep")
        for job in ("good", "bad", JOBS[3], JOBS[4]):
            assert files_of(pulled / job) == files_of(folder.results_of(job))
        stopped = {"stdout.txt": b"step 1\n", "restart.dat": b"4"}
        assert files_of(pulled / "stopped") == stopped
        await check_what_is_shown(lab)

        again = await lab.distribute("slurm", "--collect", str(folder.path))
        assert again.out == "lab/sweep is collected already: 5 jobs: 3 succeeded, 1 failed, 1 killed\n"
        again = await lab.distribute("slurm", "--collect", str(folder.path), "--json")
        assert again.document["new"] == 0
        assert again.document["jobs"] == {"total": 5, "succeeded": 3, "failed": 1, "killed": 1}
        assert len(await lab.events("collected", batch="lab/sweep")) == len(JOBS)
        assert await lab.events("assigned", batch="lab/sweep") == []
        await lab.distribute("delete", "lab/sweep", "--yes")
        assert (await lab.distribute("slurm", "--collect", str(folder.path))).code == 0
        await lab.distribute("delete", "lab/sweep", "--yes")


async def check_what_is_shown(lab: Lab) -> None:
    """`status` and `logs` tell of such a batch as of any other."""
    shown = (await lab.distribute("status", "lab/sweep", "--json")).document
    assert (shown["ran_at"], shown["state"], shown["archived"]) == ("slurm", "failed", True)
    by_name = {job["job"]: job for job in shown["job_list"]}
    assert by_name["bad"]["last_line"] == "no room"
    assert by_name["bad"]["started_at"].startswith("2026-11-27T07:00:0")
    assert by_name["stopped"]["reason"] == "killed by jane; cancelled by uid 1000 (SLURM: CANCELLED)"
    assert by_name["stopped"]["max_rss_bytes"] == 1 << 20
    story = await lab.distribute("status", "lab/sweep/bad")
    began, ended = (datetime.fromisoformat(f"2026-11-27T07:0{minute}:00Z").astimezone() for minute in (0, 1))
    times = [f"({time:%Y-%m-%d} )?{time:%H:%M:%S}" for time in (began, ended)]  # of today without the date
    assert re.search(rf"failed +3 +{times[0]} +{times[1]}", story.out)
    assert (await lab.distribute("logs", "lab/sweep/good")).out == "hello\n"
    assert (await lab.distribute("logs", "lab/sweep/stopped")).out == "step 1\n"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_folder_that_still_runs_is_refused_and_nothing_is_submitted(tmp_path: Path) -> None:
    folder = RanFolder(tmp_path / "out", spec(jobs=("a", "b")))
    folder.end("a")
    async with open_lab(tmp_path / "lab", {}) as lab:
        said = await lab.distribute("slurm", "--collect", str(folder.path), code=2)
        assert "nothing tells of the end of 1 of 2 jobs (b): they still run, or SLURM ended them" in said.err
        assert "--missing-as-failed takes them as failed" in said.err
        said = await lab.distribute("slurm", "--collect", str(tmp_path), code=2)
        assert "is not a folder that `distribute slurm` wrote" in said.err
        assert await lab.events("submitted", batch="lab/sweep") == []
        said = await lab.distribute("slurm", "--missing-as-failed", str(folder.path), code=2)
        assert "are for --collect" in said.err
        said = await lab.distribute("slurm", "--collect", str(folder.path), "--missing-as-failed")
        assert said.out == "lab/sweep is collected: 2 jobs: 1 succeeded, 1 failed\n"
        told = await lab.distribute("status", "lab/sweep/b")
        assert "nothing tells how it ended" in told.out


async def test_what_a_build_printed_at_slurm_is_shown_and_pulled(tmp_path: Path) -> None:
    """Also of one that failed, whose jobs never ran."""
    good, bad = (
        RanFolder(tmp_path / name, make.batch(1, build="make", batch=name)) for name in ("good", "bad")
    )
    good.build("cc -O2\n")
    good.end("job1")
    printed = bad.build("cc -O2\nno main\n", exit_code=2).read_bytes()
    async with open_lab(tmp_path / "lab", {}) as lab:
        await lab.distribute("slurm", "--collect", str(good.path))
        said = await lab.distribute("slurm", "--collect", str(bad.path))
        assert said.out == "lab/bad is collected: 1 job: 1 failed\n"
        await lab.distribute("wait", "lab/bad", code=1)
        assert (await lab.distribute("logs", "lab/good")).out == "==> nid001 (built) <==\ncc -O2\n"
        shown = (await lab.distribute("status", "lab/bad")).out
        assert "it ran at slurm, not on this cluster" in shown
        assert "the build failed at nid001: exit code 2; its last lines:\n    cc -O2\n    no main\n" in shown
        pulled, _ = await lab.pull("lab/bad")
        assert (pulled / "bad_build_output-nid001.txt").read_bytes() == printed


async def test_a_name_that_is_taken_is_kept_until_it_is_replaced(tmp_path: Path) -> None:
    first, second = (
        RanFolder(tmp_path / "1", spec(jobs=("a",))),
        RanFolder(tmp_path / "2", spec(jobs=("a",)), folder_id="another-run-of-it"),
    )
    first.end("a", "first\n")
    second.end("a", "second\n")
    async with open_lab(tmp_path / "lab", {}) as lab:
        await lab.distribute("slurm", "--collect", str(first.path))
        said = await lab.distribute("slurm", "--collect", str(second.path), code=4)
        assert "there is already a batch lab/sweep, of jane, and it is not the run of this folder" in said.err
        assert (await lab.distribute("logs", "lab/sweep/a")).out == "first\n"
        await lab.distribute("slurm", "--collect", str(second.path), "--replace", "--yes")
        assert (await lab.distribute("logs", "lab/sweep/a")).out == "second\n"


async def test_a_collection_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    jobs = tuple(f"job{number}" for number in range(1500))
    folder = RanFolder(tmp_path / "out", spec(jobs=jobs))
    for job in jobs:
        folder.end(job, f"{job}\n")
    async with open_lab(tmp_path / "lab", {}) as lab:
        running = await lab.start("slurm", "--collect", str(folder.path))
        await lab.event("collected", batch="lab/sweep")
        running.send(signal.SIGKILL)
        await running.end()
        before = {event.job for event in await collected(lab)}
        assert before
        again = (await lab.distribute("slurm", "--collect", str(folder.path), "--json")).document
        assert again["new"] <= len(jobs) - len(before)  # some were under way
        assert sorted(event.job for event in await collected(lab)) == sorted(jobs)
        assert (await lab.distribute("wait", "lab/sweep")).code == 0


async def collected(lab: Lab) -> list[Collected]:
    events = await lab.events("collected", batch="lab/sweep")
    return [event for event in events if isinstance(event, Collected)]
