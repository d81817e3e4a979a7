"""The node-runner's machine, with one test for each rule. The simulation runs it under all faults."""

from __future__ import annotations

import pytest

from distribute.core.ids import AttemptId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Ending, Phase, SubmissionRef
from unit.services.runner_kit import DONE, SWEEP, Node, event_of


@pytest.fixture
def node() -> Node:
    return Node()


# --- claiming --------------------------------------------------------------------------------------


def test_nothing_is_launched_before_the_claim_is_in_the_log(node: Node) -> None:
    load, claim = node.hear(make.assigned(cpus=1))
    assert load == do.Load(SWEEP, SubmissionRef())
    assert isinstance(claim, do.Report)
    assert isinstance(claim.append.event, ev.Claimed)
    assert claim.append.guard == (node.seq, 0), "guarded by the assignment"
    assert node.handle(st.Loaded(SWEEP, False)) == [], "the claim is not answered yet"
    assert node.stored(claim) == [do.Launch(claim.of)]


def test_a_job_without_room_waits_for_it(node: Node) -> None:
    attempt = node.run("job1")
    assert node.hear(make.assigned("job2", cpus=2)) == [], "one of two cpus is taken"
    assert node.handle(st.Exited(attempt, DONE)) == [do.Collect(attempt, DONE)]
    (finished,) = node.handle(st.Collected(attempt, DONE, None))
    tidy, claim = node.stored(finished)
    assert tidy == do.Tidy(attempt)
    assert event_of(claim).job == "job2"


def test_a_job_without_room_does_not_block_those_behind_it(node: Node) -> None:
    node.run("job1")
    assert node.hear(make.assigned("whole", cpus=2)) == []
    (claim,) = node.hear(make.assigned("job2", cpus=1))
    assert event_of(claim).job == "job2"


def test_a_gpu_is_never_given_to_two_jobs(node: Node) -> None:
    node.hear(make.assigned("job1", cpus=1, gpus=(0,)))
    assert node.hear(make.assigned("job2", cpus=1, gpus=(0,))) == []


def test_a_job_that_is_being_stopped_keeps_its_room_until_it_is_gone(node: Node) -> None:
    claim = node.claim(cpus=2)
    node.hear(make.released("job1"))
    assert node.hear(make.assigned("job2", cpus=2)) == []
    (next_claim,) = node.handle(st.Stopped(claim.of))
    assert event_of(next_claim).job == "job2"


# --- building --------------------------------------------------------------------------------------


def test_a_batch_is_built_once_and_its_jobs_wait_for_it(node: Node) -> None:
    _, first = node.hear(make.assigned("job1", cpus=1))
    (second,) = node.hear(make.assigned("job2", cpus=1))
    read, build = node.handle(st.Loaded(SWEEP, True))
    assert build == do.Build(SWEEP)
    assert node.stored(first) == node.stored(second) == []
    (started,) = node.read(read)
    assert isinstance(event_of(started), ev.BuildStarted)
    launches = node.handle(st.Built(SWEEP, DONE, None))
    assert [type(launch) for launch in launches] == [do.Launch, do.Launch]
    (finished,) = node.stored(started)
    assert isinstance(finished, do.Report)
    assert finished.append.guard.last_seq == node.seq, "the builds of a node have guards of their own"


def test_a_build_is_reported_behind_events_of_an_earlier_build(node: Node) -> None:
    node.hear(make.assigned("job1"))
    read, _ = node.handle(st.Loaded(SWEEP, True))
    earlier = node.record(make.build_started())
    (started,) = node.read(read, earlier)
    assert isinstance(started, do.Report)
    assert started.append.guard.last_seq == earlier.seq


def test_jobs_of_a_failed_build_wait_to_be_released(node: Node) -> None:
    assigned = make.assigned(cpus=1)
    _, claim = node.hear(assigned)
    scope = [Recorded(node.seq, float(node.seq), assigned), node.record(event_of(claim))]
    read, _ = node.handle(st.Loaded(SWEEP, True))
    node.stored(claim)
    (started,) = node.read(read)
    (in_doubt,) = node.handle(st.Built(SWEEP, Ending(succeeded=False, reason="exit code 2"), None))
    assert node.read(in_doubt, *scope) == [], "it counts"
    (finished,) = node.stored(started)
    assert event_of(finished).reason == "exit code 2"
    assert isinstance(claim, do.Report)
    assert node.hear(make.released(reason="build_failed")) == [do.Stop(claim.of)]


