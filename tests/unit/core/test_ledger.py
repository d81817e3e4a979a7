"""The ledger of a job: where the time of its life went."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from distribute.core.files.manifest import Outputs
from distribute.core.ids import JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.projections.ledger import JobLedger, Ledger
from distribute.core.spec.specs import After
from distribute.core.words import rfc3339
from distribute.testing import builders as make

BEGIN = make.EPOCH.timestamp()
JOB = JobId("lab", "sweep", "job1")
Timed = tuple[float, Event]


def at(seconds: float) -> Any:
    return make.EPOCH + timedelta(seconds=seconds)


def ledger(*timed: Timed, now: float, job: JobId = JOB) -> Ledger:
    """The ledger at `now`, after these events; times in seconds since the first."""
    folded = JobLedger(job)
    for seq, (seconds, event) in enumerate(timed, start=1):
        told = event.model_copy(update={"time": at(seconds)}) if event.time == make.EPOCH else event
        folded.fold(Recorded(seq, BEGIN + seconds, told))
    found = folded.ledger(BEGIN + now)
    assert found is not None
    assert found.total_ms == round(1000 * (found.until - found.submitted_at))
    assert all(entry.took_ms > 0 for entry in found.entries)
    return found


def spent(found: Ledger) -> list[tuple[str, float, int]]:
    """Phase, seconds and attempt of each entry."""
    return [(entry.phase.value, entry.took_ms / 1000, entry.attempt) for entry in found.entries]


RUN: list[Timed] = [
    (0, make.joined()),
    (1, make.submitted()),
    (3, make.assigned()),
    (4, make.claimed()),
    (6, make.started()),
    (20, make.finished(started_at=at(5.5), ended_at=at(17))),
    (25, make.job_archived()),
]


def test_it_begins_and_ends_at_the_times_that_status_shows() -> None:
    ended = make.finished(started_at=at(6), ended_at=at(8))
    found = ledger(
        (0, make.joined()), (1.0006, make.submitted()), (3.0009, make.assigned()),
        (5, make.claimed()), (9, ended), (9.1239, make.job_archived()), now=20,
    )  # fmt: skip
    assert rfc3339(found.submitted_at) == rfc3339(BEGIN + 1.0006)
    assert rfc3339(found.entries[1].since) == rfc3339(BEGIN + 3.0009)
    assert rfc3339(found.until) == rfc3339(BEGIN + 9.1239)


def test_a_life_without_trouble_has_all_its_phases() -> None:
    found = ledger(*RUN, now=99)
    assert spent(found) == [
        ("turn", 2, 1),
        ("staging", 2.5, 1),
        ("running", 11.5, 1),
        ("uploading", 3, 1),
        ("archiving", 5, 1),
    ]
    assert (found.is_over, found.until) == (True, BEGIN + 25)
    assert [entry.node for entry in found.entries] == [None, *["ws1"] * 3, None]


def test_an_outage_of_the_log_counts_as_uploading() -> None:
    late = make.finished(started_at=at(5.5), wall_s=11.5, outputs=None)
    late = late.model_copy(update={"time": at(17)})
    assert spent(ledger(*RUN[:5], (7220, late), now=9999)) == [
        ("turn", 2, 1),
        ("staging", 2.5, 1),
        ("running", 11.5, 1),
        ("uploading", 7203, 1),
    ]


@pytest.mark.parametrize(
    ("events", "phase"), [(1, None), (2, "turn"), (3, "staging"), (5, "running"), (6, "archiving")]
)
def test_a_life_that_goes_on_is_told_up_to_now(events: int, phase: str | None) -> None:
    if phase is None:
        assert JobLedger(JOB).ledger(BEGIN) is None
        return
    found = ledger(*RUN[:events], now=50)
    assert (found.is_over, found.until, found.entries[-1].phase) == (False, BEGIN + 50, phase)


def test_what_it_waits_for_is_told_apart() -> None:
    found = ledger(
        (0, make.submitted(make.batch(capabilities=frozenset({"gcc"}), not_before=at(7)))),
        (8, make.joined("other")),
        (10, make.joined(capabilities=frozenset({"gcc"}))),
        (13, make.paused(until=at(18))),
        (30, make.drain_requested()),
        (34, make.undrained()),
        (36, make.assigned()),
        now=37,
    )
    assert spent(found) == [
        ("batch", 7, 1),
        ("node", 3 + 4, 1),
        ("turn", 3 + 12 + 2, 1),
        ("owner", 5, 1),
        ("staging", 1, 1),
    ]


def test_while_a_person_holds_its_batch_it_waits_for_that() -> None:
    told: list[Timed] = [*RUN[:2], (4, make.held()), (9, make.hold_released())]
    assert spent(ledger(*told, now=10)) == [("turn", 4, 1), ("batch", 5, 1)]


def test_it_waits_for_the_batch_that_its_own_comes_after() -> None:
    other = make.submitted(make.batch(batch="other"))
    after = (After(namespace="lab", batch="other", submission=other.id),)
    end = make.completed(make.batch(batch="other"), state="failed", submission=other.id)
    again = make.retry_requested(make.batch(batch="other"), submission=other.id)
    told: list[Timed] = [
        (0, make.joined()),
        (1, make.submitted(make.batch(after=after))),
        (5, end),
        (6, again),
        (9, make.completed(make.batch(batch="other"), submission=other.id)),
    ]
    assert spent(ledger(*told, now=11)) == [("batch", 8, 1), ("turn", 2, 1)]
    first = end.model_copy(update={"state": "completed"})
    assert spent(ledger(told[0], (0.5, first), told[1], now=11)) == [("turn", 10, 1)]


def test_it_waits_for_the_batch_that_replaced_another_of_the_name() -> None:
    """A client reads how batches ended, and not their submissions: those may have 100,000 jobs each."""
    first, other = (make.submitted(make.batch(batch="other")) for _ in range(2))
    after = (After(namespace="lab", batch="other", submission=other.id),)
    told: list[Timed] = [
        (0, make.joined()),
        (1, make.completed(make.batch(batch="other"), state="failed", submission=first.id)),
        (2, make.submitted(make.batch(after=after))),
        (5, make.completed(make.batch(batch="other"), submission=other.id)),
    ]
    assert spent(ledger(*told, now=11)) == [("batch", 3, 1), ("turn", 6, 1)]


def test_a_failed_build_leaves_no_node() -> None:
    build = make.batch(1, build="make")
    found = ledger(
        (0, make.joined()),
        (0, make.submitted(build)),
        (1, make.assigned()),
        (2, make.claimed()),
        (3, make.build_started()),
        (7, make.build_finished(succeeded=False)),
        (8, make.released(reason="build_failed")),
        now=10,
    )
    assert spent(found) == [("turn", 1, 1), ("lost", 7, 1), ("node", 2, 2)]


def test_building_comes_before_the_start() -> None:
    found = ledger(
        (0, make.joined()),
        (0, make.submitted(make.batch(1, build="make"))),
        (1, make.assigned()),
        (2, make.claimed()),
        (3, make.build_started()),
        (7, make.build_finished()),
        (9, make.finished(started_at=at(8), outputs=None)),
        now=10,
    )
    assert spent(found) == [("turn", 1, 1), ("staging", 3, 1), ("building", 4, 1), ("running", 1, 1)]


def test_a_pause_is_as_long_as_the_node_has_measured() -> None:
    told: list[Timed] = [*RUN[:5], (10, make.paused(until=at(60), keeps=["job1"])), (15, make.resumed())]
    assert spent(ledger(*told, now=16))[2:] == [("running", 5, 1), ("paused", 5, 1)]
    found = ledger(*told, (20, make.finished(started_at=at(6), paused_s=4.5, outputs=None)), now=30)
    assert spent(found) == [("turn", 2, 1), ("staging", 3, 1), ("running", 9.5, 1), ("paused", 4.5, 1)]


@pytest.mark.parametrize(
    ("end", "archived"),
    [
        (make.released(reason="node_lost"), False),
        (make.yielded(), False),
        (make.yielded(outputs=Outputs()), True),
    ],
)
def test_the_whole_time_of_a_lost_attempt_is_lost(end: Event, archived: bool) -> None:
    rest: list[Timed] = [(12, make.job_archived())] if archived else []
    found = ledger(*RUN[:5], (10, end), *rest, (14, make.assigned(attempt=2)), now=15)
    archiving = [("archiving", 2.0, 1)] if archived else []
    waited = ("turn", 2.0 if archived else 4.0, 2)
    assert spent(found) == [("turn", 2, 1), ("lost", 7, 1), *archiving, waited, ("staging", 1, 2)]


def test_an_excused_attempt_is_lost_and_a_failed_one_is_not() -> None:
    failed: Timed = (10, make.finished(succeeded=False, wall_s=1, outputs=None))
    excused = ledger(*RUN[:5], failed, (12, make.excused()), now=13)
    assert spent(excused) == [("turn", 2, 1), ("lost", 7, 1), ("over", 2, 1), ("turn", 1, 2)]
    assert spent(ledger(*RUN[:5], failed, now=13)) == [("turn", 2, 1), ("staging", 3, 1), ("running", 4, 1)]


def test_the_time_between_an_end_and_a_retry_is_told() -> None:
    failed: Timed = (10, make.finished(succeeded=False, outputs=None))
    end: Timed = (11, make.completed(state="failed"))
    found = ledger(*RUN[:5], failed, end, (20, make.retry_requested()), now=22)
    assert spent(found)[-2:] == [("over", 10, 1), ("turn", 2, 2)]


def test_a_job_that_ran_elsewhere_waits_until_it_is_collected() -> None:
    submitted = make.submitted(ran_at=make.RAN_AT)
    collected = make.collected(submission=submitted.id, outputs=None)
    found = ledger((0, submitted), (5, collected), now=9)
    assert (spent(found), found.is_over) == ([("elsewhere", 5, 0)], True)


def test_a_batch_with_max_running_holds_its_jobs() -> None:
    two = JobId(*JOB[:2], "job2")
    told: list[Timed] = [(0, make.joined()), (0, make.submitted(make.batch(2, max_running=1)))]
    told += [(1, make.assigned()), (2, make.claimed()), (4, make.finished(outputs=None))]
    assert spent(ledger(*told, now=5, job=two)) == [("turn", 2, 1), ("batch", 3, 1)]


def test_a_clock_that_goes_back_takes_no_time_away() -> None:
    back: Timed = (-100, make.started())
    found = ledger(*RUN[:4], back, (7, make.finished(outputs=None)), now=99)
    assert spent(found)[0] == ("turn", 2, 1)


def test_events_that_the_fold_refuses_change_nothing() -> None:
    refused: Timed = (5, make.released(node="another"))
    assert spent(ledger(*RUN[:5], refused, *RUN[5:], now=99)) == spent(ledger(*RUN, now=99))
