"""A submission that replaces the batch of its name, and keeps jobs of it that succeeded."""

from collections.abc import Iterable
from typing import Any

import pytest

from core_kit import Lab, told
from distribute.core.folding.replacing import kept_jobs
from distribute.core.folding.work import marked
from distribute.core.ids import JobId, Under
from distribute.core.log import events as ev
from distribute.core.log.recorded import guard_scope
from distribute.core.projections.attempts import JobAttempts
from distribute.core.projections.course import Course
from distribute.core.projections.ledger import JobLedger
from distribute.core.projections.results import result_seqs
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import Status
from distribute.core.telling.sentences import sentence
from distribute.core.telling.wording import Known, Wording
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make

FAILED, KILLED, QUEUED, SUCCEEDED = Status.FAILED, Status.KILLED, Status.QUEUED, Status.SUCCEEDED


def ended(**fields: Any) -> Lab:
    """A batch that is over: job 1 failed, job 2 was killed, jobs 3 and 4 succeeded."""
    lab = Lab(make.joined(cpus=4), make.submitted(make.batch(4, **fields)))
    lab.happen(make.kill_requested(job="job2"))
    lab.assign()
    for job in ("job1", "job3", "job4"):
        lab.run(job)
        lab.happen(make.finished(job, succeeded=job != "job1", wall_s=60), make.job_archived(job))
    lab.happen(*lab.decide())
    lab.happen(*lab.decide())
    assert (lab.batch().end, lab.batch().archived) == ("failed", True)
    return lab


def replacing(lab: Lab, spec: BatchSpec, kept: Iterable[str] = (), **fields: Any) -> ev.Submitted:
    """The submission of a batch in place of the one that is there."""
    return make.submitted(marked(spec, frozenset(kept)), **{"replaces": lab.batch().submission} | fields)


def statuses(lab: Lab) -> dict[str, Status]:
    return {name: Status(lab.batch().status[row]) for name, row in lab.batch().rows.items()}


def test_jobs_that_are_kept_stay_as_they_are_and_all_others_run() -> None:
    lab = ended()
    before = lab.batch()
    lab.happen(
        replacing(lab, make.batch([make.job(name) for name in ("new", "job4", "job3", "job1")]), ["job3"])
    )
    batch = lab.batch()
    assert statuses(lab) == {"new": QUEUED, "job4": QUEUED, "job3": SUCCEEDED, "job1": QUEUED}
    assert (batch.end, batch.archived, batch.attempts.tolist()) == (None, False, [0, 0, 1, 0])
    kept, was = batch.rows["job3"], before.rows["job3"]
    for name in batch.outcomes.__slots__:
        assert getattr(batch.outcomes, name)[kept] == getattr(before.outcomes, name)[was], name
    assert batch.node_names[batch.outcomes.node[kept]] == "ws1"
    assert result_seqs(batch) == [before.outcomes.result_seq[was]]
    assert list(kept_jobs(batch)) == ["job3"]
    assert set(lab.assign()) == {"new", "job4", "job1"}


def test_a_batch_that_keeps_all_its_jobs_is_over_at_once() -> None:
    lab = ended()
    lab.happen(replacing(lab, make.batch([make.job("job3"), make.job("job4")]), ["job3", "job4"]))
    assert told(lab.decide()) == [("completed", "sweep", "completed")]


@pytest.mark.parametrize("job", ["job1", "job2", "job9"])
def test_a_job_that_did_not_succeed_runs_whatever_the_submission_says(job: str) -> None:
    lab = ended()
    lab.happen(replacing(lab, make.batch([make.job(job), make.job("job3")]), [job, "job3"]))
    assert statuses(lab) == {job: QUEUED, "job3": SUCCEEDED}


def test_a_job_whose_results_are_lost_runs_again() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(2)), make.assigned("job1"), make.assigned("job2"))
    for job, missing in (("job1", "no chunks"), ("job2", None)):
        lab.run(job)
        lab.happen(make.finished(job), make.job_archived(job, missing=missing))
    lab.happen(*lab.decide())
    lab.happen(replacing(lab, make.batch(2), ["job1", "job2"]))
    assert statuses(lab) == {"job1": QUEUED, "job2": SUCCEEDED}


