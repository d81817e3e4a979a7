"""A node-runner takes up the jobs that an earlier one left: it reads in the log what became of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import NamedTuple

import pytest

from distribute.core.ids import AttemptId, NodeId
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, Recorded
from distribute.core.spec.recipe import Share, recipe_of
from distribute.host import Exit, Kept, Record, Unit
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt
from unit.services.runner_host import WITHIN_S, MemoryCluster, ModelHost, Running, running_node
from unit.services.runner_kit import DONE, SWEEP, Node, event_of


def record_of(assigned: Recorded) -> Record:
    """What the earlier runner noted of its attempt."""
    event = assigned.event
    assert isinstance(event, ev.Assigned)
    return Record(
        AttemptId(*event.scope, event.attempt),
        Share(event.cpus, event.memory_bytes, event.gpus),
        event.id,
        assigned.seq,
        assigned.time,
        event.submission,
        event.submitted_seq,
    )


FIRST = AttemptId(*SWEEP, "job1", 1)


class Left:
    """A job that an earlier runner of the node left, and what the log has of it."""

    def __init__(self, node: Node, job: str = "job1", attempt: int = 1) -> None:
        self.node = node
        assigned = make.assigned(job, attempt=attempt, cpus=1)
        self.scope = [node.record(assigned)]
        self.record = record_of(self.scope[0])

    def append(self, event: Event) -> None:
        """The earlier runner appended this, caused by its last event, or the scheduler did."""
        if event.author != ev.SCHEDULER:
            event = event.model_copy(update={"causation": self.scope[-1].event.id})
        self.scope.append(self.node.record(event))

    def take_up(self, *, built: bool = False) -> do.Read:
        """Let a runner take it up. Returns the reading of its scope."""
        load, read = self.node.machine.take_up([self.record], [self.record] if built else [])
        assert isinstance(load, do.Load)
        assert isinstance(read, do.Read)
        return read

    def read(self, read: do.Read) -> list[do.Instruction]:
        return self.node.read(read, *self.scope)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def left(node: Node) -> Left:
    found = Left(node)
    found.append(make.claimed())
    return found


def of(read: do.Read) -> Attempt:
    assert isinstance(read.of, Attempt)
    return read.of


def test_a_job_that_runs_goes_on_and_its_end_follows_from_what_the_log_has(left: Left) -> None:
    left.append(make.started())
    read = left.take_up()
    assert left.read(read) == [do.TakeUp(of(read))]
    finished = left.node.end(of(read))
    assert event_of(finished).causation == left.scope[-1].event.id
    assert finished.append.guard.last_seq == left.scope[-1].seq


def test_joined_names_it_before_the_log_is_read(left: Left) -> None:
    left.take_up()
    joined = left.node.rejoin(left.node.machine.join())
    assert joined.keeps == (FIRST,)


def test_a_job_that_was_not_reported_as_started_is_when_it_runs_on(left: Left) -> None:
    read = left.take_up()
    assert left.read(read) == [do.TakeUp(of(read))]
    (started,) = left.node.handle(st.Launched(of(read)))
    assert isinstance(event_of(started), ev.Started)
    assert event_of(started).causation == left.scope[-1].event.id


def test_a_job_that_was_reported_as_started_is_not_a_second_time(left: Left) -> None:
    left.append(make.started())
    read = left.take_up()
    left.read(read)
    assert left.node.handle(st.Launched(of(read))) == []


def test_a_claim_that_the_log_has_lost_is_appended_again(node: Node) -> None:
    left = Left(node)
    read = left.take_up()
    take_up, claimed = left.read(read)
    assert take_up == do.TakeUp(of(read))
    assert event_of(claimed).causation == left.record.assigned_id


@pytest.mark.parametrize("end", [make.finished(), make.yielded()], ids=["finished", "yielded"])
def test_what_was_reported_to_its_end_is_removed_with_its_build(left: Left, end: Event) -> None:
    left.append(end)
    read = left.take_up()
    assert left.read(read) == [do.Stop(of(read)), do.Forget(SWEEP)]
    assert left.node.machine.has == ()


def test_an_end_that_was_on_its_way_from_the_earlier_runner_is_not_said_twice(left: Left) -> None:
    left.append(make.started())
    read = left.take_up()
    left.read(read)
    finished = left.node.end(of(read))
    left.append(make.finished())
    (again,) = left.node.refused(finished, left.scope[-1].seq)
    assert isinstance(again, do.Read)
    assert left.read(again) == [do.Stop(of(read))]


def test_a_start_that_was_on_its_way_from_the_earlier_runner_is_not_said_twice(left: Left) -> None:
    read = left.take_up()
    left.read(read)
    (started,) = left.node.handle(st.Launched(of(read)))
    left.append(make.started())
    (again,) = left.node.refused(started, left.scope[-1].seq)
    assert isinstance(again, do.Read)
    assert left.read(again) == []
    assert event_of(left.node.end(of(read))).causation == left.scope[-1].event.id


def test_what_a_replaced_log_lacks_of_a_job_taken_up_is_appended_again(left: Left) -> None:
    left.append(make.started())
    read = left.take_up()
    left.read(read)
    again, *_ = left.node.machine.log_replaced(left.scope[0].seq)
    assert isinstance(again, do.Read)
    (claimed,) = left.node.read(again, left.scope[0])
    (started,) = left.node.stored(claimed)
    assert [event_of(one).id for one in (claimed, started)] == [one.event.id for one in left.scope[1:]]


@pytest.mark.parametrize(
    "taken",
    [make.released(reason="node_lost"), make.assigned(node="ws2", attempt=2)],
    ids=["released", "given away"],
)
def test_a_job_that_was_taken_meanwhile_is_stopped(left: Left, taken: Event) -> None:
    left.append(taken)
    read = left.take_up()
    note, stop, forget = left.read(read)
    assert isinstance(note, do.Note)
    assert isinstance(stop, do.Stop)
    assert (stop.attempt, forget) == (of(read), do.Forget(SWEEP))


def test_the_build_stays_while_another_job_of_the_batch_is_kept(left: Left) -> None:
    other = Left(left.node, "job2")
    other.append(make.claimed("job2"))
    left.append(make.released())
    load, read, read_other = left.node.machine.take_up([left.record, other.record], [])
    assert isinstance(load, do.Load)
    assert isinstance(read, do.Read)
    assert left.read(read)[1:] == [do.Stop(of(read), sets_aside=True)]
    assert isinstance(read_other, do.Read)
    assert other.read(read_other) == [do.TakeUp(of(read_other))]


def test_a_job_that_was_killed_meanwhile_is_ended(left: Left) -> None:
    left.append(make.stop_ordered(by="jane"))
    read = left.take_up()
    assert left.read(read) == [do.TakeUp(of(read)), do.End(of(read), "killed by jane")]


def test_a_kill_that_comes_while_the_log_is_read_counts(left: Left) -> None:
    read = left.take_up()
    order = make.stop_ordered(by="jane")
    assert left.node.hear(order) == []
    (again,) = left.read(read)
    assert isinstance(again, do.Read)
    left.scope.append(Recorded(left.node.seq, 0.0, order))
    assert left.read(again) == [do.TakeUp(of(read)), do.End(of(read), "killed by jane")]


def test_a_job_whose_assignment_the_log_has_lost_goes_on_and_is_claimed_once_it_is_back(node: Node) -> None:
    left = Left(node)
    read = left.take_up()
    assert node.read(read) == [do.TakeUp(of(read))]
    (again,) = node.hear(left.scope[0].event)
    at = Recorded(node.seq, float(node.seq), left.scope[0].event)
    (claimed,) = node.read(again, at)
    assert isinstance(event_of(claimed), ev.Claimed)


def test_of_two_attempts_at_a_job_the_earlier_is_stopped(left: Left) -> None:
    later = Left(left.node, attempt=2)
    _, read, stop, read_later = left.node.machine.take_up([later.record, left.record], [])
    assert isinstance(read, do.Read)
    assert isinstance(read_later, do.Read)
    assert stop == do.Stop(of(read))
    assert left.node.machine.has == (FIRST._replace(attempt=2),)


@pytest.mark.parametrize("is_over", [True, False])
def test_a_job_of_an_earlier_batch_of_the_name_goes_on_as_its_scope_says(node: Node, is_over: bool) -> None:
    """That batch may have been replaced while the job ran, and goes on."""
    early, late = Left(node), Left(node, "job2")
    if is_over:
        early.append(make.released())
    record = replace(late.record, submission_id="another", submission_seq=9)
    _, read, forget, load, _ = node.machine.take_up([record, early.record], [])
    assert isinstance(read, do.Read)
    assert forget == do.Forget(SWEEP)
    assert isinstance(load, do.Load)
    stops = [one for one in node.read(read, *early.scope) if isinstance(one, do.Stop)]
    assert stops == ([do.Stop(of(read), sets_aside=True)] if is_over else [])
    assert node.machine.has == ((FIRST,) if not is_over else ()) + (FIRST._replace(job="job2"),)


def test_it_has_its_share_of_the_node(left: Left) -> None:
    left.take_up()
    left.node.rejoin(left.node.machine.join())
    assert not [one for one in left.node.hear(make.assigned("job2", cpus=2)) if isinstance(one, do.Report)]


def test_a_build_that_is_there_is_not_made_again(left: Left) -> None:
    read = left.take_up(built=True)
    left.read(read)
    assert left.node.handle(st.Loaded(SWEEP, True)) == []
    left.node.rejoin(left.node.machine.join())
    (claim,) = left.node.hear(make.assigned("job2", cpus=1))
    (launch,) = left.node.stored(claim)
    assert isinstance(launch, do.Launch)


def test_the_batch_of_a_kept_job_is_loaded_on_although_it_is_killed_as_a_whole(left: Left) -> None:
    left.append(make.stop_ordered(whole_batch=True))
    read = left.take_up(built=True)
    left.read(read)
    left.node.rejoin(left.node.machine.join())
    left.node.hear(make.assigned("job2", cpus=1))
    ends = left.node.hear(make.stop_ordered("job2", whole_batch=True))
    assert not [one for one in ends if isinstance(one, do.Forget)]


def test_the_end_of_a_job_says_when_that_was_if_it_was_long_ago(node: Node) -> None:
    long_ago = make.EPOCH.timestamp() - 3600.0
    attempt = node.run()
    ending = replace(DONE, ended_at=long_ago)
    node.handle(st.Exited(attempt, ending))
    (report,) = node.handle(st.Collected(attempt, ending, None))
    finished = event_of(report)
    assert isinstance(finished, ev.Finished)
    assert finished.ended_at is not None
    assert finished.ended_at.timestamp() == long_ago


# --- the service -----------------------------------------------------------------------------------

BATCH = make.batch(1)


class Kept1(NamedTuple):
    """A cluster and a computer on which an earlier runner has started `job1`, ten minutes ago."""

    cluster: MemoryCluster
    host: ModelHost
    process: Running


@pytest.fixture
async def earlier() -> Kept1:
    return await kept_of(make.submitted(BATCH))


async def kept_of(*before: Event) -> Kept1:
    """A job that was assigned after these events of its batch."""
    cluster, host = MemoryCluster(), ModelHost()
    log = cluster.log
    for number, event in enumerate(before):
        await log.append(event, Guard(number))
    assigned = make.assigned(cpus=1)
    seq = await log.append(assigned, Guard(0))
    await log.append(make.claimed().model_copy(update={"causation": assigned.id}), Guard(seq))
    record = record_of(await log.get(seq))
    unit = Unit(assigned.scope, 1, recipe_of(BATCH, BATCH.work.jobs[0]), record.share, record=record)
    process = Running(unit, asyncio.get_running_loop().create_future(), time.time() - 600.0)
    host.left.append(Kept(record, "lab/sweep/job1", None, process, process.started_at))
    host.places.add("lab/sweep/job1")
    host.running["job1"] = process
    return Kept1(cluster, host, process)


async def test_a_job_that_runs_is_taken_up_and_reported_with_its_own_times(earlier: Kept1) -> None:
    async with running_node(earlier.host, earlier.cluster) as node:
        assert (await node.event("joined")).keeps == (FIRST,)
        await node.runs("job1")
        earlier.host.end("job1", exit_code=3)
        finished = await node.of_job("finished", "job1")
        assert (finished.exit_code, finished.ended_at) == (3, None)
        assert abs((finished.time - finished.started_at).total_seconds() - 600.0) < WITHIN_S
        assert earlier.host.collected == ["lab/sweep/job1"]


async def test_a_job_that_ended_meanwhile_is_reported_with_its_true_end(earlier: Kept1) -> None:
    ended_at = earlier.process.started_at + 60.0
    earlier.process.ended.set_result(Exit(0, None, 1.0, 0, 60.0, earlier.process.started_at, ended_at))
    async with running_node(earlier.host, earlier.cluster) as node:
        finished = await node.of_job("finished", "job1")
        assert (finished.succeeded, finished.wall_s) == (True, 60.0)
        assert finished.ended_at.timestamp() == pytest.approx(ended_at, abs=0.01)


async def test_a_runner_that_keeps_its_jobs_leaves_them_running_for_the_next() -> None:
    host = ModelHost()
    async with running_node(host, keeps=True) as node:
        await node.gets(BATCH, "job1")
        await node.runs("job1")
        node.stop.keep_jobs()
        leaving = await node.event("leaving")
        assert leaving.keeps == (FIRST,)
        async with asyncio.timeout(WITHIN_S):
            await node.task
        assert not host.running["job1"].ended.done()
        assert (host.places, host.disowned) == ({"lab/sweep/job1"}, [])
        assert await node.cluster.log.last(NodeId("ws1"), "left") is None


async def test_a_runner_without_jobs_leaves_although_it_would_keep_them() -> None:
    async with running_node() as node:
        node.stop.keep_jobs()
        await node.event("left")


async def test_a_runner_that_keeps_its_jobs_ends_a_build() -> None:
    host = ModelHost()
    async with running_node(host, keeps=True) as node:
        await node.gets(make.batch(1, build="make"), "job1")
        await node.event("build_started")
        node.stop.keep_jobs()
        await node.event("left")
        assert host.running["build"].ended.done()


async def test_a_job_that_was_taken_meanwhile_is_disowned_and_ended(earlier: Kept1) -> None:
    await earlier.cluster.log.append(make.released(reason="node_lost"), Guard(3))
    async with running_node(earlier.host, earlier.cluster):
        async with asyncio.timeout(WITHIN_S):
            await earlier.process.ended
        assert earlier.host.disowned == ["lab/sweep/job1"], "nobody takes it up as failed"


async def test_a_job_whose_batch_is_not_in_the_log_is_ended() -> None:
    earlier = await kept_of()
    async with running_node(earlier.host, earlier.cluster) as node:
        finished = await node.of_job("finished", "job1")
        assert finished.reason == "the batch of this name has no such job"
        assert earlier.process.ended.done()


async def test_a_job_whose_batch_was_deleted_is_ended() -> None:
    """It was assigned when its batch was over, which was deleted before the scheduler took the job back."""
    ended = make.kill_requested(BATCH), make.completed(BATCH, state="killed")
    earlier = await kept_of(make.submitted(BATCH), *ended)
    await earlier.cluster.log.append(make.deleted(BATCH), Guard(5))
    async with running_node(earlier.host, earlier.cluster), asyncio.timeout(WITHIN_S):
        await earlier.process.ended


async def test_a_job_goes_on_whatever_end_and_deletion_of_its_batch_are_forged(earlier: Kept1) -> None:
    await earlier.cluster.log.append(make.completed(BATCH, state="failed"), Guard(3))
    await earlier.cluster.log.append(make.deleted(BATCH), Guard(4))
    async with running_node(earlier.host, earlier.cluster) as node:
        await node.runs("job1")
        earlier.host.end("job1", exit_code=0)
        assert (await node.of_job("finished", "job1")).succeeded
