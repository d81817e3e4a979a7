"""The node-runner's machine, a readable test a rule. The simulation runs it under every disorder."""

from __future__ import annotations

import pytest

from distribute.core import events as ev
from distribute.core.events import Event, Recorded
from distribute.core.ids import BatchId
from distribute.testing import builders as make
from distribute_services.node_runner.host.port import Capacity
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, Ending
from distribute_services.node_runner.machine.machine import RunnerMachine

SWEEP = BatchId("lab", "sweep")


class Node:
    """A machine on two cpus that has joined, and the log it hears."""

    def __init__(self) -> None:
        self.seq = 0
        self.machine = RunnerMachine(
            "ws1",
            incarnation="folder/1",
            capacity=Capacity(2, 8 * make.GIB, ("A100",), frozenset()),
            version="1",
            new_id=make.new_id,
            clock=make.EPOCH.timestamp,
        )
        self.join()

    def join(self) -> None:
        (announced,) = self.machine.join()
        assert isinstance(announced, do.Announce)
        assert self.hear(announced.event) == []

    def hear(self, event: Event) -> list[do.Instruction]:
        self.seq += 1
        return self.machine.deliver(Recorded(self.seq, 0.0, event))

    def stored(self, instruction: do.Instruction) -> list[do.Instruction]:
        """The event of a report is in the log."""
        assert isinstance(instruction, do.Report)
        self.seq += 1
        return self.machine.handle(st.Reported(instruction.attempt, self.seq))

    def run(self, job: str = "job1") -> Attempt:
        """A job that was assigned, claimed and launched, and runs."""
        *_, claim = self.hear(make.assigned(job, cpus=1))
        self.machine.handle(st.Loaded(SWEEP, False))
        (launch,) = self.stored(claim)
        assert isinstance(launch, do.Launch)
        (started,) = self.machine.handle(st.Launched(launch.attempt))
        assert self.stored(started) == []
        return launch.attempt


@pytest.fixture
def node() -> Node:
    return Node()


def test_nothing_is_launched_before_the_claim_is_in_the_log(node: Node) -> None:
    load, claim = node.hear(make.assigned(cpus=1))
    assert load == do.Load(SWEEP)
    assert isinstance(claim, do.Report)
    assert isinstance(claim.append.event, ev.Claimed)
    assert claim.append.guard == (node.seq, 0), "guarded by the assignment"
    assert node.machine.handle(st.Loaded(SWEEP, False)) == [], "the claim is not answered yet"
    assert node.stored(claim) == [do.Launch(claim.attempt)]


def test_a_batch_is_built_once_and_its_jobs_wait_for_it(node: Node) -> None:
    _, first = node.hear(make.assigned("job1", cpus=1))
    (second,) = node.hear(make.assigned("job2", cpus=1))
    started, build = node.machine.handle(st.Loaded(SWEEP, True))
    assert isinstance(started, do.Announce)
    assert isinstance(started.event, ev.BuildStarted)
    assert build == do.Build(SWEEP)
    assert node.stored(first) == node.stored(second) == []
    _, *launches = node.machine.handle(st.Built(SWEEP, Ending(succeeded=True, reason=None, wall_s=1.0), None))
    assert [type(launch) for launch in launches] == [do.Launch, do.Launch]


def test_jobs_of_a_failed_build_wait_to_be_taken_back(node: Node) -> None:
    _, claim = node.hear(make.assigned(cpus=1))
    node.machine.handle(st.Loaded(SWEEP, True))
    node.stored(claim)
    (told,) = node.machine.handle(
        st.Built(SWEEP, Ending(succeeded=False, reason="exit code 2", wall_s=1.0), None)
    )
    assert isinstance(told, do.Announce)
    assert isinstance(told.event, ev.BuildFinished)
    assert not told.event.succeeded
    assert isinstance(claim, do.Report)
    assert node.hear(make.released(reason="build_failed")) == [do.Stop(claim.attempt)]


def test_a_job_without_room_waits_for_it(node: Node) -> None:
    run = node.run("job1")
    assert node.hear(make.assigned("job2", cpus=2)) == [], "one of two cpus is taken"
    ending = Ending(succeeded=True, exit_code=0)
    (collect,) = node.machine.handle(st.Exited(run, ending))
    assert collect == do.Collect(run, ending)
    (finished,) = node.machine.handle(st.Collected(run, ending, None))
    tidy, claim = node.stored(finished)
    assert tidy == do.Tidy(run)
    assert isinstance(claim, do.Report)
    assert claim.attempt.job.job == "job2"


def test_a_gpu_is_never_two_jobs_at_a_time(node: Node) -> None:
    node.hear(make.assigned("job1", cpus=1, gpus=(0,)))
    assert node.hear(make.assigned("job2", cpus=1, gpus=(0,))) == []


