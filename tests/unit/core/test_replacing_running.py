"""A submission that replaces a batch of which jobs run: those that are kept go on."""

from typing import Any

import pytest

from core_kit import Lab, told
from distribute.core.folding.replacing import kept_jobs
from distribute.core.folding.work import marked
from distribute.core.ids import JobId
from distribute.core.log import events as ev
from distribute.core.projections.attempts import JobAttempts
from distribute.core.projections.ledger import JobLedger
from distribute.core.spec.specs import After, BatchSpec, CommandJob
from distribute.core.state.state import Status
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make

QUEUED, RUNNING, SUCCEEDED = Status.QUEUED, Status.RUNNING, Status.SUCCEEDED


def running(*more: ev.Event, **fields: Any) -> Lab:
    """A held batch: jobs 1 and 2 run, job 3 succeeded, job 4 waits."""
    lab = Lab(make.joined(cpus=3), *more, make.submitted(make.batch(4, **fields)))
    lab.assign()
    lab.run("job1")
    lab.run("job2")
    lab.succeed("job3")
    lab.happen(make.held(submission=lab.batch().submission))
    assert not lab.decide()
    return lab


def replaced(lab: Lab, *kept: str, jobs: list[CommandJob] | None = None, **fields: Any) -> str:
    """Replace the batch. Returns the id of the submission before."""
    before = lab.batch().submission
    spec = make.batch(jobs or 4, **fields)
    lab.happen(make.submitted(marked(spec, frozenset(kept)), replaces=before))
    return before


def end(lab: Lab, job: str, **fields: Any) -> None:
    """Have a job be killed, and end."""
    lab.happen(make.kill_requested(job=job, submission=lab.batch().submission), *lab.decide())
    lab.happen(make.finished(job, succeeded=False, outputs=None, **fields))


def statuses(lab: Lab) -> dict[str, Status]:
    return {name: Status(lab.batch().status[row]) for name, row in lab.batch().rows.items()}


def test_a_job_that_runs_goes_on_in_another_row_and_its_changed_neighbour_is_queued() -> None:
    lab = running()
    end(lab, "job2")
    jobs = [make.job(name, command="new") for name in ("new", "job2")] + [make.job(f"job{n}") for n in (3, 1)]
    before = replaced(lab, "job1", "job3", jobs=jobs)
    assert lab.state.misfits == 0
    assert statuses(lab) == {"new": QUEUED, "job2": QUEUED, "job3": SUCCEEDED, "job1": RUNNING}
    batch = lab.batch()
    attempt = batch.active[batch.rows["job1"]]
    assert (attempt.number, attempt.node, attempt.submission) == (1, "ws1", before)
    assert (lab.state.nodes["ws1"].used_cpus, lab.state.usage["jane"].cores) == (1, 1)
    assert list(kept_jobs(batch)) == ["job3", "job1"], "what it leaves may be older than the submission"
    made = lab.decide()
    assert [(one.job, one.attempt, one.beside) for one in made if isinstance(one, ev.Assigned)] == [
        ("new", 1, (before,)), ("job2", 1, (before,)),
    ]  # fmt: skip


def test_what_went_on_ends_as_any_job_and_the_batch_with_it() -> None:
    lab = running()
    replaced(lab, "job1", "job2", "job3", jobs=[make.job(f"job{n}") for n in (1, 2, 3)])
    lab.happen(make.finished("job1"), make.job_archived("job1"))
    lab.happen(make.finished("job2", succeeded=False), make.job_archived("job2"))
    assert told(lab.decide()) == [("completed", "sweep", "failed")]
    assert lab.state.misfits == 0


def test_the_scheduler_takes_and_ends_what_went_on_by_the_submission_that_its_node_knows() -> None:
    lab = running()
    before = replaced(lab, "job1", "job2")
    lab.happen(make.kill_requested(job="job1", submission=lab.batch().submission))
    orders = [one for one in lab.decide() if isinstance(one, ev.StopOrdered)]
    assert [one.submission for one in orders] == [before]
    lab.happen(*orders)
    lab.happen(make.released("job2", submission=lab.batch().submission))
    assert lab.state.last_misfit.endswith("it is about another attempt, of a batch of the same name")
    lab.happen(make.released("job2", submission=before))
    assert (statuses(lab)["job2"], lab.state.misfits) == (QUEUED, 1)


def test_the_next_attempt_at_what_went_on_is_of_the_new_submission() -> None:
    lab = running(retries=1)
    replaced(lab, "job1", "job2", retries=1)
    lab.happen(make.finished("job1", succeeded=False), make.job_archived("job1"))
    (again,) = [one for one in lab.decide() if isinstance(one, ev.Assigned) and one.job == "job1"]
    assert (again.attempt, again.submission) == (2, lab.batch().submission)
    lab.happen(again)
    lab.run("job1", attempt=2)
    lab.happen(make.finished("job1", attempt=2, succeeded=False))
    assert statuses(lab)["job1"] is Status.FAILED, "the failure before counts"


