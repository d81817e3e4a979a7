"""People change the files of their batches, and run only what changed, on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import distribute
from acceptance.cluster_kit import as_person, person_with_cluster
from acceptance.person import Person, until

KEEP = ("--replace", "--keep-succeeded")


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person with a cluster of one node with two cpus."""
    with person_with_cluster(tmp_path_factory.mktemp("home"), "--nodes", "1", "--cpus", "2") as person:
        yield person


def jobs_of(jane: Person, batch: str) -> dict[str, Any]:
    return {job["job"]: job for job in jane.asks("status", batch)["job_list"]}


def states(jane: Person, batch: str) -> dict[str, str]:
    return {name: job["state"] for name, job in jobs_of(jane, batch).items()}


def notes(jane: Person, name: str, then: str = "true") -> str:
    """A command that notes that it ran, leaves that note, and does something."""
    return f"echo {name} >> {jane.home}/ran-{name}; cp {jane.home}/ran-{name} distribute_save/; {then}"


def ran(jane: Person, name: str) -> int:
    """How often a job ran."""
    return (jane.home / f"ran-{name}").read_text().count("\n")


def writes_mesh(jane: Person, coarse: str, **more: str) -> str:
    """Write a batch: `coarse` finds a file with this content, and `plot` runs when all others are over."""
    (jane.home / "mesh.dat").write_text(coarse)
    file = jane.home / "mesh.yaml"
    jobs = {"fine": "true", "coarse": "true"} | more
    lines = [
        f"    - {{name: {name}, command: '{notes(jane, name, then)}'"
        f"{', required_files: [mesh.dat]' if name == 'coarse' else ''}}}\n"
        for name, then in jobs.items()
    ]
    plot = notes(jane, "plot", "ls input/results > distribute_save/seen")
    file.write_text(
        "meta: {namespace: jane, batch_name: mesh, resources: {cpus: 1}}\n"
        f"command:\n  jobs:\n{''.join(lines)}finally: {{name: plot, command: '{plot}'}}\n"
    )
    return file.name


def test_a_changed_file_has_only_its_changed_failed_and_new_jobs_run(jane: Person) -> None:
    jane.runs("add", writes_mesh(jane, "1", gone="true", bad="false"), "--wait", code=1)
    jane.runs("pull", "mesh", "--save-dir", "here")
    before = jobs_of(jane, "jane/mesh")

    file = writes_mesh(jane, "2", bad="true", extra="true")
    would = jane.asks("add", file, *KEEP, "--dry", "--list")
    assert [would[key] for key in ("kept", "rerun", "new", "removed")] == [1, 3, 1, 1]
    assert {job["job"]: job["change"] for job in would["job_list"]} == {
        "fine": "kept", "coarse": "rerun", "bad": "rerun", "extra": "new", "plot": "rerun",
    }  # fmt: skip
    assert would["removed_jobs"] == ["gone"]
    told = jane.runs("add", file, *KEEP, "--dry", "--list").stdout
    assert "removed: gone" in told
    assert "jane/mesh would be replaced: 1 job is kept, 3 run again, 1 is new, 1 is removed" in told, (
        "in one line"
    )
    assert ran(jane, "coarse") == 1, "it only said what would happen"

    assert "give --yes" in jane.runs("add", file, *KEEP, code=4).stderr, "it asks first"
    added = jane.runs("add", file, *KEEP, "--yes").stdout
    assert "jane/mesh is replaced: 1 job is kept, 3 run again, 1 is new, 1 is removed" in added
    jane.runs("wait", "jane/mesh")
    after = jobs_of(jane, "jane/mesh")
    assert {name: job["state"] for name, job in after.items()} == dict.fromkeys(
        ("fine", "coarse", "bad", "extra", "plot"), "succeeded"
    )
    was = before["fine"]
    same = ("attempt", "node", "exit_code", "started_at", "finished_at", "wall_s", "archived")
    assert {key: after["fine"][key] for key in same} == {key: was[key] for key in same}
    assert {name: ran(jane, name) for name in ("fine", "coarse", "bad", "plot", "extra", "gone")} == {
        "fine": 1, "coarse": 2, "bad": 2, "plot": 2, "extra": 1, "gone": 1,
    }  # fmt: skip

    assert "holds the results of jane/mesh" in jane.runs("pull", "mesh", "--save-dir", "here", code=4).stderr
    jane.runs("pull", "mesh", "--save-dir", "here", "--replace-local")
    there = {path.parent.name: path.read_text() for path in (jane.home / "here").rglob("ran-*")}
    assert there == {
        name: f"{name}\n" * ran(jane, name) for name in ("fine", "coarse", "bad", "extra", "plot")
    }
    (seen,) = (jane.home / "here").rglob("seen")
    assert seen.read_text().split() == ["bad", "coarse", "extra", "fine"]
    assert jane.runs("logs", "jane/mesh/fine").returncode == 0
    history = jane.runs("history", "jane/mesh").stdout
    assert "replaced jane/mesh: 5 jobs, of which 1 is kept" in history
    assert "of which this one is kept" in jane.runs("history", "jane/mesh/fine").stdout
    assert jane.asks("why", "jane/mesh/fine")["ledger"]["over"]
    assert jane.asks("replay", "--verify")["misfits"]["count"] == 0


