"""A job that runs when all others are over, on a real SLURM."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from acceptance.person import Person
from slurm_kit import ENDS_WITHIN_S, WHERE, Slurm, ids_of


@pytest.mark.parametrize("shape", [(), ("--array",)], ids=["single jobs", "an array"])
def test_it_runs_when_all_others_are_over_whatever_became_of_them_and_is_collected(
    shape: tuple[str, ...], jane: Person, slurm: Slurm
) -> None:
    """One succeeds, one fails, and one runs until SLURM ends it: its record comes before the last one's."""
    home = jane.home
    os.mkfifo(home / "runs")
    jobs = {
        "good": "echo 1 > distribute_save/x",
        "bad": "echo 2 > distribute_save/x; exit 3",
        "ended": f"echo 3 > distribute_save/x; echo half; echo yes > {home}/runs; sleep 1000",
    }
    out = written(jane, jobs, "cd input/results && grep . */x > ../../distribute_save/table", *shape)
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    assert (home / "runs").read_text() == "yes\n"  # opening it waits until the job runs
    last = id_of(out, 3)
    assert slurm.show(last)["JobState"] == "PENDING"
    slurm.run("scancel", id_of(out, 2))
    slurm.wait(last)
    table = out / "results" / "b" / "plot" / "table"
    assert table.read_text() == "bad/x:2\nended/x:3\ngood/x:1\n"
    slurm.account(out)
    jane.runs("slurm", "--collect", "out")
    states = {job["job"]: job["state"] for job in jane.asks("status", "jane/b")["job_list"]}
    assert states == {"good": "succeeded", "bad": "failed", "ended": "killed", "plot": "succeeded"}
    jane.starts("pull", "jane/b", "--save-dir", "pulled").communicate(timeout=ENDS_WITHIN_S)
    assert (home / "pulled" / "b" / "plot" / "table").read_text() == table.read_text()


def test_it_runs_again_when_others_do_and_its_run_under_way_is_cancelled(
    tmp_path: Path, slurm: Slurm
) -> None:
    code, gate = tmp_path / "code", tmp_path / "gate"
    code.write_text("3")
    os.mkfifo(gate)
    with Person(tmp_path) as jane:
        jobs = {"a": f"cp {code} distribute_save/x; exit $(cat {code})", "b": "true"}
        out = written(jane, jobs, f"cp input/results/a/x distribute_save; echo yes > {gate}; cat {gate}")
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    assert gate.read_text() == "yes\n"
    first, good = id_of(out, 2), id_of(out, 1)
    code.write_text("0")
    said = slurm.run("sh", "schedule_jobs.sh", "--again", cwd=out).stdout
    assert "the job that runs last is scheduled anew, behind the others" in said
    assert (id_of(out, 1), id_of(out, 2) != first) == (good, True)
    assert gate.read_text() == "yes\n"
    with gate.open("w"):
        pass
    slurm.wait(id_of(out, 2))
    assert (out / "results" / "b" / "plot" / "x").read_text() == "0"
    assert slurm.show(first)["JobState"] == "CANCELLED"
    assert json.loads((out / "state" / "2.json").read_text())["slurm_job_id"] == id_of(out, 2)
    assert "nothing was left to schedule" in slurm.run("sh", "schedule_jobs.sh", "--again", cwd=out).stdout


def test_it_does_not_run_if_the_build_failed_and_does_once_that_is_mended(
    tmp_path: Path, slurm: Slurm
) -> None:
    with Person(tmp_path) as jane:
        out = written(jane, {"a": "true"}, "cp made distribute_save", build=f"cat {tmp_path}/mended > made")
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    slurm.wait(*ids_of(out))
    assert slurm.show(id_of(out, 1))["JobState"] == "CANCELLED"
    with Person(tmp_path) as jane:
        assert jane.runs("slurm", "--collect", "out", "--dry").stdout.endswith("2 jobs: 2 failed\n")
    (tmp_path / "mended").write_text("made")
    slurm.run("sh", "schedule_jobs.sh", "--again", cwd=out)
    slurm.wait(*ids_of(out))
    assert (out / "results" / "b" / "plot" / "made").read_text() == "made"


def written(jane: Person, jobs: dict[str, str], last: str, *shape: str, build: str | None = None) -> Path:
    """The folder of a batch with these commands, and the last one's."""
    command: dict[str, object] = {"jobs": [{"name": name, "command": text} for name, text in jobs.items()]}
    if build is not None:
        command["initialize"] = {"build": build}
    batch = {
        "meta": {"namespace": "jane", "batch_name": "b"},
        "command": command,
        "finally": {"name": "plot", "command": last},
    }
    (jane.home / "b.yaml").write_text(yaml.safe_dump(batch))
    jane.runs("slurm", "out", "b.yaml", *WHERE, "x", *shape)
    return jane.home / "out"


def id_of(out: Path, number: int) -> str:
    """The id that SLURM gave a job."""
    return (out / "state" / f"{number}.id").read_text().strip()
