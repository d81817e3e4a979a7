"""The node-runner's machine, a readable test a rule. The simulation runs it under every disorder."""

from __future__ import annotations

import pytest

from distribute.core import events as ev
from distribute.core.events import Event, Recorded
from distribute.core.ids import BatchId
from distribute.testing import builders as make
from distribute_services.node_runner import machine as m

SWEEP = BatchId("lab", "sweep")


class Node:
    """A machine on two cpus that has joined, and the log it hears."""

    def __init__(self) -> None:
        self.seq = 0
        self.machine = m.RunnerMachine(
            "ws1",
            incarnation="folder/1",
            cpus=2,
            memory_bytes=8 * make.GIB,
            gpus=("A100",),
            capabilities=frozenset(),
            version="1",
            new_id=make.new_id,
            clock=make.EPOCH.timestamp,
        )
        self.join()

    def join(self) -> None:
        (announced,) = self.machine.join()
        assert isinstance(announced, m.Announce)
        assert self.hear(announced.event) == []

    def hear(self, event: Event) -> list[m.Instruction]:
        self.seq += 1
        return self.machine.deliver(Recorded(self.seq, 0.0, event))

    def stored(self, instruction: m.Instruction) -> list[m.Instruction]:
        """The event of a report is in the log."""
        assert isinstance(instruction, m.Report)
        self.seq += 1
        return self.machine.reported(instruction.run, self.seq)

    def run(self, job: str = "job1") -> m.Run:
        """A job that was assigned, claimed and launched, and runs."""
        *_, claim = self.hear(make.assigned(job, cpus=1))
        self.machine.loaded(SWEEP, needs_build=False)
        (launch,) = self.stored(claim)
        assert isinstance(launch, m.Launch)
        (started,) = self.machine.launched(launch.run)
        assert self.stored(started) == []
        return launch.run


@pytest.fixture
def node() -> Node:
    return Node()


def test_nothing_is_launched_before_the_claim_is_in_the_log(node: Node) -> None:
    load, claim = node.hear(make.assigned(cpus=1))
    assert load == m.Load(SWEEP)
    assert isinstance(claim, m.Report)
    assert isinstance(claim.append.event, ev.Claimed)
    assert claim.append.guard == (node.seq, 0), "guarded by the assignment"
    assert node.machine.loaded(SWEEP, needs_build=False) == [], "the claim is not answered yet"
    assert node.stored(claim) == [m.Launch(claim.run)]


def test_a_batch_is_built_once_and_its_jobs_wait_for_it(node: Node) -> None:
    _, first = node.hear(make.assigned("job1", cpus=1))
    (second,) = node.hear(make.assigned("job2", cpus=1))
    started, build = node.machine.loaded(SWEEP, needs_build=True)
    assert isinstance(started, m.Announce)
    assert isinstance(started.event, ev.BuildStarted)
    assert build == m.Build(SWEEP)
    assert node.stored(first) == node.stored(second) == []
    _, *launches = node.machine.built(SWEEP, succeeded=True, reason=None, wall_s=1.0, outputs=None)
    assert [type(launch) for launch in launches] == [m.Launch, m.Launch]


def test_jobs_of_a_failed_build_wait_to_be_taken_back(node: Node) -> None:
    _, claim = node.hear(make.assigned(cpus=1))
    node.machine.loaded(SWEEP, needs_build=True)
    node.stored(claim)
    (told,) = node.machine.built(SWEEP, succeeded=False, reason="exit code 2", wall_s=1.0, outputs=None)
    assert isinstance(told, m.Announce)
    assert isinstance(told.event, ev.BuildFinished)
    assert not told.event.succeeded
    assert isinstance(claim, m.Report)
    assert node.hear(make.released(reason="build_failed")) == [m.Stop(claim.run)]


def test_a_job_without_room_waits_for_it(node: Node) -> None:
    run = node.run("job1")
    assert node.hear(make.assigned("job2", cpus=2)) == [], "one of two cpus is taken"
    ending = m.Ending(succeeded=True, exit_code=0)
    (collect,) = node.machine.exited(run, ending)
    assert collect == m.Collect(run, ending)
    (finished,) = node.machine.collected(run, ending, None)
    tidy, claim = node.stored(finished)
    assert tidy == m.Tidy(run)
    assert isinstance(claim, m.Report)
    assert claim.run.job.job == "job2"


def test_a_gpu_is_never_two_jobs_at_a_time(node: Node) -> None:
    node.hear(make.assigned("job1", cpus=1, gpus=(0,)))
    assert node.hear(make.assigned("job2", cpus=1, gpus=(0,))) == []