def test_the_jobs_that_run_take_nothing_from_before() -> None:
    """Failures, kills, edits, limits and a hold went with the batch that is replaced."""
    lab = ended(max_failures=1, retries=0)
    lab.happen(make.retry_requested(), make.held(), make.edited(retries=3), make.kill_requested())
    lab.happen(*lab.decide())
    assert lab.batch().end == "killed"
    lab.happen(replacing(lab, make.batch(4, priority=7), ["job3", "job4"]))
    batch = lab.batch()
    assert (batch.priority, batch.holding, batch.edited, batch.killed) == (7, None, None, None)
    assert (batch.limits.max_failures, batch.group_of(0).retries) == (None, 0)
    left = (batch.killed_rows, batch.failures, batch.reasons, batch.last_lines, batch.forgiven)
    assert not any(left)
    assert set(lab.assign()) == {"job1", "job2"}


@pytest.mark.parametrize(
    ("fields", "misfit"),
    [
        ({"replaces": "of-another"}, "it replaces another batch of the same name"),
        ({"replaces": None}, "this batch exists"),
        ({"ran_at": make.RAN_AT}, "a batch that ran elsewhere replaces none, and none replaces it"),
        ({"batch": "sweep"}, "its specification is of lab/other"),
    ],
)
def test_what_can_not_replace_the_batch_is_refused(fields: dict[str, Any], misfit: str) -> None:
    lab = ended()
    before = digest(lab.state)
    spec = make.batch(4, batch="other") if "batch" in fields else make.batch(4)
    lab.happen(replacing(lab, spec, **fields))
    assert lab.state.last_misfit.endswith(misfit)
    assert [*statuses(lab).values()] == [FAILED, KILLED, SUCCEEDED, SUCCEEDED]
    assert digest(lab.state) != before, "the misfit is counted"


def test_nothing_may_be_under_way_when_a_batch_is_replaced() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(1)))
    lab.happen(replacing(lab, make.batch(1)))
    assert lab.state.last_misfit.endswith("the batch is neither over nor held")
    lab.assign()
    lab.run("job1")
    lab.happen(make.finished("job1"))
    lab.happen(make.completed())
    lab.happen(replacing(lab, make.batch(1)))
    assert lab.state.last_misfit.endswith("what jobs of the batch left is not archived yet")


def test_late_words_of_the_batch_that_was_replaced_change_nothing() -> None:
    lab = ended()
    before = lab.batch().submission
    lab.happen(replacing(lab, make.batch(4), ["job3", "job4"]))
    misfits = lab.state.misfits
    late: list[ev.Event] = [
        make.completed(submission=before, state="failed"),
        make.assigned("job1", attempt=2, submission=before),
        make.finished("job1", causation="of-then"),
        make.job_archived("job1"),
        make.kill_requested(submission=before),
        make.deleted(submission=before),
    ]
    lab.happen(*late)
    assert lab.state.misfits == misfits + len(late) - 1, "job_archived may be late"
    assert [*statuses(lab).values()] == [QUEUED, QUEUED, SUCCEEDED, SUCCEEDED]


def test_a_late_assignment_of_a_job_that_is_gone_keeps_no_other_job_waiting() -> None:
    """The guard of an assignment in a batch with `max_running` covers all assignments of the batch."""
    lab = Lab(make.joined(cpus=4), make.submitted(make.batch(2)))
    late = [event for event in lab.decide() if isinstance(event, ev.Assigned) and event.job == "job2"]
    lab.happen(make.held(), replacing(lab, make.batch(1, max_running=1)), *late)
    assert lab.state.last_misfit.endswith("there is no such job")
    assert lab.assign() == {"job1": "ws1"}


def test_a_build_runs_again_and_its_failures_are_forgotten() -> None:
    lab = ended(build="make")
    lab.happen(make.build_finished("ws1"))
    assert lab.state.nodes["ws1"].builds == {lab.batch().id}
    lab.happen(replacing(lab, make.batch(4, build="make"), ["job3"]))
    assert (lab.state.nodes["ws1"].builds, lab.batch().built_on) == (set(), set())


