"""A killed job stays with its node until that has ended it. What it left is kept."""

from __future__ import annotations

from core_kit import Lab, status_of
from distribute.core.explaining.explain import explain
from distribute.core.log import events as ev
from distribute.core.projections.results import result_seqs
from distribute.core.state.state import Status
from distribute.core.telling.listing import batch_document
from distribute.testing import builders as make
from unit.core.kill_kit import BY_KILL, SWEEP, decided, job, killed, running


def test_a_killed_job_keeps_its_node_and_cores_until_the_node_says_how_it_ended() -> None:
    lab = killed(jobs=3)
    assert [lab.status(name) for name in ("job1", "job2", "job3")] == [
        Status.RUNNING,
        Status.RUNNING,
        Status.KILLED,
    ]
    assert lab.state.nodes["ws1"].used_cpus == 2
    lab.happen(make.submitted(make.batch(1, batch="next")))
    assert decided(lab) == [], "no core is free, and the batch is not over"
    lab.happen(make.finished("job1", **BY_KILL))
    assert lab.status("job1") is Status.KILLED
    assert decided(lab) == [("assigned", "job1", "ws1")], "of the next batch"
    lab.happen(make.finished("job2", **BY_KILL))
    assert decided(lab) == [("completed", "sweep", "killed")]


def test_what_a_killed_job_left_is_archived_and_can_be_pulled() -> None:
    lab = killed()
    lab.happen(make.finished(**BY_KILL))
    finished_seq = lab.state.seq
    assert decided(lab) == [("completed", "sweep", "killed")]
    assert decided(lab) == [], "what it left is not archived yet"
    lab.happen(make.job_archived())
    assert decided(lab) == [("batch_archived", "sweep")]
    assert result_seqs(lab.batch()) == [finished_seq]


def test_a_killed_job_is_shown_with_node_times_exit_and_who_killed_it() -> None:
    lab = killed(make.kill_requested(by="bob"))
    at = {"killed_by": "bob", "killed_at": "2026-01-01T00:00:06.000Z"}
    shown = job(lab)
    assert shown | at == shown
    assert (shown["state"], shown["reason"]) == ("running", "being killed by bob")
    assert explain(lab.agenda, lab.batch(), 0).summary == "being killed by bob: attempt 1 at ws1"
    lab.happen(make.finished(**BY_KILL | {"reason": "killed by bob"}))
    shown = job(lab)
    assert shown | at == shown
    assert (shown["state"], shown["node"], shown["signal"]) == ("killed", "ws1", 15)
    assert (shown["reason"], shown["wall_s"]) == ("killed by bob", 60.0)
    assert None not in (shown["started_at"], shown["finished_at"])
    lab.happen(*lab.decide(), make.job_archived())
    lab.happen(*lab.decide())
    document = batch_document(lab.batch())
    assert document | at == document
    assert lab.pack() == {"sweep"}
    assert batch_document(lab.state.packed[SWEEP]) == document


def test_a_killed_job_that_never_ran_names_who_killed_it() -> None:
    lab = Lab(make.submitted(make.batch(2)), make.kill_requested(job="job1", by="bob"))
    shown = job(lab)
    assert (shown["state"], shown["reason"], shown["killed_by"]) == ("killed", "killed by bob", "bob")
    assert job(lab, "job2")["killed_by"] is None
    assert batch_document(lab.batch())["killed_by"] is None, "the batch goes on"


def test_a_waiting_job_that_is_killed_does_not_show_why_it_failed_before() -> None:
    lab = running(retries=1)
    lab.happen(make.finished(succeeded=False, reason="out of memory"), make.kill_requested())
    assert job(lab)["reason"] == "killed by jane"


def test_the_first_kill_counts() -> None:
    lab = killed(make.kill_requested(by="ann", job="job1"), jobs=2)
    lab.happen(make.kill_requested(by="bob"), make.kill_requested(by="eve"))
    lab.happen(make.kill_requested(by="eve", job="job2"), make.kill_requested(by="eve", job="job1"))
    assert decided(lab) == [("stop_ordered", "job2", "ws1")]
    assert [job(lab, name)["killed_by"] for name in ("job1", "job2")] == ["ann", "bob"]
    assert batch_document(lab.batch())["killed_by"] == "bob"
    assert decided(lab) == []


def test_the_node_is_told_who_killed_the_job_and_whether_the_whole_batch_is_killed() -> None:
    lab = running(2)
    lab.happen(make.kill_requested(by="bob", job="job1"))
    (one,) = lab.decide()
    assert isinstance(one, ev.StopOrdered)
    assert (one.by, one.whole_batch) == ("bob", False)
    lab.happen(make.kill_requested())
    orders = [event for event in lab.decide() if isinstance(event, ev.StopOrdered)]
    assert [(event.job, event.by, event.whole_batch) for event in orders] == [("job2", "jane", True)]


# --- kills before a deletion, and of waiting jobs ---------------------------------------------------


