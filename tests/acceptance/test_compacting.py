"""`admin compact` through the command line: every query answers as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.person import Person

JOBS = {"good": "echo done; echo 7 > distribute_save/answer.txt", "bad": "echo no room; exit 3"}


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person whose cluster ran two batches."""
    with Person(tmp_path_factory.mktemp("jane")) as person:
        person.runs("up", "--nodes", "2", "--cpus", "1", "--detach")
        person.runs("add", person.writes("first", JOBS), "--wait", code=1)
        person.runs("add", person.writes("second", {"only": "true"}), "--wait")
        yield person
        person.runs("down")


def answers(person: Person) -> dict[str, Any]:
    """What people are told of the first batch, but not that it is compacted."""
    batch, batches = person.asks("status", "first"), person.asks("status")["batches"]
    for document in (batch, *batches):
        document["compacted_at"] = None
    job, why = person.asks("status", "first/bad"), person.asks("why", "first/bad")
    job["why"]["asked_at"] = why["asked_at"] = None
    return {
        "status": batch,
        "batches": batches,
        "job": job,
        "why": why,
        "logs": person.runs("logs", "first/bad").stdout,
        "pull": person.asks("pull", "first", "--dry"),
    }


def test_every_query_of_a_compacted_batch_answers_as_before(jane: Person, tmp_path: Path) -> None:
    before, history = answers(jane), jane.asks("history", "first")
    end = jane.asks("replay", "--verify")["last_seq"]
    past = jane.asks("replay", "--seq", str(end))

    dry = jane.asks("admin", "compact", "first", "--older-than", "0.01s", "--dry")
    assert [(one["batch"], one["events"]) for one in dry["compacted"]] == [("first", None)]
    shown = jane.runs("admin", "compact", "first", "--older-than", "0.01s")
    assert shown.stdout.startswith(f"jane/first is compacted: {len(history)} events moved into ")

    assert answers(jane) == before
    assert jane.asks("status", "first")["compacted_at"] is not None
    after = jane.asks("history", "first")
    assert after[:-1] == history
    assert after[-1]["type"] == "compacted"
    told = jane.runs("history", "first").stdout.splitlines()[-1]
    assert told.endswith(f"had {len(history)} events of jane/first moved into an archive")
    assert jane.asks("replay", "--seq", str(end)) == past
    verified = jane.asks("replay", "--verify")
    assert (verified["sound"], verified["first_seq"], verified["misfits"]["count"]) == (True, 1, 0)
    jane.runs("pull", "first", "--save-dir", str(tmp_path), code=0)
    assert (tmp_path / "first" / "good" / "answer.txt").read_text() == "7\n"

    jane.runs("replay", "--export", "whole.gz")
    saved = jane.asks("status", "first", "--from", "whole.gz")
    assert saved["job_list"] == before["status"]["job_list"]
    assert jane.asks("history", "first", "--from", "whole.gz") == after


def test_what_can_not_be_compacted_is_refused(jane: Person) -> None:
    fresh = jane.runs("admin", "compact", "second", code=4)
    assert "jane/second ended at " in fresh.stderr
    unknown = jane.runs("admin", "compact", "third", code=4)
    assert "there is no batch 'third'" in unknown.stderr
    wrong = jane.runs("admin", "compact", "--older-than", "old", code=2)
    assert "--older-than: 'old' is not a duration" in wrong.stderr
    nothing = jane.asks("admin", "compact")
    assert nothing == {"compacted": [], "dry": False}


def test_a_compacted_batch_is_read_after_a_restart_and_can_be_replaced(jane: Person) -> None:
    jane.runs("admin", "compact", "second", "--older-than", "0.01s")
    before = jane.asks("status", "second")
    jane.runs("down")
    jane.runs("up", "--nodes", "2", "--cpus", "1", "--detach")
    after = jane.asks("status", "second")
    assert after | {"cluster": None} == before | {"cluster": None}
    refused = jane.runs("retry", "second", code=4)
    assert "jane/second was compacted at " in refused.stderr
    again = jane.runs("admin", "compact", "second", "--older-than", "0.01s", code=4)
    assert "jane/second was compacted at " in again.stderr
    jane.runs("add", jane.writes("second", {"only": "true"}), "--replace", "--yes", "--wait")
    assert jane.asks("status", "second")["compacted_at"] is None
    types = [event["type"] for event in jane.asks("history", "second")]
    assert types.count("submitted") == 2
    assert jane.asks("replay", "--verify")["sound"]
