"""`replay` through the command line: a cluster's past, its log checked, saved, and read without it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.person import Person

PAGE = Path(__file__).parents[2] / "docs" / "replay.md"

JOBS = {"good": "echo done", "bad": "echo no room; exit 3"}


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person whose cluster ran two batches, and who drained a node between them."""
    with Person(tmp_path_factory.mktemp("jane")) as person:
        person.runs("up", "--nodes", "2", "--cpus", "1", "--detach")
        person.runs("add", person.writes("first", JOBS), "--wait", code=1)
        node = person.asks("nodes")["nodes"][0]["node"]
        person.runs("drain", node, "--reason", "new disk")
        person.runs("add", person.writes("second", {"only": "true"}), "--wait")
        person.runs("undrain", node)
        person.runs("replay", "--export", "lab.gz")
        yield person
        person.runs("down")


def states(document: Any) -> list[tuple[str, str]]:
    return [(batch["batch"], batch["state"]) for batch in document["batches"]]


def seq_of(person: Person, batch: str) -> int:
    """The sequence behind which a batch was just submitted."""
    lines = person.runs("events", "--json", "--type", "submitted").stdout.splitlines()
    (seq,) = [event["seq"] for event in map(json.loads, lines) if event["batch"] == batch]
    return int(seq)


def test_batches_and_nodes_are_shown_as_they_were(jane: Person) -> None:
    now = jane.asks("status") | {"nodes": jane.asks("nodes")["nodes"]}
    past = jane.asks("replay", "--at", "0s")
    assert states(past) == states(now) == [("first", "failed"), ("second", "completed")]
    assert past["batches"] == now["batches"]
    assert [node["state"] for node in past["nodes"]] == ["idle", "idle"]
    assert past["nodes"][0].keys() == now["nodes"][0].keys()

    seq = seq_of(jane, "second")
    then = jane.asks("replay", "--seq", str(seq))
    assert then["seq"] == seq
    assert states(then) == [("first", "failed"), ("second", "queued")]
    assert sorted(node["state"] for node in then["nodes"]) == ["draining", "idle"]
    assert "new disk" in {node["reason"] for node in then["nodes"]}
    of_time = jane.asks("replay", "--at", then["time"])  # with what came within the same millisecond
    assert of_time["seq"] >= seq
    assert of_time["batches"] == jane.asks("replay", "--seq", str(of_time["seq"]))["batches"]

    table = jane.runs("replay", "--seq", str(seq))
    assert f"as of event {seq} of the log, {then['time']}" in table.stderr
    assert "jane/second" in table.stdout
    assert "draining" in table.stdout
    (job,) = jane.asks("replay", "--seq", str(seq), "jane/second")["job_list"]
    assert (job["job"], job["state"]) == ("only", "queued")
    assert jane.runs("replay", "--seq", str(seq), "second", "-q").stdout == "only queued\n"


def test_a_saved_log_answers_without_a_server(jane: Person, tmp_path: Path) -> None:
    lab = str(jane.home / "lab.gz")
    with Person(tmp_path) as alone:
        live = jane.asks("status")["batches"]
        document = alone.asks("status", "--from", lab)
        assert document["batches"] == live
        assert document["cluster"] == {"server": lab, "source": "--from"}
        alone.sets(DISTRIBUTE_FROM=lab)
        assert alone.asks("status", "first")["job_list"] == jane.asks("status", "first")["job_list"]
        assert alone.asks("status", "first/bad")["attempts"] == jane.asks("status", "first/bad")["attempts"]
        for words in (["history", "first"], ["why", "first/bad"], ["events"]):
            assert alone.runs(*words).stdout == jane.runs(*words).stdout != ""
        assert "nothing comes behind its last event" in alone.runs("events", "-f", code=4).stderr
        assert alone.asks("nodes")["nodes"][0]["state"] == "idle"
        assert alone.runs("status", "-q").stdout == "jane/first failed\njane/second completed\n"
        found = alone.asks("replay", "--verify")
        assert (found["sound"], found["saved"], found["scheduler"]) == (True, True, None)
        assert alone.asks("replay", "--at", "0s")["batches"] == live
        assert "doesn't answer" not in alone.runs("status").stderr

        node = alone.asks("nodes")["nodes"][0]["node"]
        for words in (["drain", node], ["pull", "first"], ["logs", "first/bad"], ["ls", "first/bad"]):
            assert "unset DISTRIBUTE_FROM, or name the cluster" in alone.runs(*words, code=2).stderr
        alone.runs("replay", "--export", "part.gz", "first")
        assert alone.runs("status", "-q", "--from", "part.gz").stdout == "jane/first failed\n"
        both = alone.runs("status", "--from", lab, "--server", "nats://127.0.0.1:1", code=2).stderr
        assert "--from reads a file, and --server, --ip and --port name a cluster: give one" in both


def test_the_program_of_the_page_checks_the_chain(jane: Person) -> None:
    program = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
    path = jane.home / "lab.gz"
    run = [sys.executable, "-c", program, str(path)]
    lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"\d+ lines are as they were saved\n", lines)


def test_wrong_words_are_refused(jane: Person) -> None:
    def refused(*words: str, code: int = 2) -> str:
        return jane.runs("replay", *words, code=code).stderr

    assert "say what to do: one of --at TIME, --seq N, --verify and --export FILE\n" in refused()
    assert "not --at and --verify" in refused("--at", "1h", "--verify")
    assert "that is before the log begins: its first event, 1, is of 20" in refused("--at", "2001-01-01")
    assert "is not a time; write a date and time" in refused("--at", "noon")
    assert "is yet to come" in refused("--at", "2150-01-01")
    assert "there is no event 9999 yet: the log ends with event" in refused("--seq", "9999")
    assert "there is no batch 'none'" in refused("none", "--seq", "1", code=4)
    assert "there is no batch jane/none" in refused("jane/none", "--export", "none.gz", code=4)
    assert not (jane.home / "none.gz").exists()
    assert "--force goes with --export" in refused("--verify", "--force")
    assert "--verify checks the whole log: leave out BATCH" in refused("--verify", "first")
    assert "lab.gz is there already: name another file" in refused("--export", "lab.gz", code=4)
    jane.runs("replay", "--export", "lab.gz", "--force")
    missing = refused("--verify", "--from", "none.gz")
    assert "none.gz: can't be read: there is no such file or folder" in missing
    yaml = jane.writes("third", {"only": "true"})
    assert "is no saved log, or its first line is damaged" in refused("--verify", "--from", yaml)
