"""Why a job waits, and where its time went, in the terminal and for programs."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from distribute.core.explaining.waits_for import WaitsFor
from distribute.core.projections.ledger import Phase
from distribute_cli.output.plain_output import JsonOutput, QuietOutput
from distribute_cli.output.why import PHASES, why
from distribute_cli.output.words import WAITS

AHEAD: dict[str, Any] = {"namespace": "lab", "batch": "sweep", "user": "jane", "priority": 0, "share": 2.0}
WAITING: Any = {
    "namespace": "lab",
    "batch": "sweep",
    "job": "re 100",
    "state": "queued",
    "summary": "waits: 1 of 2 nodes could run it, none can now",
    "waits_for": "turn",
    "asked_at": "2026-01-01T01:00:00.000Z",
    "queue": {
        "place": 12,
        "priority": 0,
        "share": 2.0,
        "ahead": [
            {**AHEAD, "batch": "urgent", "user": "bob", "priority": 5, "jobs": 3, "why": "priority"},
            {**AHEAD, "batch": "his", "user": "eve", "share": 0.5, "jobs": 2, "why": "share"},
            {**AHEAD, "jobs": 6, "why": "submission"},
        ],
    },
    "start": {
        "earliest": "2026-01-01T01:05:00.000Z",
        "likely": "2026-01-01T01:12:00.000Z",
        "latest": "2026-01-01T01:40:00.000Z",
        "ended": 30,
    },
    "nodes": [{"node": "ws1", "obstacle": "gpus", "text": "has too few GPUs: 0, of 1 needed"}],
    "ledger": {
        "submitted_at": "2026-01-01T00:00:00.000Z",
        "until": "2026-01-01T01:00:00.000Z",
        "over": False,
        "total_s": 3600.0,
        "entries": [
            {
                "phase": "turn",
                "seconds": 3600.0,
                "since": "2026-01-01T00:00:00.000Z",
                "attempt": 1,
                "node": None,
            }
        ],
    },
}


def drawn(document: Any) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=120, markup=False, highlight=False, emoji=False)
    for part in why(document):
        console.print(part)
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def test_a_waiting_job_shows_its_place_its_start_and_where_its_time_went() -> None:
    lines = drawn(WAITING)
    assert lines[0] == "lab/sweep/re 100"
    assert "place 12 of those that wait for the same nodes" in lines
    assert "begins in about 12m (between 5m and 40m), judging by 30 jobs that ended" in lines
    at = lines.index("these come first:")
    assert lines[at + 2 : at + 5] == [
        "3 lab/urgent bob its priority is 5, and that of this one 0",
        "2 lab/his eve its user has 0.5 cores of the lab, that of this one 2.0",
        "6 lab/sweep jane the same user submitted them before",
    ]
    assert "ws1 has too few GPUs: 0, of 1 needed" in lines
    (entry,) = [line for line in lines if line.startswith("1h 100 %")]
    assert entry.startswith("1h 100 % waited for its turn 1 - ")


def test_a_start_that_nobody_can_tell_is_said_to_be_unknown() -> None:
    assert any(line.startswith("begins nobody can tell:") for line in drawn({**WAITING, "start": None}))
    unsure = {**WAITING["start"], "ended": 0}
    assert any("by how long others run already" in line for line in drawn({**WAITING, "start": unsure}))


def test_a_job_that_is_over_shows_only_where_its_time_went() -> None:
    ledger = {**WAITING["ledger"], "over": True}
    over = {"state": "succeeded", "waits_for": None, "queue": None, "start": None, "nodes": []}
    lines = drawn({**WAITING, **over, "ledger": ledger})
    assert not any(line.startswith(("place", "begins", "node")) for line in lines)
    assert any(line.startswith("where its time went: 1h from ") for line in lines)


def test_every_phase_and_every_thing_to_wait_for_has_words() -> None:
    assert PHASES.keys() == {phase.value for phase in Phase}
    assert WAITS.keys() == {one.value for one in WaitsFor}


def test_programs_get_all_of_it_and_scripts_one_word(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    JsonOutput().why(WAITING)
    assert json.loads(capfdbinary.readouterr().out) == WAITING
    QuietOutput().why(WAITING)
    QuietOutput().why({**WAITING, "waits_for": None, "state": "running"})
    assert capfdbinary.readouterr().out == b"re 100 turn\nre 100 running\n"
