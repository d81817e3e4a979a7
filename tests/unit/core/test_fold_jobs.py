"""Folding events about jobs: retries, nodes that go down, fast failures, and accounts."""

from datetime import timedelta
from typing import Any

import pytest

from core_kit import status_of
from distribute.core.folding import fold_job
from distribute.core.folding.accounts import MAX_FAST_FAILURES
from distribute.core.folding.fold import apply
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import JobKey, State, Status, Unarchived
from distribute.core.state.usage import HALF_LIFE_S, decayed, share
from distribute.core.views.views import batch_view
from distribute.testing import builders as make

SWEEP = BatchId("lab", "sweep")
ATTEMPT = (make.assigned(), make.claimed(), make.started())


def started(attempt: int = 1, node: str = "ws1") -> tuple[ev.Event, ...]:
    """A job that runs at a node."""
    return (
        make.assigned(node=node, attempt=attempt),
        make.claimed(node=node, attempt=attempt),
        make.started(node=node, attempt=attempt),
    )


def with_nodes(**fields: Any) -> State:
    return make.happen(make.joined("ws1"), make.joined("ws2"), make.submitted(make.batch(2, **fields)))


def test_a_retry_waits_until_the_failed_attempts_results_are_archived() -> None:
    state = with_nodes(retries=1)
    make.happen(*ATTEMPT, make.finished(succeeded=False), state=state)
    assert status_of(state) is Status.RETRYING
    make.happen(make.job_archived(), state=state)
    assert status_of(state) is Status.QUEUED
    make.happen(*started(2), make.finished(attempt=2, succeeded=False), state=state)
    assert status_of(state) is Status.FAILED
    assert state.batches[SWEEP].failures == {0: 2}


def test_a_jobs_own_number_of_retries_counts() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch([make.job("job1", retries=1)], retries=0)))
    make.happen(*ATTEMPT, make.finished(succeeded=False), state=state)
    assert status_of(state) is Status.RETRYING


def test_a_success_keeps_its_figures_and_forgets_why_it_failed_before() -> None:
    state = with_nodes(retries=1)
    make.happen(*ATTEMPT, make.finished(succeeded=False), make.job_archived(), state=state)
    batch = state.batches[SWEEP]
    assert batch.reasons == {0: "exit code 1"}
    ending = make.finished(attempt=2, node="ws2", wall_s=1.5, cpu_s=2.5, paused_s=3.5, max_rss_bytes=4)
    make.happen(*started(2, "ws2"), ending, state=state)
    outcomes = batch.outcomes
    assert batch.node_names[outcomes.node[0]] == "ws2"
    assert (outcomes.exit_code[0], outcomes.signal[0]) == (0, 0)
    assert (outcomes.wall_s[0], outcomes.cpu_s[0], outcomes.paused_s[0]) == (1.5, 2.5, 3.5)
    assert outcomes.max_rss_bytes[0] == 4
    assert outcomes.finished_at[0] - outcomes.started_at[0] == 1.0
    assert batch.reasons == {}
    assert batch.unarchived.keys() == {0}


def failing(job: str, *lines: str, attempt: int = 1) -> tuple[ev.Event, ...]:
    ended = make.finished(job, attempt=attempt, succeeded=False, last_lines=lines or None)
    return (make.assigned(job, attempt=attempt), make.claimed(job, attempt=attempt), ended)


def test_the_last_line_of_a_failed_job_is_kept_until_it_runs_again_or_succeeds() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(2, retries=1)))
    batch = state.batches[SWEEP]
    make.happen(*failing("job1", "in f", "no room"), *failing("job2"), state=state)
    assert batch.last_lines == {0: "no room", 1: ""}
    make.happen(make.job_archived(), make.assigned(attempt=2), make.claimed(attempt=2), state=state)
    make.happen(make.finished(attempt=2), state=state)
    assert batch.last_lines == {1: ""}
    make.happen(make.job_archived("job2"), *failing("job2", "again", attempt=2), state=state)
    assert batch.last_lines == {1: "again"}
    make.happen(make.retry_requested(), state=state)
    assert batch.last_lines == {}


def test_an_excused_failure_is_not_quoted() -> None:
    state = with_nodes()
    make.happen(*failed_fast(), state=state)
    assert state.batches[SWEEP].last_lines == {0: ""}
    make.happen(make.excused(), state=state)
    assert state.batches[SWEEP].last_lines == {}


