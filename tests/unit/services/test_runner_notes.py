"""What a runner finds of the attempts that an earlier one left: with the keeper, or as exits on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distribute.core.ids import AttemptId
from distribute.core.spec.recipe import Share
from distribute.host import Record
from distribute_services.node_runner.disk.workspace import EXIT_FILE
from distribute_services.node_runner.host.notes import Note, attempts_left

NOTE = Note(
    Record(AttemptId("lab", "größe", "job1", 2), Share(2, 1 << 30, (0, 1)), "A-1", 7, 1.5, "S-1", 3),
    "./solver",
    slot="4",
    built="1",
    image="ab" * 32,
    view=("/at", "/own", "/scratch", "userxattr"),
)
ENDED = {"exit_code": 0, "ended_for": None, "started_at": 5.0}
UNIT = "folder/lab/größe/job1/2/4"


def as_stored(note: Note) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(note.to_json()))
    return found


def leave_exit(root: Path, **changes: Any) -> None:
    """Write what a keeper writes for the time after its own end."""
    (root / "4").mkdir()
    found = {**ENDED, "unit": UNIT, "note": as_stored(NOTE), "boot_id": "boot1", **changes}
    (root / "4" / EXIT_FILE).write_text(json.dumps(found))


def test_a_note_comes_back_as_it_was() -> None:
    bare = NOTE._replace(built=None, image=None, view=None)
    assert (Note.of_json(as_stored(NOTE)), Note.of_json(as_stored(bare))) == (NOTE, bare)


def test_what_the_keeper_holds_is_found_running_or_ended(tmp_path: Path) -> None:
    notes = {UNIT: as_stored(NOTE), "other": as_stored(NOTE._replace(slot="5"))}
    units = {UNIT: {"started_at": 4.0}, "other": {"exit": ENDED}, "a build": {"started_at": 1.0}}
    running, ended = attempts_left(units, notes, tmp_path, "boot1")
    assert running == (UNIT, NOTE, 4.0, None)
    assert (ended.unit, ended.started_at, ended.ended) == ("other", 5.0, ENDED)


def test_an_exit_on_the_disk_is_found_although_its_keeper_is_gone(tmp_path: Path) -> None:
    leave_exit(tmp_path)
    (found,) = attempts_left({}, {}, tmp_path, "boot1")
    assert (found.unit, found.note, found.ended and found.ended["exit_code"]) == (UNIT, NOTE, 0)


def test_an_exit_that_the_keeper_still_has_is_found_once(tmp_path: Path) -> None:
    leave_exit(tmp_path)
    assert len(list(attempts_left({UNIT: {"exit": ENDED}}, {UNIT: as_stored(NOTE)}, tmp_path, "boot1"))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"boot_id": "boot0"},
        {"note": None},
        {"ended_for": "shutdown"},
        {"ended_for": "unseen"},
        {"note": {"record": {}}},
        {"note": {**as_stored(NOTE), "view": ["/at"]}},
    ],
    ids=["before a reboot", "disowned", "shut down", "unseen for long", "other version", "damaged"],
)
def test_what_is_no_result_is_not_found(tmp_path: Path, changes: dict[str, Any]) -> None:
    leave_exit(tmp_path, **changes)
    assert list(attempts_left({}, {}, tmp_path, "boot1")) == []


def test_a_damaged_exit_keeps_no_other_back(tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / EXIT_FILE).write_text("{")
    leave_exit(tmp_path)
    assert len(list(attempts_left({}, {}, tmp_path, "boot1"))) == 1