def test_a_file_that_did_not_change_runs_nothing(jane: Person) -> None:
    jane.runs("add", jane.writes("same", {"a": notes(jane, "same-a"), "b": notes(jane, "same-b")}), "--wait")
    added = jane.runs("add", "same.yaml", *KEEP, "--yes", "--wait")
    assert (ran(jane, "same-a"), ran(jane, "same-b")) == (1, 1), added
    assert jane.asks("status", "jane/same")["state"] == "completed"


def test_other_resources_and_limits_run_nothing_again_that_succeeded(jane: Person) -> None:
    jobs = {"ok": notes(jane, "ok"), "short": notes(jane, "short", "test $DISTRIBUTE_CPUS = 2")}
    jane.runs("add", jane.writes("more", jobs), "--wait", code=1)
    jane.writes("more", jobs, resources={"cpus": 2}, retries=1)
    jane.runs("add", "more.yaml", *KEEP, "--yes", "--wait")
    assert (ran(jane, "ok"), ran(jane, "short")) == (1, 2)


def test_a_job_that_runs_goes_on_beside_its_changed_neighbour(jane: Person) -> None:
    gate = jane.home / "open"
    waits = f"echo $$ >> {jane.home}/pids; until [ -e {gate} ]; do sleep 0.05; done"
    jobs = {
        "done": notes(jane, "went"),
        "same": notes(jane, "same", waits),
        "other": notes(jane, "other", waits),
    }
    jane.runs("add", jane.writes("goes", jobs))
    until(lambda: set(states(jane, "jane/goes").values()) == {"succeeded", "running"})
    pids = jane.home / "pids"
    until(lambda: pids.exists() and pids.read_text().count("\n") == 2)
    before = jobs_of(jane, "jane/goes")["same"]

    jane.writes("goes", jobs | {"other": notes(jane, "other")})
    would = jane.asks("add", "goes.yaml", *KEEP, "--dry", "--list")
    assert [would[key] for key in ("kept", "going_on", "rerun", "new", "removed")] == [1, 1, 1, 0, 0]
    assert {job["job"]: job["change"] for job in would["job_list"]} == {
        "done": "kept", "same": "going_on", "other": "rerun",
    }  # fmt: skip
    told = jane.runs("add", "goes.yaml", *KEEP, "--yes")
    assert "1 job of jane/goes that a node has would be stopped, and run again" in told.stderr
    assert "1 job is kept, 1 goes on, 1 runs again" in told.stdout
    assert "3 jobs, of which 1 is kept, 1 goes on" in jane.runs("history", "jane/goes").stdout
    assert "of which this one goes on" in jane.runs("history", "jane/goes/same").stdout
    until(lambda: states(jane, "jane/goes")["other"] == "succeeded")
    now = jobs_of(jane, "jane/goes")["same"]
    same = ("state", "attempt", "node", "started_at")
    assert {key: now[key] for key in same} == {key: before[key] for key in same}
    gate.touch()
    jane.runs("wait", "jane/goes")
    assert states(jane, "jane/goes") == dict.fromkeys(jobs, "succeeded")
    assert [ran(jane, name) for name in ("went", "same", "other")] == [1, 1, 2]
    assert pids.read_text().count("\n") == 2, "the process that ran has ended by itself"
    assert jobs_of(jane, "jane/goes")["same"]["attempt"] == 1
    jane.runs("pull", "goes", "--save-dir", "of-goes")
    assert {path.name for path in (jane.home / "of-goes").rglob("ran-*")} == {
        "ran-went",
        "ran-same",
        "ran-other",
    }
    assert jane.asks("replay", "--verify")["misfits"]["count"] == 0