def test_a_batch_quotes_a_limited_number_of_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_job, "MAX_FAILURES_QUOTED", 2)
    state = make.happen(make.joined(), make.submitted(make.batch(4)))
    for job in ("job3", "job1", "job4"):
        make.happen(*failing(job, f"{job} failed"), state=state)
    assert state.batches[SWEEP].last_lines == {2: "job3 failed", 0: "job1 failed"}
    listed = batch_view(state, SWEEP, states=["failed"], most=1)["job_list"]
    assert [(job["job"], job["last_line"]) for job in listed] == [("job1", "job1 failed")]
    every = batch_view(state, SWEEP, states=["failed"])["job_list"]
    assert [job["last_line"] for job in every] == ["job1 failed", "job3 failed", None]


def test_of_many_failures_those_that_are_quoted_are_listed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_job, "MAX_FAILURES_QUOTED", 1)
    state = make.happen(make.joined(), make.submitted(make.batch(3)))
    for job in ("job3", "job1"):
        make.happen(*failing(job, f"{job} failed"), state=state)
    assert [job["job"] for job in batch_view(state, SWEEP, most=2)["job_list"]] == ["job3", "job1"]


def test_lost_results_are_not_waited_for() -> None:
    state = with_nodes(retries=1)
    gone = make.job_archived(missing="0 chunks are stored, not 1")
    make.happen(*ATTEMPT, make.finished(succeeded=False), gone, state=state)
    batch = state.batches[SWEEP]
    assert (status_of(state), batch.unarchived) == (Status.QUEUED, {})
    assert batch.missing == {0: "0 chunks are stored, not 1"}
    make.happen(*started(2), state=state)
    assert batch.missing == {0: "0 chunks are stored, not 1"}
    make.happen(make.finished(attempt=2), state=state)
    assert (batch.missing, batch.unarchived) == ({}, {0: Unarchived(state.seq, state.cause)})
    make.happen(make.job_archived(attempt=2), state=state)
    assert (batch.missing, batch.unarchived) == ({}, {})
    make.happen(make.job_archived(attempt=2, missing="said too late"), state=state)
    assert batch.missing == {}


def test_a_signal_is_not_recorded_as_an_exit_code() -> None:
    state = with_nodes()
    make.happen(*ATTEMPT, make.finished(succeeded=False, exit_code=None, signal=9), state=state)
    outcomes = state.batches[SWEEP].outcomes
    assert (outcomes.exit_code[0], outcomes.signal[0]) == (-1, 9)


@pytest.mark.parametrize(("late_s", "found_s"), [(0.25, 0.25), (1e6, 3.0), (-5.0, 0.0)])
def test_a_job_that_ended_before_its_node_could_report_it_has_the_true_end(
    late_s: float, found_s: float
) -> None:
    state = with_nodes()
    ended = make.finished(wall_s=0.05)
    ended = ended.model_copy(update={"ended_at": ended.time - timedelta(seconds=late_s)})
    make.happen(*ATTEMPT, ended, state=state)
    assert state.time - state.batches[SWEEP].outcomes.finished_at[0] == pytest.approx(found_s)


@pytest.mark.parametrize("reason", ["node_lost", "node_restarted", "node_rebooted"])
def test_a_job_that_took_two_nodes_down_is_not_tried_again(reason: ev.ReleaseReason) -> None:
    state = with_nodes(retries=5)
    make.happen(*ATTEMPT, make.released(reason=reason), state=state)
    assert status_of(state) is Status.QUEUED
    make.happen(*started(2, "ws2"), make.released(node="ws2", attempt=2, reason=reason), state=state)
    assert status_of(state) is Status.FAILED
    why = "2 nodes went down while it ran on them (ws1, ws2), so it is not tried again"
    assert state.batches[SWEEP].reasons[0] == why


def test_two_crashes_of_one_node_are_not_two_nodes() -> None:
    state = with_nodes(retries=5)
    for attempt in (1, 2):
        make.happen(*started(attempt), make.released(attempt=attempt, reason="node_lost"), state=state)
    assert status_of(state) is Status.QUEUED
    make.happen(*started(3), make.released(attempt=3, reason="node_lost"), state=state)
    assert status_of(state) is Status.FAILED
    why = "its node went down 3 times while it ran (last: ws1), so it is not tried again"
    assert state.batches[SWEEP].reasons[0] == why


def test_a_node_that_goes_down_before_the_job_started_does_not_count() -> None:
    state = with_nodes()
    for attempt in (1, 2, 3):
        make.happen(make.assigned(attempt=attempt), make.claimed(attempt=attempt), state=state)
        make.happen(make.released(attempt=attempt, reason="node_lost"), state=state)
    assert status_of(state) is Status.QUEUED


def test_a_node_that_left_does_not_count_as_down() -> None:
    state = with_nodes()
    for attempt in (1, 2, 3):
        make.happen(*started(attempt), make.released(attempt=attempt, reason="node_left"), state=state)
    assert status_of(state) is Status.QUEUED


