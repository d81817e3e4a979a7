"""Batches that ran elsewhere: nothing here runs them, and their person alone says how their jobs ended."""

from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from core_kit import Lab, status_of
from distribute.core.explaining.explain import explain
from distribute.core.folding import fold_batch
from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.events import Assigned, Event
from distribute.core.log.recorded import Recorded
from distribute.core.projections.attempts import JobAttempts
from distribute.core.projections.results import BatchResults, result_seqs
from distribute.core.slices import at_once
from distribute.core.state.batch_record import changing_pieces, fixed_pieces, load_packed, loading, seal
from distribute.core.state.packing import packed_as
from distribute.core.state.state import State, Status
from distribute.core.telling.listing import batch_document
from distribute.core.views.views import batch_view
from distribute.testing import builders as make

SWEEP = BatchId("lab", "sweep")
RAN = make.submitted(make.batch(2), ran_at=make.RAN_AT)


def collected(job: str = "job1", **fields: Any) -> ev.Collected:
    return make.collected(job, **{"submission": RAN.id} | fields)


def after(*events: Event) -> State:
    state = make.happen(RAN, *events)
    assert state.misfits == 0, state.last_misfit
    return state


def test_no_node_gets_a_job_of_a_batch_that_ran_elsewhere() -> None:
    lab = Lab(make.joined(cpus=8), RAN)
    assert lab.decide() == []
    lab.happen(make.submitted(make.batch(1, batch="other")))
    (assigned,) = lab.decide()
    assert isinstance(assigned, Assigned)
    assert assigned.batch == "other"


def test_nobody_waits_for_a_build_of_a_batch_that_ran_elsewhere() -> None:
    """Such as a person who follows what its builds print."""
    spec = make.batch(1, build="make")
    results = BatchResults(spec.id)
    results.fold(Recorded(1, make.EPOCH.timestamp(), make.submitted(spec, ran_at=make.RAN_AT)))
    assert not results.has_build
    assert not make.happen(make.submitted(spec, ran_at=make.RAN_AT)).batches[spec.id].needs_build


def test_a_build_that_was_collected_has_ended_as_its_person_says() -> None:
    """And no node of this lab has it built, also if it has the name of the one there."""
    lab = Lab(make.joined("nid001"), RAN)
    lab.happen(make.build_collected(submission=RAN.id, succeeded=False, last_lines=("no main",)))
    shown = batch_view(lab.state, SWEEP)
    assert shown["build_failed"] == {"nid001": "exit code 2"}
    assert shown["build_last_lines"] == {"nid001": ["no main"]}
    assert lab.decide() == [], "its jobs are still to be collected"
    lab.happen(make.build_collected(submission=RAN.id))
    assert batch_view(lab.state, SWEEP)["build_failed"] == {}
    assert (lab.batch("sweep").built_on, lab.state.nodes["nid001"].builds) == (set(), set())


@pytest.mark.parametrize(
    ("ran_at", "fields", "why"),
    [
        (make.RAN_AT, {"author": "bob"}, "it is jane's batch"),
        (make.RAN_AT, {"submission": "another"}, "it is about another batch of the same name"),
        (None, {}, "the batch runs here, and only its nodes say how its builds end"),
    ],
)
def test_a_build_is_collected_by_the_person_of_a_batch_that_ran_elsewhere(
    ran_at: ev.RanAt | None, fields: dict[str, Any], why: str
) -> None:
    submitted = make.submitted(make.batch(2), ran_at=ran_at)
    named: dict[str, Any] = {"submission": submitted.id, "succeeded": False} | fields
    event = make.build_collected(**named)
    state = make.happen(submitted, event)
    assert state.misfits == 1
    assert why in str(state.last_misfit)
    assert state.batches[SWEEP].build_failed == {}


def test_the_number_of_builds_that_are_noted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_batch, "MAX_BUILDS_NOTED", 2)
    said = [make.build_collected(f"n{n}", submission=RAN.id, succeeded=False) for n in (1, 2, 1, 3)]
    state = make.happen(RAN, *said)
    assert "2 builds of the batch are noted already" in str(state.last_misfit)
    assert set(state.batches[SWEEP].build_failed) == {"n1", "n2"}


def test_a_job_that_was_not_collected_yet_says_so() -> None:
    lab = Lab(make.joined(), RAN)
    why = explain(lab.agenda, lab.batch("sweep"), 0)
    assert why.summary == "its batch ran at slurm, and its results are not collected yet"
    assert why.nodes == ()


@pytest.mark.parametrize("end", ["succeeded", "failed", "killed"])
def test_a_collected_job_has_ended_as_its_person_says(end: str) -> None:
    assert status_of(after(collected(state=end))) is Status[end.upper()]


def test_a_collected_job_shows_where_when_and_how_it_ran() -> None:
    ending: dict[str, Any] = {"state": "failed", "exit_code": None, "signal": 9, "reason": "out of memory"}
    use: dict[str, Any] = {"wall_s": 60.0, "cpu_s": 50.0, "max_rss_bytes": 7}
    state = make.happen(RAN, collected(**ending, **use, last_lines=("x", "no room")))
    shown = batch_view(state, SWEEP)["job_list"][0]
    told = {name: shown[name] for name in ("node", "attempt", "last_line", *ending, *use)}
    assert told == {"node": "nid001", "attempt": 1, "last_line": "no room", **ending, **use}
    hour_ago = make.EPOCH + timedelta(seconds=2, hours=-1)
    assert shown["finished_at"] == hour_ago.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert batch_document(state.batches[SWEEP])["ran_at"] == "slurm"


