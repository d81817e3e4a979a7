"""`distribute submit`: from a shell's line to its results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.person import PATIENCE_S, Person

SOLVER = """\
#!/bin/sh
echo "$0" "$@" "$TASK"
for word in "$@"; do [ ! -f "$word" ] || cat "$word"; done
echo "$2" > distribute_save/result
"""


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    """A person with a cluster of one node, a program and some cases."""
    with Person(tmp_path) as person:
        person.sets(LOGNAME="jane")
        (tmp_path / "cases").mkdir()
        for name, text in (("solver", SOLVER), ("cases/fine.dat", "fine\n"), ("cases/a b.dat", "odd\n")):
            (tmp_path / name).write_text(text)
        (tmp_path / "solver").chmod(0o755)
        person.runs("up", "--nodes", "1", "--cpus", "2", "--detach")
        yield person
        person.starts("down").communicate(timeout=PATIENCE_S)


def printed(jane: Person, batch: str) -> dict[str, str]:
    """What each job of a batch printed, and its result, as they are pulled."""
    jane.runs("pull", batch, "--save-dir", "results")
    folder = jane.home / "results" / batch.rpartition("/")[2]
    return {
        job.name: (job / "stdout.txt").read_text() + (job / "result").read_text()
        for job in sorted(folder.iterdir())
        if job.is_dir()
    }


def test_an_array_goes_from_one_line_to_its_results(jane: Person) -> None:
    said = jane.runs(
        "submit",
        "--array",
        "1,3",
        "--cpus",
        "1",
        "--env",
        "TASK=t{index:02d}",
        "--",
        "./solver",
        "--re",
        "{}",
    )
    assert said.stdout == "jane/solver\n", "nothing else, so that a script can take it"
    assert "sends ./solver as input/solver\n" in said.stderr
    assert (
        "runs on 1/1 of the nodes\n2 jobs; `distribute watch jane/solver` shows its progress" in said.stderr
    )
    assert jane.runs("wait", "last").stdout == "jane/solver completed: 2 of 2 jobs succeeded\n"
    assert printed(jane, "jane/solver") == {
        "1": "input/solver --re 1 t01\n1\n",
        "3": "input/solver --re 3 t03\n3\n",
    }


def test_each_file_is_sent_to_its_job_and_a_free_name_is_found(jane: Person) -> None:
    assert jane.runs("submit", "--quiet", "--", "./solver", "x", "y").stdout == "jane/solver\n"
    line = ("submit", "--each", "cases/*.dat", "--wait", "--", "./solver", "{}", "{/.}")
    said = jane.runs(*line)
    assert said.stdout == "jane/solver-2 completed: 2 of 2 jobs succeeded\n"
    assert printed(jane, "jane/solver-2") == {
        "a b": "input/solver input/a b.dat a b \nodd\na b\n",
        "fine": "input/solver input/fine.dat fine \nfine\nfine\n",
    }
    taken = jane.runs("submit", "--name", "solver", "--", "true", code=4)
    assert taken.stderr.endswith(
        "distribute: there is a batch jane/solver already, of jane: "
        "write another --name, or none, which finds a free one\n"
    )


def test_a_text_for_sh_gets_each_line_as_one_value(jane: Person) -> None:
    (jane.home / "lines").write_text("100 0.5\n\n$(touch hacked); it's\n")
    text = "./input/solver '--of' {} > seen; cp seen distribute_save/result; cat < seen"
    line = ("submit", "--json", "--name", "of lines", "--each-line", "lines", "-f", "solver", "--", text)
    said = json.loads(jane.runs(*line).stdout)
    assert (said["namespace"], said["batch"], said["jobs"]) == ("jane", "of lines", 2)
    jane.runs("wait", "last")
    found = printed(jane, "jane/of lines")
    assert list(found.values()) == [
        "./input/solver --of 100 0.5 \n" * 2,
        "./input/solver --of $(touch hacked); it's \n" * 2,
    ]


def test_a_batch_whose_job_fails_says_so_by_its_exit_code(jane: Person) -> None:
    assert "1 of 1 job failed" in jane.runs("submit", "--wait", "--", "false", code=1).stdout
    refused = jane.runs("submit", "--capability", "matlab", "--", "matlab", code=4)
    assert "--anyway" in refused.stderr
    dry = jane.runs("submit", "--dry", "--list", "--array", "7-8", "--", "true", "{}").stdout
    assert [line.split() for line in dry.splitlines()] == [
        ["job", "command"],
        ["7", "true", "7"],
        ["8", "true", "8"],
        ["jane/true", "would", "be", "submitted:", "2", "jobs"],
    ]
    jane.runs("submit", "--namespace", "lab", "--anyway", "--capability", "matlab", "--", "matlab")
    batches = {(batch["namespace"], batch["batch"]) for batch in jane.asks("status")["batches"]}
    assert batches == {("jane", "false"), ("lab", "matlab")}


def test_a_line_builds_and_waits_for_others(jane: Person) -> None:
    gate = jane.home / "gate"
    jane.runs("submit", "--name", "mesh", "--cpus", "1", "--", f"until [ -e {gate} ]; do sleep 0.05; done")
    build = ("--build", "cp input/solver made; chmod 755 made; echo building", "--file", "solver")
    jane.runs(
        "submit", *build, "--after", "last", "--max-failures", "1", "--cpus", "1", "--", "./made", "x", "y"
    )
    assert "waits for jane/mesh" in jane.runs("status", "jane/made").stdout
    gate.touch()
    jane.runs("wait", "jane/made")
    assert printed(jane, "jane/made") == {"made": "./made x y \ny\n"}
    assert "building\n" in jane.runs("logs", "jane/made").stdout
    refused = jane.runs("submit", "--dry", "--after", "nothing", "--", "true", code=4)
    assert "after: there is no batch jane/nothing: submit it before this one" in refused.stderr
