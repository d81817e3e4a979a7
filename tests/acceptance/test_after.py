"""Batches that wait for others, and that limit themselves, on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.cluster_kit import person_with_cluster
from acceptance.person import PATIENCE_S, Person


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    """A person with a cluster of one node."""
    with person_with_cluster(tmp_path / "home", "--nodes", "1", "--cpus", "2") as person:
        yield person


def writes(jane: Person, name: str, keys: str = "", command: str = "true", jobs: int = 1) -> str:
    """Write the file of a batch. Returns its name."""
    listed = "\n".join(f'    - {{name: j{number}, command: "{command}"}}' for number in range(jobs))
    meta = f"namespace: jane, batch_name: {name}, resources: {{cpus: 1}}{keys}"
    (jane.home / f"{name}.yaml").write_text(f"meta: {{{meta}}}\ncommand:\n  jobs:\n{listed}\n")
    return f"{name}.yaml"


def test_a_batch_begins_after_another(jane: Person) -> None:
    gate = jane.home / "gate"
    until = f"until [ -e {gate} ]; do sleep 0.05; done"
    jane.runs("add", writes(jane, "first", command=until))
    jane.runs("add", writes(jane, "then", ", after: [first]"))
    jane.runs("add", writes(jane, "late", ", after: [{batch: last, when: any}, jane/first]"))
    held = jane.asks("status", "jane/then")["held"]
    assert held == "it waits for jane/first, of which 0 of 1 jobs are over"
    assert held in jane.runs("status", "jane/then").stdout
    assert "jane/first" in jane.runs("status", "jane/then/j0").stdout
    gate.touch()
    jane.runs("wait", "jane/late")
    first, then, late = (jane.asks("status", f"jane/{name}") for name in ("first", "then", "late"))
    assert first["finished_at"] <= then["job_list"][0]["finished_at"] <= late["job_list"][0]["finished_at"]


def test_what_waits_for_a_batch_that_fails_ends_and_says_so(jane: Person) -> None:
    jane.runs("add", writes(jane, "first", command="sleep 1; false"))
    jane.runs("add", writes(jane, "then", ", after: [first]"))
    jane.starts("wait", "jane/then").communicate(timeout=PATIENCE_S)
    assert jane.asks("status", "jane/then")["reason"] == "it was to run after jane/first, which failed"


def test_a_batch_that_can_wait_for_nothing_is_refused(jane: Person) -> None:
    for keys, code, said in (
        (", after: [nowhere]", 4, "there is no batch jane/nowhere"),
        (", after: [then]", 2, "a batch can't wait for itself"),
        (", after: [a/b/c]", 2, "names no batch"),
        (", after: [{batch: first, when: sometimes}]", 2, "when"),
        (", after: [last]", 4, "you have submitted none yet"),
    ):
        process = jane.starts("add", writes(jane, "then", keys))
        assert said in process.communicate(timeout=PATIENCE_S)[1]
        assert process.returncode == code


def test_batches_that_would_wait_for_each_other_are_refused(jane: Person) -> None:
    jane.runs("add", writes(jane, "first", command="sleep 1000"))
    jane.runs("add", writes(jane, "then", ", after: [first]"))
    process = jane.starts("add", writes(jane, "first", ", after: [then]"), "--replace", "--yes")
    said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 4
    assert "neither would ever begin: jane/first waits for jane/then waits for jane/first" in said
    assert jane.asks("status", "jane/first")["state"] in {"queued", "running"}, "it was not replaced"


def test_no_more_jobs_run_at_a_time_than_the_batch_allows(jane: Person) -> None:
    command = f"cd {jane.home} && mkdir running && sleep 0.3 && rmdir running"
    jane.runs("add", writes(jane, "one", ", max_running: 1", command, jobs=4), "--wait")