def test_an_attempt_holds_its_share_of_the_node_until_it_ends() -> None:
    state = make.happen(make.joined(gpus=("a", "b")), make.submitted(make.batch(2)))
    node = state.nodes["ws1"]
    make.happen(make.assigned(cpus=2, memory_bytes=make.GIB, gpus=(1,)), state=state)
    assert (node.used_cpus, node.used_memory_bytes, node.used_gpus) == (2, make.GIB, {1})
    assert node.attempts == {JobKey(SWEEP, 0)}
    assert state.usage["jane"].cores == 2
    make.happen(make.claimed(), make.finished(), state=state, apart_s=10)
    assert (node.used_cpus, node.used_memory_bytes, node.used_gpus, node.attempts) == (0, 0, set(), set())
    assert state.usage["jane"].cores == 0
    assert state.usage["jane"].core_ms == 2 * 20_000  # two cores, from the assignment on


def test_a_gpu_assigned_twice_is_free_when_both_attempts_have_ended() -> None:
    state = make.happen(make.joined(gpus=("a",)), make.submitted(make.batch(2)))
    make.happen(make.assigned("job1", gpus=(0,)), make.assigned("job2", gpus=(0,)), state=state)
    make.happen(make.claimed("job1"), make.finished("job1"), state=state)
    assert state.nodes["ws1"].used_gpus == {0}
    make.happen(make.released("job2"), state=state)
    assert state.nodes["ws1"].used_gpus == set()


def test_past_use_halves_every_day_in_integers() -> None:
    assert decayed(100_000, 0) == 100_000
    assert decayed(100_000, HALF_LIFE_S) == pytest.approx(50_000, abs=1)
    assert decayed(100_000, 3 * HALF_LIFE_S) == pytest.approx(12_500, abs=1)
    assert decayed(1 << 62, 400 * HALF_LIFE_S) == 0


def test_a_clock_that_was_ahead_charges_no_user_for_the_difference() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(2)))
    ahead: list[Event] = [make.assigned(), make.claimed(), make.finished()]
    three_years = 3 * 365 * 86_400.0
    for seq, event in enumerate(ahead, start=state.seq + 1):
        apply(state, Recorded(seq, state.time + three_years, event))
        three_years = 1.0
    back = make.EPOCH.timestamp() + 10
    job2: list[Event] = [make.assigned("job2"), make.claimed("job2"), make.finished("job2")]
    for seq, event in enumerate(job2, start=state.seq + 1):
        apply(state, Recorded(seq, back, event))
    assert share(state.usage["jane"], 0, back) < HALF_LIFE_S * 1000  # less than one core


def test_if_the_logs_clock_jumped_an_attempt_is_charged_by_its_nodes_count() -> None:
    state = make.happen(make.joined(), make.submitted())
    make.happen(make.assigned(), make.claimed(), make.started(), state=state)
    make.happen(make.finished(wall_s=60.0), state=state, apart_s=30 * 86_400.0)
    assert state.usage["jane"].core_ms == 62_000  # one core: two seconds until it started, and a minute


def test_a_success_or_a_long_run_clears_the_record_of_fast_failures() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(3)))
    fast = state.nodes["ws1"].record.fast_failures
    for job in ("job1", "job2"):
        make.happen(make.assigned(job), make.claimed(job), state=state)
        make.happen(make.finished(job, succeeded=False, wall_s=9.9), state=state)
    assert list(fast) == [JobKey(SWEEP, 0), JobKey(SWEEP, 1)]
    make.happen(make.assigned("job3"), make.claimed("job3"), state=state)
    make.happen(make.finished("job3", succeeded=False, wall_s=10.0), state=state)
    assert not fast


def test_a_nodes_record_has_at_most_a_hundred_fast_failures() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(MAX_FAST_FAILURES + 1)))
    jobs = [f"job{number}" for number in range(1, MAX_FAST_FAILURES + 2)]
    failing = [
        event
        for job in jobs
        for event in (make.assigned(job), make.claimed(job), make.finished(job, succeeded=False, wall_s=1.0))
    ]
    for recorded in make.record(failing, after=state):
        apply(state, recorded)
    fast = list(state.nodes["ws1"].record.fast_failures)
    assert (len(fast), fast[0]) == (MAX_FAST_FAILURES, JobKey(SWEEP, 1))


def failed_fast(attempt: int = 1, node: str = "ws1") -> tuple[ev.Event, ...]:
    failed = make.finished(node=node, attempt=attempt, succeeded=False, wall_s=1.0)
    return (*started(attempt, node), failed)


