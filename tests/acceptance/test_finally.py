"""A job that runs when all others of its batch are over, on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.cluster_kit import person_with_cluster
from acceptance.person import PATIENCE_S, Person

META = "meta: {namespace: jane, batch_name: drag, resources: {cpus: 1}}\n"


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    """A person with a cluster of two nodes."""
    with person_with_cluster(tmp_path / "home", "--nodes", "2", "--cpus", "2") as person:
        yield person


def writes(jane: Person, text: str) -> None:
    (jane.home / "distribute-jobs.yaml").write_text(META + text)


def test_a_table_of_a_sweep_comes_out_of_the_cluster(jane: Person) -> None:
    writes(
        jane,
        "sweep: {grid: {re: [100, 400, 1000]}}\n"
        "command:\n"
        '  job: {command: "cd distribute_save; echo $(({re} * 2)) > drag.txt; ln -s drag.txt link"}\n'
        "finally:\n"
        "  name: table\n"
        "  command: 'cd input/results && test -L re100/link && grep . */drag.txt"
        " > ../../distribute_save/table.txt'\n",
    )
    jane.runs("add", "--wait")
    jane.runs("pull", "drag")
    table = (jane.home / "drag/table/table.txt").read_text()
    assert table.split() == ["re100/drag.txt:200", "re1000/drag.txt:2000", "re400/drag.txt:800"]
    assert jane.asks("status", "jane/drag")["state"] == "completed"


def test_it_waits_for_the_others_and_says_so(jane: Person) -> None:
    gate = jane.home / "gate"
    writes(
        jane,
        "command:\n"
        f"  jobs: [{{name: a, command: 'until [ -e {gate} ]; do sleep 0.05; done; echo 7; false'}}]\n"
        "finally: {command: 'cp input/results/a/stdout.txt distribute_save'}\n",
    )
    jane.runs("add")
    assert "it runs last, and waits for 1 other job" in jane.runs("status", "jane/drag/finally").stdout
    gate.touch()
    jane.starts("wait", "jane/drag").communicate(timeout=PATIENCE_S)
    jane.runs("pull", "drag")
    assert (jane.home / "drag/finally/stdout.txt").exists()
    jobs = {job["job"]: job["state"] for job in jane.asks("status", "jane/drag")["job_list"]}
    assert jobs == {"a": "failed", "finally": "succeeded"}


def test_an_attempt_does_not_find_what_an_earlier_one_left(jane: Person) -> None:
    command = "ls input/results > distribute_save/z; test $DISTRIBUTE_ATTEMPT = 2"
    writes(
        jane,
        f"command: {{jobs: [{{name: a, command: 'true'}}]}}\nfinally: {{retries: 1, command: '{command}'}}\n",
    )
    jane.runs("add", "--wait")
    jane.runs("pull", "drag")
    assert (jane.home / "drag/finally/z").read_text() == "a\n"


def test_run_knows_it(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with Person(tmp_path / "home") as jane:
        writes(
            jane,
            "sweep: {grid: {re: [1, 2]}}\n"
            'command: {job: {command: "echo {re} > distribute_save/x; mkdir distribute_save/empty"}}\n'
            "finally: {command: 'cd input/results; cat */x > ../../distribute_save/y; ls -d */empty'}\n",
        )
        said = jane.runs("run", "--save-dir", "here")
        (table,) = jane.home.joinpath("here").rglob("y")
        assert table.read_text().split() == ["1", "2"]
        assert (table.parent / "stdout.txt").read_text().split() == ["re1/empty", "re2/empty"]
        assert "outside ./distribute_save" not in said.stdout + said.stderr