def test_a_job_that_was_killed_there_was_killed_by_its_person() -> None:
    shown = batch_view(after(collected(state="killed", reason="cancelled")), SWEEP)["job_list"][0]
    assert (shown["state"], shown["killed_by"]) == ("killed", "jane")
    assert shown["reason"] == "killed by jane; cancelled"


def test_a_batch_is_over_once_all_its_jobs_are_collected() -> None:
    lab = Lab(RAN, collected())
    assert lab.decide() == []
    lab.happen(collected("job2", state="failed"))
    (end,) = lab.decide()
    assert isinstance(end, ev.Completed)
    assert end.state == "failed"
    lab.happen(end)
    assert lab.decide() == []
    lab.happen(make.job_archived(node="nid001"), make.job_archived("job2", node="nid001"))
    assert [event.type for event in lab.decide()] == ["batch_archived"]


def test_results_can_be_pulled_once_they_are_archived() -> None:
    state = after(collected(), collected("job2", outputs=None))
    batch = state.batches[SWEEP]
    assert result_seqs(batch) == [3]
    make.happen(make.job_archived(node="nid001"), state=state)
    assert result_seqs(batch) == [2, 3]


def test_a_collected_job_counts_to_no_share_and_no_record_of_a_node() -> None:
    """Also where a node of this cluster has the name of the one there."""
    lab = Lab(make.joined("nid001"), RAN)
    before = deepcopy((lab.state.usage, lab.state.nodes))
    fast: dict[str, Any] = {"state": "failed", "exit_code": 1, "wall_s": 0.1}
    lab.happen(collected(**fast), collected("job2", **fast))
    assert (lab.state.usage, lab.state.nodes) == before
    assert lab.batch("sweep").suspects == {}


@pytest.mark.parametrize(
    "said",
    [
        lambda submission: make.collected(node="ws1", by="ws1", submission=submission),
        lambda submission: make.build_collected("ws1", author="ws1", submission=submission),
        lambda _: make.listed().model_copy(update={"author": "ws1"}),
    ],
)
def test_a_person_with_the_name_of_a_node_is_no_sign_of_its_life(said: Callable[[str], Event]) -> None:
    lab = Lab(make.joined("ws1"), make.submitted(make.batch(1), "ws1", ran_at=make.RAN_AT))
    lab.quiet.add("ws1")
    lab.wait(30.0)
    assert "ws1" in lab.agenda.silent
    lab.happen(said(lab.batch("sweep").submission))
    assert "ws1" in lab.agenda.silent


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (collected(by="mallory"), "it is jane's batch"),
        (collected(submission="another"), "it is about another batch of the same name"),
        (collected(attempt=2), "attempt 2, where the last is 0"),
        (collected("job9"), "there is no such job"),
        (make.assigned(), "the batch ran at slurm, and nothing here runs it"),
        (make.retry_requested(), "the batch ran at slurm, and nothing here runs it"),
        (make.build_started(), "the batch ran at slurm, and nothing here builds it"),
        (make.build_finished(succeeded=False), "the batch ran at slurm, and nothing here builds it"),
    ],
)
def test_of_a_batch_that_ran_elsewhere_nothing_else_fits(event: Event, why: str) -> None:
    state = make.happen(make.joined(), RAN, event)
    assert state.last_misfit.endswith(f": {why}")
    assert [status_of(state, job) for job in ("job1", "job2")] == [Status.QUEUED, Status.QUEUED]


def test_nobody_collects_a_job_of_a_batch_that_runs_here() -> None:
    here = make.submitted(make.batch(1))
    state = make.happen(make.joined(), here, make.collected(submission=here.id))
    assert state.last_misfit.endswith("the batch runs here, and only its nodes say how its jobs end")
    assert status_of(state) is Status.QUEUED


def test_a_job_is_collected_once() -> None:
    state = make.happen(RAN, collected(), collected(state="failed"))
    assert state.last_misfit.endswith("the job is succeeded")
    assert status_of(state) is Status.SUCCEEDED


def test_a_kill_ends_the_jobs_that_were_not_collected() -> None:
    lab = Lab(RAN, collected(), make.kill_requested())
    assert [status_of(lab.state, job) for job in ("job1", "job2")] == [Status.SUCCEEDED, Status.KILLED]
    lab.happen(collected("job2"))
    assert lab.state.misfits == 1
    assert [event.type for event in lab.decide()] == ["completed"]


def test_what_a_batch_ran_at_survives_a_restart_and_packing() -> None:
    state = after(collected(), collected("job2"))
    done = (make.job_archived(node="nid001"), make.job_archived("job2", node="nid001"), make.completed())
    batch = make.happen(*done, make.batch_archived(), state=state).batches[SWEEP]
    fixed, changing = seal(fixed_pieces(batch)), seal(at_once(changing_pieces(batch)))
    assert at_once(loading(fixed, changing)) == batch
    packed = load_packed(fixed, changing)
    assert packed == packed_as(batch, fixed, changing)
    assert packed is not None
    assert batch_document(packed)["ran_at"] == "slurm"


def test_a_job_that_ran_elsewhere_has_one_attempt_that_nobody_assigned() -> None:
    attempts = JobAttempts(JobId(*SWEEP, "job1"))
    event = collected(state="failed", reason="exit code 3")
    story: list[Event] = [RAN, event]
    for seq, one in enumerate(story, start=1):
        attempts.fold(Recorded(seq, make.EPOCH.timestamp() + seq, one))
    (attempt,) = attempts.attempts.values()
    assert (attempt.number, attempt.node, attempt.assigned_at) == (1, "nid001", None)
    assert (attempt.finished, attempt.outputs) == (event, event.outputs)
    assert attempt.started_at is not None
    assert attempt.ended_at == attempt.started_at + 60