def test_an_excused_job_is_queued_without_waiting_for_the_archive() -> None:
    state = with_nodes()
    make.happen(*failed_fast(), state=state)
    assert status_of(state) is Status.FAILED
    make.happen(make.excused(), state=state)
    assert status_of(state) is Status.QUEUED
    batch = state.batches[SWEEP]
    assert (batch.failures, batch.reasons, batch.unarchived) == ({0: 0}, {}, {})
    assert batch.suspects == {0: "ws1"}, "how it ends elsewhere is to prove something of this node"


@pytest.mark.parametrize("reason", ["node_lost", "killed", "build_failed", "unclaimed"])
def test_a_release_does_not_take_a_failure_back(reason: ev.ReleaseReason) -> None:
    state = with_nodes()
    make.happen(*ATTEMPT, make.finished(succeeded=False), make.released(reason=reason), state=state)
    assert status_of(state) is Status.FAILED
    assert state.last_misfit.endswith("the job is failed")


@pytest.mark.parametrize(
    ("retries", "overtaken_by", "stays"),
    [
        (0, make.completed(state="failed", reason="the build failed"), Status.FAILED),
        (1, make.kill_requested(), Status.KILLED),
    ],
    ids=["by the end of its batch", "by a kill"],
)
def test_a_late_excuse_changes_nothing(retries: int, overtaken_by: ev.Event, stays: Status) -> None:
    """The job stays as it is, and its results are still to be archived."""
    state = make.happen(make.joined(), make.submitted(make.batch(retries=retries)))
    make.happen(*ATTEMPT, make.finished(succeeded=False, wall_s=1.0), overtaken_by, state=state)
    make.happen(make.excused(), state=state)
    assert (status_of(state), state.misfits) == (stays, 0)
    assert state.batches[SWEEP].unarchived.keys() == {0}


def test_a_job_is_excused_once() -> None:
    state = with_nodes()
    make.happen(
        *failed_fast(),
        make.excused(),
        *failed_fast(2, "ws2"),
        make.excused(node="ws2", attempt=2),
        state=state,
    )
    assert status_of(state) is Status.FAILED
    assert state.batches[SWEEP].failures == {0: 1}


def test_a_job_that_fails_elsewhere_too_clears_its_first_node_and_blames_no_other() -> None:
    state = with_nodes()
    make.happen(*failed_fast(), make.excused(), state=state)
    assert list(state.nodes["ws1"].record.fast_failures) == [JobKey(SWEEP, 0)]
    make.happen(*failed_fast(2, "ws2"), state=state)
    first, second = state.nodes["ws1"], state.nodes["ws2"]
    assert (first.record.cleared, first.record.blamed, list(first.record.fast_failures)) == (1, 0, [])
    assert (second.record.cleared, second.record.blamed, list(second.record.fast_failures)) == (0, 0, [])


def test_a_job_that_succeeds_elsewhere_is_proof_against_the_node_where_it_failed() -> None:
    state = with_nodes()
    make.happen(
        *failed_fast(), make.excused(), *started(2, "ws2"), make.finished(node="ws2", attempt=2), state=state
    )
    first = state.nodes["ws1"]
    assert (first.record.cleared, first.record.blamed, list(first.record.fast_failures)) == (0, 1, [])


def test_a_person_lifts_a_quarantine_at_once() -> None:
    state = with_nodes()
    make.happen(*failed_fast(), make.quarantined(), make.undrained(), state=state)
    node = state.nodes["ws1"]
    assert (node.quarantined, node.record.quarantines, list(node.record.fast_failures)) == (None, 0, [])


def test_a_job_that_left_nothing_does_not_wait_for_the_archive() -> None:
    state = with_nodes(retries=1)
    make.happen(*ATTEMPT, make.finished(succeeded=False, outputs=None), state=state)
    assert status_of(state) is Status.QUEUED
    assert state.batches[SWEEP].unarchived == {}


def test_a_job_without_started_gets_its_start_from_finished() -> None:
    """Its node's clock is wrong, so only the difference between two of its readings counts."""
    state = with_nodes()
    wrong = make.EPOCH - timedelta(days=400)
    ended = make.finished(started_at=wrong, wall_s=0.05).model_copy(
        update={"time": wrong + timedelta(seconds=0.5)}
    )
    claimed = make.claimed().model_copy(update={"time": wrong})
    make.happen(make.assigned(), claimed, ended, state=state)
    outcomes = state.batches[SWEEP].outcomes
    assert outcomes.finished_at[0] - outcomes.started_at[0] == pytest.approx(0.5)
    assert outcomes.finished_at[0] == state.time