def test_an_event_waits_for_the_answer_to_the_one_before(node: Node) -> None:
    *_, claim = node.hear(make.assigned(cpus=1))
    node.machine.handle(st.Loaded(SWEEP, False))
    (launch,) = node.stored(claim)
    assert isinstance(launch, do.Launch)
    (started,) = node.machine.handle(st.Launched(launch.attempt))
    ending = Ending(succeeded=True, exit_code=0)
    node.machine.handle(st.Exited(launch.attempt, ending))
    assert node.machine.handle(st.Collected(launch.attempt, ending, None)) == [], (
        "`started` has no answer yet"
    )
    (finished,) = node.stored(started)
    assert isinstance(finished, do.Report)
    assert isinstance(finished.append.event, ev.Finished)
    assert finished.append.guard.last_seq == node.seq


@pytest.mark.parametrize("how", ["fenced", "released", "lost"])
def test_a_job_that_moved_on_is_stopped_and_never_spoken_of_again(node: Node, how: str) -> None:
    run = node.run()
    if how == "fenced":
        stop = node.machine.handle(st.Fenced(run))[0]
    else:
        stop = node.hear(make.released() if how == "released" else make.lost())[0]
    assert stop == do.Stop(run)
    ending = Ending(succeeded=False, signal=15)
    assert node.machine.handle(st.Exited(run, ending)) == []
    assert node.machine.handle(st.Collected(run, ending, None)) == []
    assert node.machine.handle(st.Stopped(run)) == []


def test_what_is_being_stopped_takes_its_room_until_it_is_gone(node: Node) -> None:
    *_, claim = node.hear(make.assigned("job1", cpus=2))
    assert isinstance(claim, do.Report)
    node.hear(make.released("job1"))
    assert node.hear(make.assigned("job2", cpus=2)) == []
    (next_claim,) = node.machine.handle(st.Stopped(claim.attempt))
    assert isinstance(next_claim, do.Report)
    assert next_claim.attempt.job.job == "job2"


def test_a_node_given_up_for_lost_joins_again_and_heeds_only_what_comes_after(node: Node) -> None:
    (rejoin,) = node.hear(make.lost())
    assert isinstance(rejoin, do.Announce)
    assert node.hear(make.assigned("job1")) == [], "said to the node as it was"
    node.hear(rejoin.event)
    assert node.hear(make.assigned("job2", cpus=1)) != []


def test_a_node_whose_name_another_takes_gives_way(node: Node) -> None:
    assert node.hear(make.joined("ws1", incarnation="elsewhere/1")) == [do.GiveWay()]


def test_leaving_stops_what_runs_and_lets_what_ended_be_reported(node: Node) -> None:
    ended, runs = node.run("job1"), node.run("job2")
    ending = Ending(succeeded=True, exit_code=0)
    node.machine.handle(st.Exited(ended, ending))
    told, *rest = node.machine.leave()
    assert isinstance(told, do.Announce)
    assert isinstance(told.event, ev.Leaving)
    assert told.event.keeps == (str(ended.job),)
    assert rest == [do.Stop(runs), do.Forget(SWEEP)]
    assert node.machine.leave() == [], "it is said once"
    assert node.hear(make.assigned("job3", cpus=1)) == [], "it takes no more"
    (finished,) = node.machine.handle(st.Collected(ended, ending, None))
    node.machine.handle(st.Stopped(runs))
    assert not node.machine.idle
    assert node.stored(finished) == [do.Tidy(ended)]
    assert node.machine.idle


def test_giving_everything_back_names_nothing_that_is_kept(node: Node) -> None:
    ended = node.run()
    node.machine.handle(st.Exited(ended, Ending(succeeded=True, exit_code=0)))
    assert node.machine.abandon() == [do.Forget(SWEEP), do.Stop(ended)]


def test_leaving_with_nothing_to_report_says_no_more_than_that_it_left(node: Node) -> None:
    run = node.run()
    assert node.machine.leave() == [do.Stop(run), do.Forget(SWEEP)]


def test_the_end_of_a_batch_ends_what_is_left_of_it_here(node: Node) -> None:
    run = node.run()
    assert node.hear(make.completed()) == [], "what was assigned too late is released, or the batch goes on"
    assert node.hear(make.deleted()) == [do.Stop(run), do.Forget(SWEEP)]


def test_what_was_built_for_a_batch_that_is_over_is_forgotten(node: Node) -> None:
    run = node.run()
    (stop,) = node.hear(make.released(node="ws1", reason="killed"))
    assert stop == do.Stop(run)
    assert node.hear(make.completed(state="killed")) == [do.Forget(SWEEP)]


@pytest.mark.parametrize("how", ["released", "lost"])
def test_a_node_that_leaves_hears_that_what_ended_was_given_away(node: Node, how: str) -> None:
    ended = node.run()
    node.machine.handle(st.Exited(ended, Ending(succeeded=True, exit_code=0)))
    node.machine.leave()
    assert node.hear(make.released() if how == "released" else make.lost()) == [do.Stop(ended)]
    node.machine.handle(st.Stopped(ended))
    assert node.machine.idle


def test_what_ended_is_given_back_where_nobody_waits_for_it(node: Node) -> None:
    ended = node.run()
    node.machine.handle(st.Exited(ended, Ending(succeeded=True, exit_code=0)))
    node.machine.leave()
    assert node.machine.abandon() == [do.Stop(ended)]
