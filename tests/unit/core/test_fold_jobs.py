"""What happens to jobs: retries, nodes that go down, quarantines, and what is counted on the way."""

import pytest

from core_kit import status_of
from distribute.core import events as ev
from distribute.core.fold_job import USAGE_HALF_LIFE_S, decayed_core_s
from distribute.core.ids import BatchId
from distribute.core.state import JobKey, State, Status, Usage
from distribute.testing import builders as make

SWEEP = BatchId("lab", "sweep")
ATTEMPT = (make.assigned(), make.claimed(), make.started())


def started(attempt: int = 1, node: str = "ws1") -> tuple[ev.Event, ...]:
    """A job given to a node, which runs it."""
    return (
        make.assigned(node=node, attempt=attempt),
        make.claimed(node=node, attempt=attempt),
        make.started(node=node, attempt=attempt),
    )


def with_nodes(**fields: object) -> State:
    return make.happen(make.joined("ws1"), make.joined("ws2"), make.submitted(make.batch(2, **fields)))


def test_a_retry_waits_until_what_the_attempt_left_is_archived() -> None:
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
    assert batch.unarchived == {0}


def test_results_that_are_gone_end_the_wait_for_them_until_the_next_attempt_leaves_some() -> None:
    state = with_nodes(retries=1)
    gone = make.job_archived(missing="0 chunks are stored, not 1")
    make.happen(*ATTEMPT, make.finished(succeeded=False), gone, state=state)
    batch = state.batches[SWEEP]
    assert (status_of(state), batch.unarchived) == (Status.QUEUED, set())
    assert batch.missing == {0: "0 chunks are stored, not 1"}
    make.happen(*started(2), state=state)
    assert batch.missing == {0: "0 chunks are stored, not 1"}
    make.happen(make.finished(attempt=2), state=state)
    assert (batch.missing, batch.unarchived) == ({}, {0})
    make.happen(make.job_archived(attempt=2), state=state)
    assert (batch.missing, batch.unarchived) == ({}, set())
    make.happen(make.job_archived(attempt=2, missing="said too late"), state=state)
    assert batch.missing == {}


def test_a_signal_is_no_exit_code() -> None:
    state = with_nodes()
    make.happen(*ATTEMPT, make.finished(succeeded=False, exit_code=None, signal=9), state=state)
    outcomes = state.batches[SWEEP].outcomes
    assert (outcomes.exit_code[0], outcomes.signal[0]) == (-1, 9)


@pytest.mark.parametrize("reason", ["node_lost", "node_restarted"])
def test_a_job_that_took_two_nodes_down_is_not_tried_again(reason: ev.ReleaseReason) -> None:
    state = with_nodes(retries=5)
    make.happen(*ATTEMPT, make.released(reason=reason), state=state)
    assert status_of(state) is Status.QUEUED
    make.happen(*started(2, "ws2"), make.released(node="ws2", attempt=2, reason=reason), state=state)
    assert status_of(state) is Status.FAILED
    assert state.batches[SWEEP].reasons[0] == "2 nodes went down while it ran on them, the last ws2"


def test_a_node_that_goes_down_before_the_job_started_speaks_not_against_it() -> None:
    state = with_nodes()
    for attempt in (1, 2, 3):
        make.happen(make.assigned(attempt=attempt), make.claimed(attempt=attempt), state=state)
        make.happen(make.released(attempt=attempt, reason="node_lost"), state=state)
    assert status_of(state) is Status.QUEUED


def test_a_node_that_left_in_good_order_speaks_not_against_its_jobs() -> None:
    state = with_nodes()
    for attempt in (1, 2, 3):
        make.happen(*started(attempt), make.released(attempt=attempt, reason="node_left"), state=state)
    assert status_of(state) is Status.QUEUED


def test_an_attempt_holds_its_share_of_the_node_and_gives_it_back() -> None:
    state = make.happen(make.joined(gpus=("a", "b")), make.submitted(make.batch(2)))
    node = state.nodes["ws1"]
    make.happen(make.assigned(cpus=2, memory_bytes=make.GIB, gpus=(1,)), state=state)
    assert (node.used_cpus, node.used_memory_bytes, node.used_gpus) == (2, make.GIB, {1})
    assert node.attempts == {JobKey(SWEEP, 0)}
    assert state.usage["jane"].cores == 2
    make.happen(make.claimed(), make.finished(), state=state, apart_s=10)
    assert (node.used_cpus, node.used_memory_bytes, node.used_gpus, node.attempts) == (0, 0, set(), set())
    assert state.usage["jane"].cores == 0
    assert state.usage["jane"].core_s == 2 * 20  # two cores, from the assignment on