def test_a_failed_build_is_tried_again_when_a_person_requests_it(node: Node) -> None:
    node.hear(make.assigned("job1"))
    (read, _) = node.handle(st.Loaded(SWEEP, True))
    (started,) = node.read(read)
    node.handle(st.Built(SWEEP, Ending(succeeded=False), None))
    (finished,) = node.stored(started)
    node.hear(make.released("job1", reason="build_failed"))
    assert node.hear(make.retry_requested()) == [do.Forget(SWEEP)]
    load, _ = node.hear(make.assigned("job1", attempt=2))
    assert load == do.Load(SWEEP, SubmissionRef())
    assert node.handle(st.Loaded(SWEEP, True)) == [do.Build(SWEEP)], "`build_finished` is on its way"
    (again,) = node.stored(finished)
    assert isinstance(event_of(again), ev.BuildStarted)


def test_a_batch_whose_failed_build_the_log_has_lost_is_built_again(node: Node) -> None:
    node.hear(make.assigned("job1"))
    (read, _) = node.handle(st.Loaded(SWEEP, True))
    (started,) = node.read(read)
    node.handle(st.Built(SWEEP, Ending(succeeded=False), None))
    (finished,) = node.stored(started)
    assert do.Load(SWEEP, SubmissionRef()) not in node.hear(make.assigned("job2")), (
        "the scheduler may not know of the failure yet"
    )
    node.stored(finished)
    node.hear(make.released("job1", reason="build_failed"))
    assert node.hear(make.assigned("job1", attempt=2))[:2] == [
        do.Forget(SWEEP),
        do.Load(SWEEP, SubmissionRef()),
    ]
    assert node.handle(st.Loaded(SWEEP, True))[1:] == [do.Build(SWEEP)]


# --- reporting -------------------------------------------------------------------------------------


def test_an_event_waits_for_the_answer_to_the_one_before(node: Node) -> None:
    attempt = node.launch()
    (started,) = node.handle(st.Launched(attempt))
    node.handle(st.Exited(attempt, DONE))
    assert node.handle(st.Collected(attempt, DONE, None)) == [], "`started` has no answer yet"
    (finished,) = node.stored(started)
    assert isinstance(finished, do.Report)
    assert isinstance(finished.append.event, ev.Finished)
    assert finished.append.guard.last_seq == node.seq


def test_the_finished_of_a_short_job_has_its_start_time(node: Node) -> None:
    finished = event_of(node.end(node.launch()))
    assert isinstance(finished, ev.Finished)
    assert finished.started_at == make.EPOCH
    assert finished.outputs is None


def test_every_event_names_the_one_that_caused_it(node: Node) -> None:
    assigned = make.assigned()
    _, claim = node.hear(assigned)
    node.handle(st.Loaded(SWEEP, False))
    (launch,) = node.stored(claim)
    assert isinstance(launch, do.Launch)
    (started,) = node.handle(st.Launched(launch.attempt))
    node.stored(started)
    finished = node.end(launch.attempt)
    events = [event_of(report) for report in (claim, started, finished)]
    assert [event.causation for event in events] == [assigned.id, events[0].id, events[1].id]


def test_a_build_names_the_assignment_that_caused_it(node: Node) -> None:
    assigned = make.assigned()
    node.hear(assigned)
    read, _ = node.handle(st.Loaded(SWEEP, True))
    (started,) = node.read(read)
    node.handle(st.Built(SWEEP, DONE, None))
    (finished,) = node.stored(started)
    assert [event_of(started).causation, event_of(finished).causation] == [assigned.id, event_of(started).id]


# --- which authors count ---------------------------------------------------------------------------


def test_a_released_job_is_stopped_and_nothing_more_is_appended_about_it(node: Node) -> None:
    attempt = node.run()
    assert node.hear(make.released()) == [do.Stop(attempt, sets_aside=True)]
    ending = Ending(succeeded=False, signal=15)
    assert node.handle(st.Exited(attempt, ending)) == []
    assert node.handle(st.Collected(attempt, ending, None)) == []
    assert node.handle(st.Stopped(attempt)) == []
    assert node.machine.idle


