"""A node ends a killed job as it ends one at its timeout: what the job left is kept and reported."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from distribute.core.files.manifest import Outputs
from distribute.core.ids import JobId
from distribute.core.log import events as ev
from distribute.host import Unit
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, Ending
from unit.services.runner_host import ModelHost, Running, RunningNode, running_node
from unit.services.runner_kit import DONE, SWEEP, Node, event_of

BY_JANE = "killed by jane"
KILLED = Ending(succeeded=False, signal=15, reason=BY_JANE)
OUTPUTS = Outputs(files=1)


@pytest.fixture
def node() -> Node:
    return Node()


def building(node: Node) -> Attempt:
    """A claimed job that waits for the build of its batch."""
    _, claim = node.hear(make.assigned(cpus=1))
    read, _ = node.handle(st.Loaded(SWEEP, True))
    assert node.stored(claim) == []
    (started,) = node.read(read)
    assert node.stored(started) == []
    assert isinstance(claim, do.Report)
    assert isinstance(claim.of, Attempt)
    return claim.of


# --- jobs -------------------------------------------------------------------------------------------


def test_a_running_job_is_ended_and_what_it_left_is_reported(node: Node) -> None:
    attempt = node.run()
    assert node.hear(make.stop_ordered()) == [do.End(attempt, BY_JANE)]
    assert node.hear(make.stop_ordered()) == [], "it is being ended"
    assert node.handle(st.Exited(attempt, KILLED)) == [do.Collect(attempt, KILLED)]
    (report,) = node.handle(st.Collected(attempt, KILLED, OUTPUTS))
    finished = event_of(report)
    assert isinstance(finished, ev.Finished)
    assert (finished.succeeded, finished.reason, finished.outputs) == (False, BY_JANE, OUTPUTS)
    assert node.stored(report) == [do.Tidy(attempt)]


def test_the_report_follows_from_the_nodes_last_event_behind_the_order(node: Node) -> None:
    assigned = node.record(make.assigned(cpus=1))
    *_, claim = node.machine.deliver(assigned)
    node.handle(st.Loaded(SWEEP, False))
    (launch,) = node.stored(claim)
    assert isinstance(launch, do.Launch)
    claimed = node.record(event_of(claim))
    order = node.record(make.stop_ordered())
    node.machine.deliver(order)
    node.handle(st.Exited(launch.attempt, KILLED))
    (report,) = node.handle(st.Collected(launch.attempt, KILLED, None))
    (again,) = node.read(*node.refused(report, order.seq), assigned, claimed, order)
    assert isinstance(again, do.Report)
    assert again.append.guard.last_seq == order.seq
    assert again.append.event.causation == claimed.event.id


@pytest.mark.parametrize(
    "order",
    [
        make.stop_ordered(attempt=2),
        make.stop_ordered(node="ws2"),
        make.stop_ordered().model_copy(update={"author": "ws2"}),
    ],
    ids=["another attempt", "another node", "another author"],
)
def test_an_order_for_somebody_else_ends_nothing(node: Node, order: ev.StopOrdered) -> None:
    node.run()
    assert node.hear(order) == []


def test_a_job_that_has_ended_by_itself_is_reported_as_it_ended(node: Node) -> None:
    attempt = node.run()
    node.handle(st.Exited(attempt, DONE))
    assert node.hear(make.stop_ordered()) == []
    (report,) = node.handle(st.Collected(attempt, DONE, OUTPUTS))
    assert event_of(report).succeeded


def test_an_order_that_beats_the_answer_to_the_claim_lets_nothing_begin(node: Node) -> None:
    claim = node.claim()
    assert node.hear(make.stop_ordered()) == []
    (collect,) = node.stored(claim)
    assert collect == do.Collect(claim.of, Ending(succeeded=False, reason=BY_JANE))


def test_an_order_that_only_the_jobs_scope_tells_of_is_carried_out(node: Node) -> None:
    """The log was replaced, and the order lies before the place that the node reads from."""
    attempt = node.run()
    read, _ = node.machine.log_replaced(node.seq)
    scope = [node.record(event) for event in (make.assigned(cpus=1), make.claimed(), make.started())]
    scope[0] = scope[0]._replace(event=scope[0].event.model_copy(update={"id": attempt.assigned_id}))
    assert node.read(read, *scope, node.record(make.stop_ordered()))[-1] == do.End(attempt, BY_JANE)


def test_a_leaving_node_still_reports_what_a_killed_job_left(node: Node) -> None:
    attempt = node.run()
    node.hear(make.stop_ordered())
    announced, *_ = node.machine.leave()
    assert event_of(announced).keeps == (attempt.id,)
    assert node.handle(st.Exited(attempt, KILLED)) == [do.Collect(attempt, KILLED)]


def test_an_attempt_that_is_given_away_while_it_is_ended_is_stopped(node: Node) -> None:
    attempt = node.run()
    node.hear(make.stop_ordered())
    assert node.hear(make.released(reason="killed")) == [do.Stop(attempt)]
    assert node.handle(st.Exited(attempt, KILLED)) == []


# --- builds -----------------------------------------------------------------------------------------


def test_a_build_ends_with_its_batch_and_its_jobs_end_with_it(node: Node) -> None:
    attempt = building(node)
    order = make.stop_ordered(whole_batch=True)
    assert node.hear(order) == [do.EndBuild(SWEEP, BY_JANE)]
    assert node.hear(order) == []
    report, collect = node.handle(st.Built(SWEEP, KILLED, OUTPUTS))
    finished = event_of(report)
    assert isinstance(finished, ev.BuildFinished)
    assert (finished.succeeded, finished.killed, finished.outputs) == (False, True, OUTPUTS)
    assert finished.reason == BY_JANE
    assert collect == do.Collect(attempt, Ending(succeeded=False, reason=BY_JANE))


def test_a_build_that_ends_by_itself_before_it_is_killed_counts(node: Node) -> None:
    building(node)
    node.hear(make.stop_ordered(whole_batch=True))
    report, _ = node.handle(st.Built(SWEEP, DONE, OUTPUTS))
    assert (event_of(report).succeeded, event_of(report).killed) == (True, False)


def test_a_build_goes_on_for_the_batchs_other_jobs_if_one_job_is_killed(node: Node) -> None:
    attempt = building(node)
    ending = Ending(succeeded=False, reason=BY_JANE)
    assert node.hear(make.stop_ordered()) == [do.Collect(attempt, ending)]


def test_a_killed_batch_that_is_still_read_is_not_built(node: Node) -> None:
    _, claim = node.hear(make.assigned(cpus=1))
    assert node.stored(claim) == []
    assert isinstance(claim, do.Report)
    forget, collect = node.hear(make.stop_ordered(whole_batch=True))
    assert (forget, type(collect)) == (do.Forget(SWEEP), do.Collect)
    assert node.handle(st.Loaded(SWEEP, True)) == []


def test_a_build_whose_jobs_are_gone_ends_with_its_batch_and_is_reported(node: Node) -> None:
    """All of its jobs were released before they were claimed."""
    _, claim = node.hear(make.assigned(cpus=1))
    read, _ = node.handle(st.Loaded(SWEEP, True))
    node.read(read)
    assert isinstance(claim, do.Report)
    assert node.hear(make.released(reason="killed")) == [do.Stop(claim.of)]
    (end,) = node.hear(make.completed(state="killed"))
    assert isinstance(end, do.EndBuild)
    assert node.handle(st.Built(SWEEP, KILLED, OUTPUTS))[-1] == do.Forget(SWEEP)


def test_a_batch_whose_killed_build_is_wanted_again_is_built_again(node: Node) -> None:
    building(node)
    node.hear(make.stop_ordered(whole_batch=True))
    node.hear(make.assigned("job2", cpus=1))
    assert [type(one) for one in node.handle(st.Built(SWEEP, KILLED, None))[:2]] == [do.Report, do.Load]


def test_a_retry_builds_again_what_was_killed_if_a_job_waits_for_it(node: Node) -> None:
    building(node)
    (claim,) = node.hear(make.assigned("job2", cpus=1))
    node.hear(make.stop_ordered("job1", whole_batch=True))
    assert node.stored(claim) == []
    node.handle(st.Built(SWEEP, KILLED, None))
    (load,) = node.hear(make.retry_requested())
    assert isinstance(load, do.Load)


# --- the service, on a modelled computer ------------------------------------------------------------


class GentleHost(ModelHost):
    """A computer whose jobs leave outputs, and whose processes end some time after SIGTERM."""

    def __init__(self) -> None:
        super().__init__()
        self.killed: list[str] = []
        self.stages = asyncio.Event()
        self.may_stage = asyncio.Event()
        self.may_stage.set()
        self.collects = asyncio.Event()
        self.may_collect = asyncio.Event()
        self.may_collect.set()

    async def stage(self, unit: Unit, built: str | None) -> str:
        self.stages.set()
        await self.may_stage.wait()
        return await super().stage(unit, built)

    async def kill(self, running: Running, *, thaw: bool = False, soon: bool = False) -> None:
        self.killed.append(str(running.unit.of))
        await asyncio.sleep(0)
        await super().kill(running, thaw=thaw, soon=soon)

    async def collect(self, unit: Unit, place: str) -> Outputs | None:
        assert place in self.places, "the place is kept until its outputs are stored"
        self.collects.set()
        await self.may_collect.wait()
        return OUTPUTS


async def kill_when(node: RunningNode, moment: Callable[[], Awaitable[object]]) -> ev.Finished:
    """Kill the job at that moment. Returns how it finished."""
    await moment()
    await node.say(make.stop_ordered(whole_batch=True))
    finished: ev.Finished = await node.of_job("finished", "job1")
    return finished


async def test_what_a_killed_job_left_is_stored() -> None:
    async with running_node(GentleHost()) as node:
        await node.gets(make.batch(1), "job1")
        finished = await kill_when(node, lambda: node.runs("job1"))
        assert (finished.succeeded, finished.signal, finished.reason) == (False, 15, BY_JANE)
        assert finished.outputs == OUTPUTS
        assert None not in (finished.started_at, finished.wall_s)


async def test_a_job_that_exits_well_when_it_is_killed_is_killed() -> None:
    host = GentleHost()
    async with running_node(host) as node:
        await node.gets(make.batch(1), "job1")
        await node.runs("job1")
        host.kill = lambda running, thaw, soon: _exit(host)  # type: ignore[method-assign, assignment]
        finished = await kill_when(node, lambda: node.runs("job1"))
        assert (finished.succeeded, finished.exit_code, finished.reason) == (False, 0, BY_JANE)


async def _exit(host: ModelHost) -> None:
    if not host.running["job1"].ended.done():
        host.end("job1", exit_code=0)


async def test_a_job_that_is_killed_while_its_folder_is_made_never_starts() -> None:
    host = GentleHost()
    host.may_stage.clear()
    async with running_node(host) as node:
        await node.gets(make.batch(1), "job1")
        finished = await kill_when(node, host.stages.wait)
        assert (finished.reason, finished.started_at, finished.outputs) == (BY_JANE, None, None)
        assert host.running == {}


async def test_what_a_killed_build_printed_is_stored() -> None:
    host = GentleHost()
    async with running_node(host) as node:
        await node.gets(make.batch(1, build="make"), "job1")
        await node.of_job("claimed", "job1")
        finished = await kill_when(node, lambda: node.event("build_started"))
        built = await node.event("build_finished")
        assert (built.killed, built.reason, built.outputs) == (True, BY_JANE, OUTPUTS)
        assert (finished.reason, finished.outputs) == (BY_JANE, None)
        assert host.killed == ["lab/sweep"]


async def test_a_build_that_ended_before_the_kill_is_stored_as_it_ended() -> None:
    host = GentleHost()
    host.may_collect.clear()
    async with running_node(host) as node:
        await node.gets(make.batch(1, build="make"), "job1")
        await node.of_job("claimed", "job1")
        await node.event("build_started")
        host.end("build", exit_code=2)
        await host.collects.wait()
        await node.say(make.stop_ordered(whole_batch=True))
        await node.say(make.assigned(JobId("lab", "other", "job2")))
        await node.of_job("claimed", "job2")  # by then, the order is carried out
        host.may_collect.set()
        built = await node.event("build_finished")
        assert (built.reason, built.outputs) == ("exit code 2", OUTPUTS)
        assert (await node.of_job("finished", "job1")).reason == BY_JANE


async def test_a_job_that_is_killed_during_its_timeouts_grace_period_has_timed_out() -> None:
    host = GentleHost()
    async with running_node(host) as node:
        killing = asyncio.Event()

        async def grace() -> None:
            killing.set()
            await node.event("stop_ordered")

        host.grace = grace  # type: ignore[method-assign]
        await node.gets(make.batch([make.job("job1", timeout_s=0.2)]), "job1")
        finished = await kill_when(node, killing.wait)
        assert finished.reason == "ran for longer than its timeout of 0.2 s"