def test_a_gpu_given_to_two_is_free_when_both_are_done() -> None:
    state = make.happen(make.joined(gpus=("a",)), make.submitted(make.batch(2)))
    make.happen(make.assigned("job1", gpus=(0,)), make.assigned("job2", gpus=(0,)), state=state)
    make.happen(make.claimed("job1"), make.finished("job1"), state=state)
    assert state.nodes["ws1"].used_gpus == {0}
    make.happen(make.released("job2"), state=state)
    assert state.nodes["ws1"].used_gpus == set()


def test_use_is_halved_with_every_day() -> None:
    usage = Usage(core_s=100.0, as_of=1000.0)
    assert decayed_core_s(usage, 1000.0) == 100.0
    assert decayed_core_s(usage, 1000.0 + USAGE_HALF_LIFE_S) == pytest.approx(50.0)
    assert decayed_core_s(usage, 1000.0 + 3 * USAGE_HALF_LIFE_S) == pytest.approx(12.5)


def test_fast_failures_are_remembered_until_something_ran_long_or_well() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(3)))
    fast = state.nodes["ws1"].fast_failures
    for job in ("job1", "job2"):
        make.happen(make.assigned(job), make.claimed(job), state=state)
        make.happen(make.finished(job, succeeded=False, wall_s=9.9), state=state)
    assert fast == [JobKey(SWEEP, 0), JobKey(SWEEP, 1)]
    make.happen(make.assigned("job3"), make.claimed("job3"), state=state)
    make.happen(make.finished("job3", succeeded=False, wall_s=10.0), state=state)
    assert fast == []


def test_a_quarantine_takes_a_failure_back() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(3)))
    make.happen(*ATTEMPT, make.finished(succeeded=False, wall_s=1.0), make.job_archived(), state=state)
    assert status_of(state) is Status.FAILED
    make.happen(make.quarantined(), make.released(reason="quarantined"), state=state)
    assert status_of(state) is Status.QUEUED
    batch = state.batches[SWEEP]
    assert (batch.failures, batch.reasons, state.nodes["ws1"].fast_failures) == ({0: 0}, {}, [])


def test_a_failure_taken_back_waits_for_no_archive() -> None:
    """The archiver's guard holds no more once the job was released, so its word would never come."""
    state = make.happen(make.joined(), make.submitted())
    make.happen(*ATTEMPT, make.finished(succeeded=False, wall_s=1.0), state=state)
    make.happen(make.released(reason="quarantined"), state=state)
    assert status_of(state) is Status.QUEUED
    assert state.batches[SWEEP].unarchived == set()


@pytest.mark.parametrize("reason", ["node_lost", "killed", "owner", "build_failed"])
def test_nothing_but_a_quarantine_takes_a_failure_back(reason: ev.ReleaseReason) -> None:
    state = make.happen(make.joined(), make.submitted())
    make.happen(*ATTEMPT, make.finished(succeeded=False), make.released(reason=reason), state=state)
    assert status_of(state) is Status.FAILED
    assert state.last_misfit.endswith("only a quarantine takes back a failure")


@pytest.mark.parametrize(
    ("retries", "overtaken_by", "stays"),
    [
        (0, make.completed(state="failed"), Status.FAILED),
        (1, make.kill_requested(), Status.KILLED),
    ],
    ids=["by the end of its batch", "by a kill"],
)
def test_a_failure_is_taken_back_too_late(retries: int, overtaken_by: ev.Event, stays: Status) -> None:
    """The job stays as it is; yet the archiver's guard holds no more, so nobody waits for its word."""
    state = make.happen(make.joined(), make.submitted(make.batch(retries=retries)))
    make.happen(*ATTEMPT, make.finished(succeeded=False, wall_s=1.0), overtaken_by, state=state)
    make.happen(make.released(reason="quarantined"), state=state)
    assert (status_of(state), state.misfits) == (stays, 0)
    assert state.batches[SWEEP].unarchived == set()


def test_a_failure_of_a_job_is_taken_back_once() -> None:
    state = make.happen(make.joined(), make.joined("ws2"), make.submitted())
    for attempt, node in enumerate(("ws1", "ws2"), start=1):
        failed = make.finished(node=node, attempt=attempt, succeeded=False, wall_s=1.0)
        make.happen(*started(attempt, node), failed, state=state)
        make.happen(make.released(node=node, attempt=attempt, reason="quarantined"), state=state)
    assert state.batches[SWEEP].failures == {0: 1}
    assert state.nodes["ws2"].fast_failures == [], "what failed elsewhere before is no word against this node"
