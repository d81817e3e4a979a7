"""Batches from Python: described, submitted, waited for and read, on a real cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import distribute
from acceptance.cluster_kit import as_person, person_with_cluster
from acceptance.person import Person

SOLVE = """
import json, os, pathlib
case = json.loads(pathlib.Path(os.environ["DISTRIBUTE_INPUT"], "case.json").read_text())
pathlib.Path(os.environ["DISTRIBUTE_SAVE"], "drag.txt").write_text(str(24 / case["re"]))
print("solved", case["re"])
"""
ONE_CPU = {"cpus": 1}


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with person_with_cluster(tmp_path_factory.mktemp("jane"), "--cpus", "2") as person:
        yield person


@pytest.fixture
def here(jane: Person, tmp_path: Path) -> Iterator[Path]:
    with as_person(jane, tmp_path):
        yield tmp_path


def sweep_of(name: str) -> distribute.Batch:
    batch = distribute.Batch(f"lab/{name}", files={"solve.py": SOLVE}, resources=ONE_CPU)
    batch.sweep(
        distribute.sweep(grid={"re": [10, 100], "model": ["a", "b"]}),
        ["python3", "input/solve.py"],
        files={"case.json": lambda re, model: json.dumps({"re": re, "model": model})},
    )
    return batch


def test_a_sweep_is_submitted_awaited_and_read(jane: Person, here: Path) -> None:
    batch = sweep_of("whole")
    assert batch.jobs == ["re10-modela", "re10-modelb", "re100-modela", "re100-modelb"]
    ended = batch.submit().wait()
    assert (ended["state"], ended["jobs"]["succeeded"]) == ("completed", 4)
    folders = batch.results("out")
    assert folders == {job: Path("out/whole", job) for job in sorted(batch.jobs)}
    assert (folders["re100-modelb"] / "drag.txt").read_text() == "0.24"
    assert batch.logs("re10-modela") == "solved 10\n"
    ledger = batch.why("re10-modela")["ledger"]
    assert ledger["over"]
    assert sum(entry["seconds"] for entry in ledger["entries"]) == pytest.approx(ledger["total_s"])
    table = batch.table()
    assert isinstance(table, pd.DataFrame)
    assert table[["re", "model", "state", "exit_code"]].to_dict("list") == {
        "re": [10, 10, 100, 100],
        "model": ["a", "b", "a", "b"],
        "state": ["succeeded"] * 4,
        "exit_code": [0] * 4,
    }
    assert jane.asks("status", "lab/whole")["jobs"]["succeeded"] == 4

    again = distribute.Batch.open("whole")
    assert str(again) == "lab/whole"
    assert again.records() == table.to_dict("records")
    assert again.results("out") == folders
    assert again.status()["state"] == "completed"
    history = again.history()
    assert (history[0]["type"], history[-1]["sentence"]) == ("submitted", "lab/whole is archived")
    assert {one["seq"] for one in again.history("re10-modela")} < {one["seq"] for one in history}


def test_every_method_can_be_awaited_and_called_where_a_loop_runs(here: Path) -> None:
    async def program() -> None:
        batch = sweep_of("awaited")
        await batch.submit_async()
        ended = await batch.wait_async()
        assert ended["state"] == "completed"
        status, why = await asyncio.gather(batch.status_async(), batch.why_async("re100-modela"))
        assert (status["state"], why["waits_for"]) == ("completed", None)
        folders = await batch.results_async()
        records = await batch.records_async()
        assert sorted(folders) == sorted(record["job"] for record in records)
        assert "solved 100" in await batch.logs_async("re100-modela")
        assert all(event["misfit"] is None for event in await batch.history_async())
        opened = await distribute.Batch.open_async("lab/awaited")
        assert batch.status()["state"] == opened.wait()["state"] == "completed"  # as in a notebook
        await batch.delete_async()
        with pytest.raises(distribute.UnknownName):
            batch.status()

    asyncio.run(program())


def test_a_batch_that_fails_says_so_and_one_job_or_all_can_be_killed(here: Path) -> None:
    batch = distribute.Batch("lab/ends", resources=ONE_CPU)
    batch.job("fails", "echo half > distribute_save/half; exit 3", parameters={"state": "wrong"})
    batch.job("long", ["sleep", 1000])
    batch.submit()
    with pytest.raises(TimeoutError, match=r"lab/ends was not over after 0.01 s; it goes on"):
        batch.wait(timeout=0.01)
    batch.kill("long")
    assert batch.wait()["state"] == "failed"
    assert [(row["job"], row["state"], row.get("state_")) for row in batch.records()] == [
        ("fails", "failed", "wrong"),
        ("long", "killed", None),
    ]
    assert (batch.results()["fails"] / "half").read_text() == "half\n"
    with pytest.raises(distribute.Refused, match="is over: there is nothing to kill"):
        batch.kill()


def test_python_jobs_run_with_their_arguments(here: Path) -> None:
    (here / "run.py").write_text(
        "import sys; open('distribute_save/args', 'w').write(' '.join(sys.argv[1:]))"
    )
    batch = distribute.Batch("lab/python", resources=ONE_CPU, env={"N": 3})
    batch.sweep([{"x": 1}, {"x": 2}], file="run.py", args=["--x", "{x}"], name="x{x:02d}")
    batch.submit().wait()
    folders = batch.results(include=["args"])
    assert {job: (folder / "args").read_text() for job, folder in folders.items()} == {
        "x01": "--x 1",
        "x02": "--x 2",
    }


def test_what_is_changed_here_is_kept_and_another_batch_takes_no_folder(here: Path) -> None:
    batch = sweep_of("changed")
    batch.submit().wait()
    drag = batch.results(into="own")["re10-modela"] / "drag.txt"
    assert drag == Path("own/re10-modela/drag.txt")
    drag.write_text("mine")
    with pytest.warns(
        UserWarning, match="kept in own, because somebody changed them there: re10-modela/drag"
    ):
        batch.results(into="own")
    assert drag.read_text() == "mine"
    with pytest.raises(distribute.InvalidArgument, match=r"edited takes .* not 'renamed'"):
        batch.results(into="own", edited="renamed")  # type: ignore[arg-type] # as a program without types
    batch.results(into="own", edited="overwritten")
    assert drag.read_text() == "2.4"
    batch.submit(replace=True).wait()
    with pytest.raises(distribute.Refused, match="holds the results of lab/changed that was submitted"):
        batch.results(into="own")
    batch.results(into="own", replace_local=True)


def one_job(name: str, **more: Any) -> distribute.Batch:
    batch = distribute.Batch(f"lab/{name}", **{"resources": ONE_CPU, **more})
    batch.job("only", "true")
    return batch


def test_a_name_that_is_taken_is_refused_and_may_be_replaced(here: Path) -> None:
    one_job("taken").submit().wait()
    with pytest.raises(
        distribute.Refused, match=r"there is a batch lab/taken already, of .* with replace=True"
    ):
        one_job("taken").submit()
    one_job("taken").submit(replace=True)


def test_what_no_node_could_run_is_refused_unless_it_is_wanted(here: Path) -> None:
    with pytest.raises(distribute.Refused, match=r"Ask for less under 'resources', or .* anyway=True"):
        one_job("large", resources={"cpus": 4096}).submit()
    with pytest.raises(distribute.Refused, match=r"fortran.* Submit it with anyway=True"):
        one_job("able", capabilities=["fortran"]).submit()
    with pytest.warns(UserWarning, match="fortran"):
        batch = one_job("able", capabilities=["fortran"]).submit(anyway=True)
    batch.kill()


def test_a_matrix_user_who_gets_no_messages_is_named(here: Path) -> None:
    with pytest.warns(UserWarning, match="@jane:example.org gets no messages about it"):
        one_job("quiet", matrix="@jane:example.org").submit()


def test_all_that_is_wrong_is_told_before_anything_is_sent(here: Path) -> None:
    batch = distribute.Batch("lab/wrong", files=["mesh.h5"])
    batch.job("a", "true", files=["cases/a.json"])
    with pytest.raises(distribute.InvalidArgument) as refused:
        batch.submit()
    told = str(refused.value).splitlines()
    assert [line.partition(" (looked")[0] for line in told] == [
        "Batch('lab/wrong'): command.initialize.required_files[0]: there is no file 'mesh.h5'",
        "Batch('lab/wrong'): command.jobs[0].required_files[0]: there is no file 'cases/a.json'",
    ]
    with pytest.raises(distribute.UnknownName):
        batch.status()


@pytest.fixture(scope="module")
def known(jane: Person, tmp_path_factory: pytest.TempPathFactory) -> None:
    with as_person(jane, tmp_path_factory.mktemp("known")):
        one_job("known").submit().wait()  # the scheduler has heard of it


UNKNOWN: dict[str, Callable[[distribute.Batch], object]] = {
    "wait": lambda batch: batch.wait(),
    "results": lambda batch: batch.results(),
    "records": lambda batch: batch.records(),
    "status": lambda batch: batch.status(),
    "logs": lambda batch: batch.logs("a"),
    "history": lambda batch: batch.history(),
    "kill": lambda batch: batch.kill(),
    "open": lambda batch: distribute.Batch.open(str(batch)),
    "delete": lambda batch: batch.delete(),
}


@pytest.mark.parametrize("method", UNKNOWN)
def test_an_unknown_batch_is_told_with_the_nearest_name(known: None, here: Path, method: str) -> None:
    with pytest.raises(distribute.UnknownName, match="no batch lab/knwon; did you mean 'lab/known'"):
        UNKNOWN[method](distribute.Batch("lab/knwon"))


def test_an_unknown_job_is_told_with_the_nearest_name(known: None, here: Path) -> None:
    with pytest.raises(distribute.UnknownName, match="lab/known has no job 'onyl'; did you mean 'only'"):
        distribute.Batch.open("known").logs("onyl")


def test_a_cluster_that_is_not_there_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("DISTRIBUTE_SERVER", raising=False)
    with pytest.raises(distribute.Unreachable, match="no cluster is set up for you"):
        one_job("far").submit()
    with pytest.raises(distribute.Unreachable, match=r"127\.0\.0\.1:9"):
        one_job("far", server="nats://127.0.0.1:9").submit()
    with pytest.raises(distribute.InputError, match="http"):
        one_job("far", server="http://head").submit()


def test_a_terminal_shows_progress_and_nothing_else_does(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    batch = one_job("shown")
    batch.submit().wait()
    assert capfd.readouterr() == ("", "")
    batch.wait(progress=True)
    shown = capfd.readouterr()
    assert "lab/shown" in shown.err
    assert "1/1" in shown.err
    assert shown.out == ""


def test_a_batch_from_python_begins_after_another(here: Path) -> None:
    first = distribute.Batch("lab/failing", resources=ONE_CPU)
    first.job("only", ["false"])
    first.submit()
    then = distribute.Batch("lab/waiting", resources=ONE_CPU, after=["failing"])
    then.job("only", ["true"])
    ended = then.submit().wait()
    assert (ended["state"], ended["reason"]) == ("failed", "it was to run after lab/failing, which failed")
    lost = distribute.Batch("lab/lost", resources=ONE_CPU, after=["nowhere"])
    lost.job("only", ["true"])
    with pytest.raises(distribute.Refused, match="there is no batch lab/nowhere"):
        lost.submit()
