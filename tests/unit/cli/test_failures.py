"""The lines that name the first failures of a batch."""

from __future__ import annotations

from typing import Any

import pytest

from distribute.client.documents import BatchWithJobs
from distribute.core.views.views import batch_view
from distribute.testing.builders import (
    assigned,
    batch,
    claimed,
    completed,
    finished,
    happen,
    job,
    joined,
    started,
    submitted,
)
from distribute_cli.output import tables
from distribute_cli.output.failures import failure_lines
from distribute_cli.output.words import named
from unit.cli.test_output import drawn


def failed_jobs(count: int, **fields: object) -> BatchWithJobs:
    """A batch of so many jobs that all failed, as `status` shows it."""
    spec = batch([job(f"job{n}") for n in range(count)])
    state = happen(joined("ws1"), submitted(spec))
    for n in range(count):
        ended = finished(f"job{n}", succeeded=False, reason=None, last_lines=("in f", f" ValueError: {n}"))
        ended = ended.model_copy(update=fields)
        happen(assigned(f"job{n}"), claimed(f"job{n}"), started(f"job{n}"), ended, state=state)
    document: Any = batch_view(state, spec.id, most=100)
    return document


def test_a_failed_job_is_named_with_what_it_printed_last() -> None:
    found = failed_jobs(1)
    assert list(failure_lines(found, found["job_list"])) == [
        "the last line of job0: ValueError: 0",
        "`distribute logs lab/sweep/job0` shows all that it printed",
    ]
    assert named(found["job_list"][0], found) == "job0 (exit 1 on ws1)"
    assert drawn(tables.batch, found)[-2] == "the last line of job0: ValueError: 0"


@pytest.mark.parametrize(
    ("fields", "how"),
    [
        ({"exit_code": None, "signal": 9, "reason": "ended by SIGKILL"}, "SIGKILL on ws1"),
        ({"exit_code": None, "signal": 15, "reason": "ran too long"}, "SIGTERM on ws1: ran too long"),
        ({"exit_code": 3, "reason": "no room"}, "exit 3 on ws1: no room"),
        ({"exit_code": None, "reason": "no such program"}, "failed on ws1: no such program"),
    ],
)
def test_a_failed_job_shows_how_it_ended(fields: dict[str, object], how: str) -> None:
    found = failed_jobs(1, **fields)
    assert named(found["job_list"][0], found) == f"job0 ({how})"


def test_jobs_that_failed_only_with_their_batch_are_not_named() -> None:
    spec = batch([job("job1"), job("job2")], build="make")
    went_down = "2 nodes went down while it ran on them (ws1, ws2), so it is not tried again"
    state = happen(
        joined("ws1"), submitted(spec), completed(spec, state="failed", reason="it can't be built")
    )
    document: Any = batch_view(state, spec.id)
    assert list(failure_lines(document, document["job_list"])) == []
    assert named(document["job_list"][0], document) == "job1"
    document["job_list"][1]["reason"] = went_down
    assert list(failure_lines(document, document["job_list"])) == [
        f"  job2 ({went_down})",
        "    distribute logs lab/sweep/job2",
        "  and 1 more: `distribute status lab/sweep --state failed` lists them",
    ]


def test_of_many_failures_the_first_are_named_and_the_rest_counted() -> None:
    found = failed_jobs(107)
    assert list(failure_lines(found, found["job_list"])) == [
        *(
            line
            for n in range(5)
            for line in (
                f"  job{n} (exit 1 on ws1)",
                f"    ValueError: {n}",
                f"    distribute logs lab/sweep/job{n}",
            )
        ),
        "  and 102 more: `distribute status lab/sweep --state failed` lists them",
    ]