def test_a_batch_of_which_nothing_goes_on_is_stopped_and_what_succeeded_is_kept(jane: Person) -> None:
    gate = jane.home / "gate"
    waits = f"until [ -e {gate} ]; do sleep 0.05; done"
    jobs = {"done": notes(jane, "done"), "long": notes(jane, "long", waits), "late": "true", "x": "true"}
    jane.runs("add", jane.writes("live", jobs, max_running=1))
    until(lambda: states(jane, "jane/live")["long"] == "running")
    until((jane.home / "ran-long").exists)  # a job counts as running before it has done anything
    del jobs["x"]
    jane.writes(
        "live", jobs | {"late": "echo other"}, timeout="1h"
    )  # the job that runs is given other things
    told = jane.runs("add", "live.yaml", *KEEP, "--yes")
    assert "1 job of jane/live that a node has would be stopped\n" in told.stderr, "one is removed"
    assert "1 job is kept, 2 run again, 1 is removed" in told.stdout
    gate.touch()
    jane.runs("wait", "jane/live")
    assert (ran(jane, "done"), ran(jane, "long")) == (1, 2)
    assert states(jane, "jane/live") == dict.fromkeys(("done", "long", "late"), "succeeded")


def test_what_was_replaced_twice_is_kept_twice(jane: Person) -> None:
    jobs = {"first": notes(jane, "first"), "other": "echo 1"}
    jane.runs("add", jane.writes("twice", jobs), "--wait")
    for number in (2, 3):
        jane.writes("twice", jobs | {"other": f"echo {number}"})
        jane.runs("add", "twice.yaml", *KEEP, "--yes", "--wait")
        assert jane.runs("logs", "jane/twice/other").stdout.strip() == str(number)
    assert ran(jane, "first") == 1
    jane.runs("pull", "twice", "--save-dir", "of-twice")
    assert [path.read_text() for path in (jane.home / "of-twice").rglob("ran-first")] == ["first\n"]
    jane.runs("delete", "jane/twice", "--yes")
    assert "there is no batch jane/twice" in jane.runs("status", "jane/twice", code=4).stderr


def test_what_makes_no_sense_is_refused(jane: Person) -> None:
    file = jane.writes("nothing-there", {"a": "true"})
    missing = jane.runs("add", file, *KEEP, "--yes", code=4).stderr
    assert "there is no batch jane/nothing-there of which anything could be kept" in missing
    assert "add --replace" in jane.runs("add", file, "--keep-succeeded", code=2).stderr


def test_python_keeps_what_succeeded(jane: Person) -> None:
    with as_person(jane, jane.home):
        for command in ("true", "echo again"):
            batch = distribute.Batch("jane/by-python", resources={"cpus": 1})
            batch.job("a", notes(jane, "python-a"))
            batch.job("b", command)
            again = command != "true"
            batch.submit(replace=again, keep_succeeded=again).wait()
        assert batch.logs("b") == "again\n"
        with pytest.raises(distribute.InvalidArgument, match="add replace=True"):
            batch.submit(keep_succeeded=True)
    assert ran(jane, "python-a") == 1