def test_jobs_whose_results_nobody_wants_are_released_at_once() -> None:
    lab = running()
    lab.happen(make.kill_requested(discard=True))
    assert decided(lab) == [("released", "job1", "ws1", "killed")]
    assert decided(lab) == [("completed", "sweep", "killed")]


def test_a_deletion_does_not_wait_for_jobs_that_were_killed_before() -> None:
    lab = killed()
    lab.happen(make.kill_requested(by="bob", discard=True))
    assert decided(lab) == [("released", "job1", "ws1", "killed")]
    assert job(lab)["killed_by"] == "jane"


def test_a_kill_of_queued_jobs_lets_the_others_run_on() -> None:
    lab = running(3)
    lab.happen(make.kill_requested(state="queued", by="bob"))
    assert decided(lab) == []
    assert [lab.status(name) for name in ("job1", "job3")] == [Status.RUNNING, Status.KILLED]
    assert (job(lab)["killed_by"], job(lab, "job3")["killed_by"]) == (None, "bob")
    lab.happen(make.kill_requested(state="queued", job="job1"))
    assert decided(lab) == [], "it runs"
    for name in ("job1", "job2"):
        lab.happen(make.finished(name))
    assert decided(lab) == [("completed", "sweep", "failed")]


def test_a_queued_job_that_is_killed_while_it_is_assigned_does_not_run() -> None:
    lab = Lab(make.joined(), make.submitted())
    (assigned,) = lab.decide()
    lab.happen(make.kill_requested(state="queued"), assigned)
    assert decided(lab) == [("released", "job1", "ws1", "killed")]
    assert lab.status() is Status.KILLED


def test_a_retry_of_failed_jobs_keeps_who_killed_the_others() -> None:
    lab = Lab(make.submitted(make.batch(2)), make.kill_requested(by="bob"), make.completed(state="killed"))
    lab.happen(make.retry_requested(failed_only=True))
    assert job(lab)["killed_by"] == "bob"
    assert batch_document(lab.batch())["killed_by"] is None
    lab.happen(make.completed(state="failed"), make.retry_requested())
    assert (job(lab)["state"], job(lab)["killed_by"]) == ("queued", None)


# --- what a kill does not mean ----------------------------------------------------------------------


def test_killed_jobs_prove_nothing_about_their_node() -> None:
    lab = Lab(make.joined(cpus=8), make.submitted(make.batch(8)))
    for name in lab.assign():
        lab.run(name)
    lab.happen(make.kill_requested())
    lab.happen(*lab.decide())
    for number in range(1, 9):
        lab.happen(make.finished(f"job{number}", **BY_KILL, wall_s=0.5))
    assert lab.state.nodes["ws1"].record.fast_failures == {}
    assert (lab.batch().suspects, lab.batch().failures) == ({}, {})


def test_a_kill_elsewhere_does_not_clear_a_node_of_a_jobs_fast_failure() -> None:
    lab = Lab(make.joined("bad"), make.submitted(make.batch(1, retries=1)))
    lab.assign()
    lab.fail_fast("job1", "bad")
    lab.happen(make.drain_requested("bad"), make.joined("good"), make.assigned("job1", "good", 2))
    lab.run("job1", "good", 2)
    lab.happen(make.kill_requested())
    lab.happen(*lab.decide())
    lab.happen(make.finished("job1", "good", 2, **BY_KILL))
    record = lab.state.nodes["bad"].record
    assert (len(record.fast_failures), record.cleared) == (1, 0)


def test_a_job_that_is_killed_before_it_began_keeps_what_an_earlier_attempt_left() -> None:
    lab = running(retries=1)
    lab.happen(make.finished(succeeded=False))
    left_seq = lab.state.seq
    lab.happen(make.job_archived())
    lab.assign()
    lab.happen(make.claimed(attempt=2), make.kill_requested())
    lab.happen(*lab.decide())
    lab.happen(make.finished(attempt=2, **BY_KILL | {"outputs": None, "started_at": None}))
    assert lab.status() is Status.KILLED
    assert result_seqs(lab.batch()) == [left_seq]


def test_a_build_that_is_killed_with_its_batch_has_not_failed() -> None:
    spec = make.batch(1, build="make")
    lab = Lab(make.joined(), make.submitted(spec))
    lab.assign()
    lab.happen(make.claimed(), make.build_started("ws1", spec), make.kill_requested())
    lab.happen(*lab.decide())
    lab.happen(make.build_finished("ws1", spec, succeeded=False, killed=True, reason="killed by jane"))
    assert (lab.batch().building, lab.batch().build_failed) == ({}, {})
    lab.happen(make.finished(**BY_KILL, outputs=None))
    lab.happen(*lab.decide())
    lab.happen(make.retry_requested(spec))
    assert lab.assign() == {"job1": "ws1"}


def test_an_order_for_an_attempt_that_is_over_changes_nothing() -> None:
    lab = running()
    lab.happen(make.finished(), make.stop_ordered())
    assert lab.state.misfits == 1
    assert status_of(lab.state) is Status.SUCCEEDED