def with_last(*names: str) -> BatchSpec:
    return make.batch([make.job(name) for name in names], last_job=names[-1])


@pytest.mark.parametrize(
    ("names", "kept", "runs"),
    [
        (("job1", "job2", "plot"), ("job1", "job2", "plot"), set()),
        (("job1", "job2", "plot"), ("job1", "plot"), {"job2"}),
        (("job1", "plot"), ("job1", "plot"), {"plot"}),
        (("job1", "job2", "new", "plot"), ("job1", "job2", "plot"), {"new"}),
    ],
)
def test_the_last_job_is_kept_only_with_all_others(
    names: tuple[str, ...], kept: tuple[str, ...], runs: set[str]
) -> None:
    lab = Lab(make.joined(), make.submitted(with_last("job1", "job2", "plot")))
    for _ in range(2):
        for job in lab.assign():
            lab.succeed(job)
    lab.happen(*lab.decide())
    assert lab.batch().end == "completed"
    lab.happen(replacing(lab, with_last(*names), kept))
    assert {name for name, status in statuses(lab).items() if status is QUEUED} == (
        runs | {"plot"} if runs else set()
    )
    assert set(lab.assign()) == runs


def test_a_snapshot_of_a_batch_that_replaced_another_is_the_same() -> None:
    lab = ended()
    first = lab.batch().seq
    lab.happen(replacing(lab, make.batch(4), ["job3", "job4"]))
    assert digest(load(dump(lab.state))) == digest(lab.state)
    course = Course.of(load(dump(lab.state)).batches[lab.batch().id])
    assert (course.first_seq, course.has_replaced) == (first, True)


def test_a_submission_that_replaces_is_guarded_by_everything_under_the_batch() -> None:
    assert guard_scope(make.submitted(replaces="another")) == Under(make.batch().id)
    assert guard_scope(make.submitted()) == make.batch().id


def test_a_kept_job_has_the_attempts_and_the_ledger_of_its_whole_life() -> None:
    lab = ended()
    lab.happen(replacing(lab, make.batch(4), ["job3"]))
    for job, attempts in (("job3", [1]), ("job4", [])):
        read, ledger = JobAttempts(JobId("lab", "sweep", job)), JobLedger(JobId("lab", "sweep", job))
        for recorded in lab.log:
            read.fold(recorded)
            ledger.fold(recorded)
        assert list(read.attempts) == attempts
        found = ledger.ledger(lab.log[-1].time)
        assert found is not None
        assert found.submitted_at == (lab.log[1] if job == "job3" else lab.log[-1]).time
        assert found.is_over == (job == "job3")


@pytest.mark.parametrize(
    ("kept", "stays", "told_as"),
    [
        (["job1", "job2"], (2, 0), "jane replaced lab/sweep: 3 jobs, of which 2 are kept"),
        (["job1"], (1, 0), "jane replaced lab/sweep: 3 jobs, of which 1 is kept"),
        (["job1"], None, "jane replaced lab/sweep: 3 jobs, of which 1 is kept or goes on"),
        ([], None, "jane replaced lab/sweep: 3 jobs, of which none is kept"),
    ],
)
def test_the_history_says_how_many_jobs_are_kept(
    kept: list[str], stays: tuple[int, int] | None, told_as: str
) -> None:
    event = make.submitted(marked(make.batch(3), frozenset(kept)), replaces="another")
    assert sentence(event, Wording(lambda _: "", event.scope), Known(stays=stays)) == told_as


def test_the_history_of_one_job_says_whether_it_is_kept() -> None:
    wording = Wording(lambda _: "", make.batch().id)
    event = make.submitted(marked(make.batch(1), frozenset({"job1"})), replaces="another")
    for stays, told_as in (((1, 0), "is kept"), ((0, 1), "goes on"), ((0, 0), "runs")):
        told = sentence(event, wording, Known(jobs=90, stays=stays))
        assert told == f"jane replaced lab/sweep: 90 jobs, of which this one {told_as}"