def test_an_event_waits_for_the_answer_to_the_one_before(node: Node) -> None:
    *_, claim = node.hear(make.assigned(cpus=1))
    node.machine.loaded(SWEEP, needs_build=False)
    (launch,) = node.stored(claim)
    assert isinstance(launch, m.Launch)
    (started,) = node.machine.launched(launch.run)
    ending = m.Ending(succeeded=True, exit_code=0)
    node.machine.exited(launch.run, ending)
    assert node.machine.collected(launch.run, ending, None) == [], "`started` has no answer yet"
    (finished,) = node.stored(started)
    assert isinstance(finished, m.Report)
    assert isinstance(finished.append.event, ev.Finished)
    assert finished.append.guard.last_seq == node.seq


@pytest.mark.parametrize("how", ["fenced", "released", "lost"])
def test_a_job_that_moved_on_is_stopped_and_never_spoken_of_again(node: Node, how: str) -> None:
    run = node.run()
    if how == "fenced":
        stop = node.machine.fenced(run)[0]
    else:
        stop = node.hear(make.released() if how == "released" else make.lost())[0]
    assert stop == m.Stop(run)
    ending = m.Ending(succeeded=False, signal=15)
    assert node.machine.exited(run, ending) == []
    assert node.machine.collected(run, ending, None) == []
    assert node.machine.stopped(run) == []


def test_what_is_being_stopped_takes_its_room_until_it_is_gone(node: Node) -> None:
    *_, claim = node.hear(make.assigned("job1", cpus=2))
    assert isinstance(claim, m.Report)
    node.hear(make.released("job1"))
    assert node.hear(make.assigned("job2", cpus=2)) == []
    (next_claim,) = node.machine.stopped(claim.run)
    assert isinstance(next_claim, m.Report)
    assert next_claim.run.job.job == "job2"


def test_a_node_given_up_for_lost_joins_again_and_heeds_only_what_comes_after(node: Node) -> None:
    (rejoin,) = node.hear(make.lost())
    assert isinstance(rejoin, m.Announce)
    assert node.hear(make.assigned("job1")) == [], "said to the node as it was"
    node.hear(rejoin.event)
    assert node.hear(make.assigned("job2", cpus=1)) != []


def test_a_node_whose_name_another_takes_gives_way(node: Node) -> None:
    assert node.hear(make.joined("ws1", incarnation="elsewhere/1")) == [m.GiveWay()]


def test_leaving_stops_what_runs_and_lets_what_ended_be_reported(node: Node) -> None:
    ended, runs = node.run("job1"), node.run("job2")
    ending = m.Ending(succeeded=True, exit_code=0)
    node.machine.exited(ended, ending)
    told, *rest = node.machine.leave()
    assert isinstance(told, m.Announce)
    assert isinstance(told.event, ev.Leaving)
    assert told.event.keeps == (str(ended.job),)
    assert rest == [m.Stop(runs), m.Forget(SWEEP)]
    assert node.machine.leave() == [], "it is said once"
    assert node.hear(make.assigned("job3", cpus=1)) == [], "it takes no more"
    (finished,) = node.machine.collected(ended, ending, None)
    node.machine.stopped(runs)
    assert not node.machine.idle
    assert node.stored(finished) == [m.Tidy(ended)]
    assert node.machine.idle


def test_giving_everything_back_names_nothing_that_is_kept(node: Node) -> None:
    ended = node.run()
    node.machine.exited(ended, m.Ending(succeeded=True, exit_code=0))
    assert node.machine.abandon() == [m.Forget(SWEEP), m.Stop(ended)]


def test_leaving_with_nothing_to_report_says_no_more_than_that_it_left(node: Node) -> None:
    run = node.run()
    assert node.machine.leave() == [m.Stop(run), m.Forget(SWEEP)]


def test_the_end_of_a_batch_ends_what_is_left_of_it_here(node: Node) -> None:
    run = node.run()
    assert node.hear(make.completed()) == [], "what was assigned too late is released, or the batch goes on"
    assert node.hear(make.deleted()) == [m.Stop(run), m.Forget(SWEEP)]


def test_what_was_built_for_a_batch_that_is_over_is_forgotten(node: Node) -> None:
    run = node.run()
    (stop,) = node.hear(make.released(node="ws1", reason="killed"))
    assert stop == m.Stop(run)
    assert node.hear(make.completed(state="killed")) == [m.Forget(SWEEP)]


@pytest.mark.parametrize("how", ["released", "lost"])
def test_a_node_that_leaves_hears_that_what_ended_was_given_away(node: Node, how: str) -> None:
    ended = node.run()
    node.machine.exited(ended, m.Ending(succeeded=True, exit_code=0))
    node.machine.leave()
    assert node.hear(make.released() if how == "released" else make.lost()) == [m.Stop(ended)]
    node.machine.stopped(ended)
    assert node.machine.idle


def test_what_ended_is_given_back_where_nobody_waits_for_it(node: Node) -> None:
    ended = node.run()
    node.machine.exited(ended, m.Ending(succeeded=True, exit_code=0))
    node.machine.leave()
    assert node.machine.abandon() == [m.Stop(ended)]