@pytest.mark.parametrize(
    ("said", "kept", "fields", "misfit"),
    [
        ([], ("job1",), {}, "jobs of the batch are in flight"),
        ([make.hold_released()], ("job1", "job2"), {}, "the batch is neither over nor held"),
        ([make.kill_requested(job="job1")], ("job1", "job2"), {}, "jobs of the batch are in flight"),
        ([make.kill_requested()], ("job1", "job2"), {}, "jobs of the batch are in flight"),
        ([], ("job1", "job2"), {"user": "bob"}, "jobs of the batch are in flight"),
        ([make.finished("job1")], ("job1", "job2"), {}, "what jobs of the batch left is not archived yet"),
    ],
)  # fmt: skip
def test_nothing_that_does_not_go_on_may_be_under_way(
    said: list[ev.Event], kept: tuple[str, ...], fields: dict[str, Any], misfit: str
) -> None:
    lab = running()
    lab.happen(*said)
    of = lab.batch().submission
    lab.happen(make.submitted(marked(make.batch(4), frozenset(kept)), **{"replaces": of} | fields))
    assert lab.state.last_misfit.endswith(misfit)
    assert lab.batch().submission == of


def test_a_job_that_has_not_started_does_not_go_on() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(1)))
    lab.assign()
    lab.happen(make.claimed("job1"), make.held())
    replaced(lab, "job1", jobs=[make.job("job1")])
    assert lab.state.last_misfit.endswith("jobs of the batch are in flight")


def test_an_assignment_that_was_on_its_way_when_the_batch_was_replaced_changes_nothing() -> None:
    lab = running()
    before = replaced(lab, "job1", "job2", "job3")
    lab.happen(make.assigned("job4", submission=before), make.claimed("job4"))
    assert (statuses(lab)["job4"], lab.state.misfits) == (QUEUED, 2)


def test_a_snapshot_has_what_went_on() -> None:
    lab = running()
    replaced(lab, "job1", "job2", "job3")
    again = load(dump(lab.state))
    assert digest(again) == digest(lab.state)
    assert again.batches[lab.batch().id] == lab.batch()


def test_a_batch_that_waits_for_one_that_goes_on_waits_on() -> None:
    lab = running()
    after = After(**make.batch().id._asdict(), submission=lab.batch().submission, when="succeeded")
    lab.happen(make.submitted(make.batch(1, batch="later", after=(after,))))
    for kept in (("job1", "job2", "job3"), ("job1", "job2", "job3")):
        replaced(lab, *kept, jobs=[make.job(f"job{n}") for n in (1, 2, 3)])
        assert lab.assign() == {}
        lab.happen(make.held(submission=lab.batch().submission))
    for job in ("job1", "job2"):
        lab.happen(make.finished(job), make.job_archived(job))
    lab.happen(*lab.decide())
    assert lab.batch().end == "completed"
    assert lab.assign() == {"job1": "ws1"}
    assert lab.state.misfits == 0


def with_last(*names: str) -> BatchSpec:
    return make.batch([make.job(name) for name in names], last_job=names[-1])


def test_the_last_job_goes_on_only_with_all_others_kept() -> None:
    lab = Lab(make.joined(), make.submitted(with_last("job1", "plot")))
    lab.assign()
    lab.succeed("job1")
    lab.assign()
    lab.run("plot")
    lab.happen(make.held())
    of = lab.batch().submission
    lab.happen(
        make.submitted(marked(with_last("new", "job1", "plot"), frozenset({"job1", "plot"})), replaces=of)
    )
    assert lab.state.last_misfit.endswith("jobs of the batch are in flight")
    lab.happen(make.submitted(marked(with_last("job1", "plot"), frozenset({"job1", "plot"})), replaces=of))
    assert statuses(lab) == {"job1": SUCCEEDED, "plot": RUNNING}


def test_what_went_on_has_its_attempts_and_the_ledger_of_its_whole_life() -> None:
    lab = running()
    replaced(lab, "job1", "job2", "job3")
    lab.happen(make.finished("job1"), make.job_archived("job1"))
    job = JobId("lab", "sweep", "job1")
    read, ledger = JobAttempts(job), JobLedger(job)
    for recorded in lab.log:
        read.fold(recorded)
        ledger.fold(recorded)
    assert [(one.number, one.finished is not None) for one in read.attempts.values()] == [(1, True)]
    found = ledger.ledger(lab.log[-1].time)
    assert found is not None
    assert (found.submitted_at, found.is_over) == (lab.log[1].time, True)
