"""`schedule_jobs.sh --again` schedules what did not succeed, and nothing that SLURM still has."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from distribute_cli.main import app
from slurm_kit import ENDS_WITHIN_S, WHERE

JOBS = ("good", "bad", "queued", "cancelled", "requeued")
GOOD, BAD = '{"v": 1, "exit_code": 0, "x": 1}', '{"v": 1, "exit_code": 3, "x": 1}'


class Site:
    """A folder at a cluster whose SLURM only notes what it is told. `queue` holds the ids that it lists."""

    def __init__(self, home: Path, *shape: str, build: str | None = None, last: str | None = None) -> None:
        self._home, self._shape = home, shape
        self.write(JOBS, build, last)
        self.path, self.queue, self._told = home / "out", home / "queue", home / "told"
        self.queue.touch()
        self._bin = home / "bin"
        self._bin.mkdir()
        self.program("sbatch", f'echo "$@" | tee -a {home}/all >> {self._told}; wc -l < {home}/all')
        self.program("squeue", f"cat {self.queue}")
        self.program("scancel", f'echo "scancel $@" >> {self._told}')

    def write(self, jobs: tuple[str, ...], build: str | None = None, last: str | None = None) -> None:
        command: dict[str, Any] = {"jobs": [{"name": name, "command": "true"} for name in jobs]}
        if build is not None:
            command["initialize"] = {"build": build}
        batch: dict[str, Any] = {"meta": {"namespace": "n", "batch_name": "b"}, "command": command}
        if last is not None:
            batch["finally"] = {"name": last, "command": "true"}
        (self._home / "b.yaml").write_text(json.dumps(batch))
        result = CliRunner().invoke(app, ["slurm", "out", "b.yaml", *WHERE, "sweep", *self._shape])
        assert result.exit_code == 0, result.output

    def program(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def schedule(self, *options: str, code: int = 0) -> list[str]:
        """Run schedule_jobs.sh; returns what sbatch was told."""
        self._told.write_text("")
        self.done = subprocess.run(
            ["sh", "schedule_jobs.sh", *options],
            cwd=self.path,
            env={**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN_S,
        )
        assert self.done.returncode == code, self.done.stderr
        return [line.removeprefix("--parsable ") for line in self._told.read_text().splitlines()]

    def ends(self, **records: str) -> None:
        for name, text in records.items():
            (self.path / "state" / f"{name.removeprefix('n')}.json").write_text(text)

    def id_of(self, unit: str) -> str:
        return (self.path / "state" / f"{unit}.id").read_text().strip()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def test_only_jobs_that_did_not_succeed_and_are_not_in_the_queue_run_again(home: Path) -> None:
    site = Site(home)
    assert site.schedule() == [f"scripts/{number}.sbatch" for number in range(5)]
    site.ends(n0=GOOD, n1=BAD, n4=BAD)
    site.queue.write_text(f"{site.id_of('2')}\n{site.id_of('4')}\n77\n")
    assert site.schedule() == []
    assert site.schedule("--again") == ["scripts/1.sbatch", "scripts/3.sbatch"]
    assert site.done.stdout.startswith("2 did not succeed, and are scheduled anew\n")
    assert not (site.path / "state" / "1.json").exists()
    left = {path.name for path in (site.path / "state").iterdir()}
    assert left == {"batch", "0.json", "4.json", *(f"{number}.id" for number in range(5))}


def test_of_an_array_only_those_tasks_run_again(home: Path) -> None:
    site = Site(home, "--array")
    assert site.schedule() == ["scripts/array-0.sbatch"]
    site.ends(n0=GOOD, n1=BAD, n4=BAD)
    site.queue.write_text("1_2\n1_4\n")
    assert site.schedule("--again") == ["--array=1,3 scripts/array-0.sbatch"]
    ids = [site.id_of(str(number)) for number in range(5)]
    assert ids == ["1_0", "2_1", "1_2", "2_3", "1_4"]
    assert site.schedule() == []


def test_of_an_array_that_was_noted_half_nothing_runs_twice(home: Path) -> None:
    """As when the script is killed while it notes the tasks; also if the next run has --again."""
    site = Site(home, "--array")
    site.schedule()
    for option in ([], ["--again"]):
        (site.path / "state" / "array-0.id").write_text("1\n")
        (site.path / "state" / "3.id").unlink()
        site.queue.write_text("".join(f"1_{task}\n" for task in range(5)))
        assert site.schedule(*option) == []
        assert site.id_of("3") == "1_3"


def test_a_build_that_failed_runs_again_with_its_jobs(home: Path) -> None:
    site = Site(home, build="make")
    assert site.schedule()[:2] == [
        "scripts/build.sbatch",
        "--dependency=afterok:1 --kill-on-invalid-dep=yes scripts/0.sbatch",
    ]
    site.ends(build=BAD)
    assert site.schedule(code=1) == []
    assert "when that is mended, 'sh schedule_jobs.sh --again' runs it and the jobs anew" in site.done.stderr
    assert [line.rpartition("/")[2] for line in site.schedule("--again")] == [
        "build.sbatch", *(f"{number}.sbatch" for number in range(5))
    ]  # fmt: skip
    site.ends(build=GOOD, n0=BAD)
    site.queue.write_text("".join(f"{site.id_of(str(number))}\n" for number in range(1, 5)))
    assert site.schedule("--again") == ["scripts/0.sbatch"], "it has been built"


def test_if_the_queue_can_not_be_asked_nothing_is_scheduled_or_forgotten(home: Path) -> None:
    site = Site(home)
    site.schedule()
    site.ends(n1=BAD)
    site.program("squeue", "echo no controller >&2; exit 1")
    assert site.schedule("--again", code=1) == []
    assert "no controller\nschedule_jobs.sh: squeue failed" in site.done.stderr
    assert (site.path / "state" / "1.json").exists()


@pytest.mark.parametrize(("jobs", "code"), [(JOBS, 0), (JOBS[1:], 1), (("new", *JOBS), 1)])
def test_a_folder_that_was_written_anew_replaces_one_with_the_same_jobs_only(
    home: Path, jobs: tuple[str, ...], code: int
) -> None:
    """Jobs go by numbers there: those of another list would pass for those that have run."""
    site = Site(home)
    site.schedule()
    site.ends(n0=GOOD, n1=BAD, n2=GOOD, n3=GOOD, n4=GOOD)
    (home / "out").rename(home / "first")
    site.write(jobs)
    (home / "first" / "state").rename(home / "out" / "state")
    assert site.schedule("--again", code=code) == ([] if code else ["scripts/1.sbatch"])
    assert ("other jobs were scheduled in this folder" in site.done.stderr) == bool(code)


def test_an_option_that_is_not_there_is_refused(home: Path) -> None:
    site = Site(home)
    assert site.schedule("--agian", code=1) == []
    assert "there is no option --agian: use none; --again, which also" in site.done.stderr


LAST = "scripts/5.sbatch"


def waiting_for(*ids: int) -> str:
    others = ":".join(map(str, ids))
    return f"--dependency=afterany:{others} --kill-on-invalid-dep=yes {LAST}"


def test_the_last_job_waits_for_all_others(home: Path) -> None:
    site = Site(home, last="plot")
    assert site.schedule() == [
        *(f"scripts/{number}.sbatch" for number in range(5)),
        waiting_for(1, 2, 3, 4, 5),
    ]
    assert site.id_of("5") == "6"
    assert site.schedule() == []


def test_the_last_job_is_in_no_array_and_waits_for_all_of_them(home: Path) -> None:
    site = Site(home, "--array", build="make", last="plot")
    assert site.schedule() == [
        "scripts/build.sbatch",
        "--dependency=afterok:1 --kill-on-invalid-dep=yes scripts/array-0.sbatch",
        f"--dependency=afterok:1,afterany:2 --kill-on-invalid-dep=yes {LAST}",
    ]
    assert (site.path / "scripts" / "array-0.txt").read_text() == "0\n1\n2\n3\n4\n"
    site.ends(build=GOOD, n0=GOOD, n1=BAD, n2=GOOD, n3=GOOD, n4=GOOD, n5=GOOD)
    assert site.schedule("--again") == ["scancel 3", "--array=1 scripts/array-0.sbatch", waiting_for(2, 3, 4)]


def test_a_last_job_that_failed_runs_again_by_itself(home: Path) -> None:
    site = Site(home, last="plot")
    site.schedule()
    site.ends(n0=GOOD, n1=GOOD, n2=GOOD, n3=GOOD, n4=GOOD, n5=BAD)
    assert site.schedule("--again") == [waiting_for(1, 2, 3, 4, 5)]
    site.ends(n5=GOOD)
    assert site.schedule("--again") == []


@pytest.mark.parametrize("record", [GOOD, None], ids=["succeeded", "waits or runs"])
def test_the_last_job_runs_again_behind_others_that_do(home: Path, record: str | None) -> None:
    """Its earlier run is cancelled, and the next waits for that, too: both work in one folder."""
    site = Site(home, last="plot")
    site.schedule()
    site.ends(n0=GOOD, n1=BAD, n2=GOOD, n3=GOOD, n4=GOOD)
    if record is None:
        site.queue.write_text(f"{site.id_of('5')}\n")
    else:
        site.ends(n5=record)
    assert site.schedule("--again") == ["scancel 6", "scripts/1.sbatch", waiting_for(1, 3, 4, 5, 6, 7)]
    assert "the job that runs last is scheduled anew, behind the others" in site.done.stdout
    assert not (site.path / "state" / "5.json").exists()
    site.ends(n1=GOOD, n5=GOOD)
    assert site.schedule("--again") == []


def test_the_last_job_runs_again_although_the_script_was_stopped_before_it_came_to_it(home: Path) -> None:
    site = Site(home, last="plot")
    site.schedule()
    site.ends(n0=GOOD, n1=BAD, n2=GOOD, n3=GOOD, n4=GOOD, n5=GOOD)
    fails = f'case "$*" in *scripts/5.sbatch) exit 1 ;; esac; echo "$@" >> {home}/told; echo 7'
    site.program("sbatch", fails)
    assert site.schedule("--again", code=1) == ["scancel 6", "scripts/1.sbatch"]
    site.program("sbatch", f'echo "$@" >> {home}/told; echo 8')
    assert site.schedule() == [waiting_for(1, 3, 4, 5, 6, 7)]
    assert site.schedule() == []


def test_after_a_person_requeued_another_job_the_last_one_runs_again(home: Path) -> None:
    site = Site(home, last="plot")
    site.schedule()
    site.ends(n0=GOOD, n1=GOOD, n2=GOOD, n3=GOOD, n4=GOOD, n5=GOOD)
    os.utime(site.path / "state" / "5.json", (1, 1))
    assert site.schedule() == []
    assert site.schedule("--again") == ["scancel 6", waiting_for(1, 2, 3, 4, 5, 6)]