def test_a_job_that_is_assigned_again_replaces_the_attempt_here(node: Node) -> None:
    attempt = node.run()
    stop, *_ = node.hear(make.assigned(attempt=2))
    assert stop == do.Stop(attempt)
    assert node.machine.has == (AttemptId(*SWEEP, "job1", 2),)


@pytest.mark.parametrize(
    "forged",
    [
        make.released(),
        make.assigned(attempt=2),
        make.assigned("job2"),
        make.lost(),
        make.completed(),
    ],
)
def test_only_the_scheduler_gives_and_takes_jobs(node: Node, forged: ev.Event) -> None:
    node.run()
    has = node.machine.has
    for author in ("jane", "ws1", "archiver"):
        assert node.hear(forged.model_copy(update={"author": author})) == []
    assert node.machine.has == has


def test_a_release_of_another_attempt_or_node_stops_nothing(node: Node) -> None:
    node.run()
    assert node.hear(make.released(attempt=2)) == []
    assert node.hear(make.released(node="ws2")) == []


@pytest.mark.parametrize(
    "over", [make.completed(), make.deleted(), make.compacted(7)], ids=lambda one: one.type
)
def test_an_end_of_a_batch_that_the_fold_refuses_stops_no_job(node: Node, over: ev.Event) -> None:
    """Jobs of the batch run, so it must be forged."""
    ended = node.run("job1")
    running = node.run("job2")
    node.end(ended)
    assert node.hear(over) == [do.Judge(SWEEP)]
    submissions = frozenset({"its submission"})
    assert node.handle(st.Judged(SWEEP, node.seq, submissions, frozenset({running.id}))) == []
    assert node.handle(st.Judged(SWEEP, node.seq, submissions, frozenset())) == [], "the log may have lost it"
    assert running.phase is Phase.RUNNING


# --- an assignment that the fold refuses: nobody releases it -----------------------------------------


def misfit(node: Node) -> tuple[list[Recorded], list[do.Instruction]]:
    """A second attempt is released and assigned once more. What the scope has, and what the node does."""
    of = make.submitted().id
    scope = [
        node.record(event)
        for number in (1, 2)
        for event in (
            make.assigned(attempt=number, submission=of),
            make.released(attempt=number, submission=of),
        )
    ]
    late = make.assigned(attempt=2, submission=of)
    instructions = node.hear(late)
    return [*scope, Recorded(node.seq, float(node.seq), late)], instructions


def test_a_job_whose_build_failed_is_let_go_if_its_assignment_does_not_count(node: Node) -> None:
    scope, (_, claim) = misfit(node)
    node.handle(st.Loaded(SWEEP, True))
    node.stored(claim)
    (in_doubt,) = node.handle(st.Built(SWEEP, Ending(succeeded=False), None))
    assert lets_go(node, in_doubt, scope)


def test_a_job_that_is_claimed_behind_the_failure_of_its_build_is_let_go_likewise(node: Node) -> None:
    scope, (_, claim) = misfit(node)
    node.handle(st.Loaded(SWEEP, True))
    node.handle(st.Built(SWEEP, Ending(succeeded=False), None))
    (in_doubt,) = node.stored(claim)
    assert lets_go(node, in_doubt, scope)


@pytest.mark.parametrize(
    "over", [make.completed(), make.deleted(), make.compacted(7)], ids=lambda one: one.type
)
def test_a_job_that_runs_is_let_go_when_its_batch_is_over_if_its_assignment_does_not_count(
    node: Node, over: ev.Event
) -> None:
    _, (_, claim) = misfit(node)
    node.handle(st.Loaded(SWEEP, False))
    (launch,) = node.stored(claim)
    (started,) = node.handle(st.Launched(launch.attempt))
    node.stored(started)
    assert node.hear(over) == [do.Judge(SWEEP)]
    late = st.Judged(SWEEP, launch.attempt.assigned_seq - 1, frozenset(), frozenset())
    assert node.handle(late) == [], "the batch may have been retried since"
    note, *rest = node.handle(st.Judged(SWEEP, node.seq, frozenset(), frozenset()))
    assert isinstance(note, do.Note)
    assert rest == [do.Stop(launch.attempt, False), do.Forget(SWEEP)]


def lets_go(node: Node, in_doubt: do.Instruction, scope: list[Recorded]) -> bool:
    """Does the node stop its only job when it has read the scope?"""
    note, stop = node.read(in_doubt, *scope)
    assert isinstance(note, do.Note)
    assert isinstance(stop, do.Stop)
    return not node.machine.has


def test_the_build_of_a_batch_that_is_over_is_removed(node: Node) -> None:
    attempt = node.run()
    assert node.hear(make.released(reason="killed")) == [do.Stop(attempt)]
    assert node.hear(make.completed(state="killed")) == [do.Forget(SWEEP)]


# --- joining ---------------------------------------------------------------------------------------


def test_a_node_takes_jobs_although_its_joined_lies_before_its_place_in_the_log(node: Node) -> None:
    """The log lost its end just before the node followed it. The broker's answer tells where the event is."""
    joined = event_of(node.machine.join()[-1])
    assert node.hear(make.assigned()) == [], "it has not joined yet"
    node.machine.announced(joined, node.seq)
    assert node.hear(make.assigned("job2")) != []


def test_a_lost_node_joins_again_with_its_jobs_and_goes_on(node: Node) -> None:
    runs = node.run("job1")
    node.hear(make.assigned("job2", cpus=1))
    lost = make.lost()
    rejoin = node.hear(lost)
    joined = event_of(rejoin[-1])
    assert isinstance(joined, ev.Joined)
    assert (joined.keeps, joined.boot_id, joined.causation) == (node.machine.has, "boot", lost.id)
    assert len(joined.keeps) == 2
    assert node.hear(make.assigned("job3")) == [], "what comes before the join is taken back"
    node.rejoin(rejoin)
    assert isinstance(event_of(node.end(runs)), ev.Finished)


def test_a_node_whose_name_another_takes_gives_way(node: Node) -> None:
    assert node.hear(make.joined("ws1", incarnation="elsewhere/1")) == [do.GiveWay()]


# --- faults of the runner --------------------------------------------------------------------------


def test_a_job_that_the_runner_could_not_start_is_given_back_once(node: Node) -> None:
    attempt = node.launch()
    (yielded,) = node.handle(st.Broke(attempt, "x" * 20_000))
    event = event_of(yielded)
    assert isinstance(event, ev.Yielded)
    assert len(event.reason) == 2000
    assert node.stored(yielded) == [do.Tidy(attempt)]
    (claim,) = node.hear(make.assigned(attempt=2))
    (launch,) = node.stored(claim)
    assert isinstance(launch, do.Launch)
    (collect,) = node.handle(st.Broke(launch.attempt, "again"))
    assert collect == do.Collect(launch.attempt, Ending(succeeded=False, reason="again"))


def test_a_fault_while_a_job_runs_fails_it(node: Node) -> None:
    attempt, started_at = node.run(), make.EPOCH.timestamp()
    ending = Ending(succeeded=False, reason="a fault", started_at=started_at)
    assert node.handle(st.Broke(attempt, "a fault", started_at)) == [do.Collect(attempt, ending)]
    (finished,) = node.handle(st.Broke(attempt, "and another", started_at))
    event = event_of(finished)
    assert isinstance(event, ev.Finished)
    assert (event.succeeded, event.reason) == (False, "and another")


def test_jobs_of_a_batch_that_can_not_be_read_fail_when_they_are_claimed(node: Node) -> None:
    _, first = node.hear(make.assigned("job1", cpus=1))
    (second,) = node.hear(make.assigned("job2", cpus=1))
    node.stored(first)
    ending = Ending(succeeded=False, reason="it is gone")
    assert isinstance(first, do.Report)
    assert isinstance(second, do.Report)
    assert node.handle(st.LoadFailed(SWEEP, "it is gone")) == [do.Collect(first.of, ending)]
    assert node.stored(second) == [do.Collect(second.of, ending)]
    assert node.hear(make.assigned("job3")) == [do.Load(SWEEP, SubmissionRef())], (
        "the name may be another batch's by now"
    )
