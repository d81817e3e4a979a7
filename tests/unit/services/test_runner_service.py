"""The real node-runner service on a modelled computer: a fault ends only one attempt."""

from __future__ import annotations

import asyncio
import errno
from datetime import UTC, datetime

import pytest

from distribute.core.errors import LogReplaced, Refused, UnreadableEvent
from distribute.core.ids import BatchId, NodeId
from distribute.core.log import events as ev
from distribute.core.spec.recipe import build_of
from distribute.core.spec.specs import BatchSpec
from distribute.host import FoundBuild
from distribute.testing import builders as make
from distribute_services.node_runner.machine.course import Course
from unit.services.runner_host import WITHIN_S, ModelHost, RunningNode, running_node

BATCH = make.batch([make.job(name) for name in ("good", "broken")])


async def begin(node: RunningNode, *jobs: str, spec: BatchSpec = BATCH) -> None:
    """Assign jobs of a batch to the node."""
    await node.gets(spec, *jobs)


async def test_a_job_comes_to_its_end() -> None:
    async with running_node() as node:
        await begin(node, "good")
        await node.runs("good")
        node.host.end("good", exit_code=3)
        finished = await node.of_job("finished", "good")
        assert (finished.succeeded, finished.exit_code, finished.outputs) == (False, 3, None)
        assert abs((finished.started_at - datetime.now(UTC)).total_seconds()) < WITHIN_S


async def test_a_job_that_ends_in_a_moment_has_no_started() -> None:
    async with running_node() as node:
        await begin(node, "good")
        await node.of_job("claimed", "good")
        async with asyncio.timeout(WITHIN_S):
            while "good" not in node.host.running:  # each turn of the loop is one look  # noqa: ASYNC110
                await asyncio.sleep(0)
        node.host.end("good")
        finished = await node.of_job("finished", "good")
        claimed = await node.of_job("claimed", "good")
        assert finished.causation == claimed.id
        assert finished.started_at is not None


@pytest.mark.parametrize("step", ["stage", "start"])
async def test_a_fault_before_a_job_starts_gives_it_back_and_then_fails_it(step: str) -> None:
    host = ModelHost()
    host.breaks[step] = RuntimeError("a fault")
    async with running_node(host) as node:
        await begin(node, "good", "broken")
        yielded = await node.of_job("yielded", "broken")
        assert "RuntimeError: a fault" in yielded.reason
        await node.say(make.assigned("broken", attempt=2))
        finished = await node.of_job("finished", "broken")
        assert (finished.succeeded, finished.reason) == (False, yielded.reason)
        await the_other_job_is_unharmed(node)


@pytest.mark.parametrize("step", ["wait", "collect"])
async def test_a_fault_after_a_job_started_fails_it(step: str) -> None:
    host = ModelHost()
    host.breaks[step] = RuntimeError("a fault")
    async with running_node(host) as node:
        await begin(node, "good", "broken")
        await node.runs("broken")
        node.host.end("broken")
        finished = await node.of_job("finished", "broken")
        assert not finished.succeeded
        assert "RuntimeError: a fault" in finished.reason
        await the_other_job_is_unharmed(node)


async def test_a_fault_while_a_folder_is_removed_harms_no_job(caplog: pytest.LogCaptureFixture) -> None:
    host = ModelHost()
    host.breaks["remove"] = RuntimeError("a fault")
    async with running_node(host) as node:
        await begin(node, "good", "broken")
        await node.runs("broken")
        node.host.end("broken")
        assert (await node.of_job("finished", "broken")).succeeded
        await the_other_job_is_unharmed(node)
    assert "could not be removed" in caplog.text


async def test_a_fault_of_the_machine_costs_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = Course._launched

    def fail(self: Course, attempt) -> list:  # type: ignore[no-untyped-def, type-arg]
        if attempt.job.job == "broken":
            raise AssertionError("a fault")
        return launched(self, attempt)

    monkeypatch.setattr(Course, "_launched", fail)
    async with running_node() as node:
        await begin(node, "broken", "good")
        await node.runs("good")
        async with asyncio.timeout(WITHIN_S):
            while any(attempt.job == "broken" for attempt in node.cluster.beats.sent[-1].running):
                node.cluster.beats.came.clear()
                await node.cluster.beats.came.wait()
        await the_other_job_is_unharmed(node)


async def the_other_job_is_unharmed(node: RunningNode) -> None:
    await node.runs("good")
    assert not node.host.running["good"].ended.done()
    node.host.end("good")
    assert (await node.of_job("finished", "good")).succeeded
    assert not node.task.done()


async def test_a_computer_that_can_not_be_measured_still_beats() -> None:
    host = ModelHost()
    host.breaks["sample"] = OSError("no /proc here")
    async with running_node(host) as node:
        for _ in range(3):
            node.cluster.beats.came.clear()
            await asyncio.wait_for(node.cluster.beats.came.wait(), WITHIN_S)


async def test_a_result_counts_although_there_is_noise_in_its_scope() -> None:
    async with running_node() as node:
        await begin(node, "good")
        await node.runs("good")
        await node.say(make.claimed("good", node="ws2"))
        node.host.end("good")
        assert (await node.of_job("finished", "good")).succeeded


async def test_a_lost_node_goes_on() -> None:
    async with running_node() as node:
        await begin(node, "good")
        await node.runs("good")
        await node.say(make.lost())
        again = await node.event("joined", lambda event: event.keeps)
        assert [attempt.job for attempt in again.keeps] == ["good"]
        await the_other_job_is_unharmed(node)


async def test_a_log_that_was_replaced_stops_no_job() -> None:
    async with running_node() as node:
        await begin(node, "good")
        await node.runs("good")
        node.cluster.log.trouble(LogReplaced("the log is an older copy"))
        await node.event("joined", lambda event: event.keeps)
        await the_other_job_is_unharmed(node)
        await node.say(make.assigned("broken"))
        await node.of_job("claimed", "broken")


async def test_a_node_that_can_not_read_on_ends_what_it_has_and_leaves() -> None:
    async with running_node(fails=True) as node:
        await begin(node, "good")
        await node.runs("good")
        node.cluster.log.trouble(UnreadableEvent("a newer distribute writes here: upgrade this one"))
        leaving = await node.event("leaving")
        assert [attempt.job for attempt in leaving.keeps] == ["good"]
        node.host.end("good")
        assert (await node.of_job("finished", "good")).succeeded
        await node.event("left")
        with pytest.raises(UnreadableEvent, match="upgrade this one"):
            await asyncio.wait_for(node.task, WITHIN_S)


async def test_a_node_whose_disk_is_full_leaves_without_an_error() -> None:
    async with running_node() as node:
        node.host.is_full.set()
        await node.event("left")
        await asyncio.wait_for(asyncio.shield(node.task), WITHIN_S)


async def test_a_node_whose_last_event_the_broker_refuses_ends_with_that_error() -> None:
    async with running_node(fails=True) as node:
        node.cluster.log.refuses["left"] = Refused("you may not publish on ev.node.ws1.left.ws1")
        node.stop.ask()
        with pytest.raises(Refused, match="you may not publish"):
            await asyncio.wait_for(node.task, WITHIN_S)


async def test_the_jobs_of_a_runner_that_fails_run_on(caplog: pytest.LogCaptureFixture) -> None:
    async with running_node(fails=True) as node:
        await begin(node, "good", "other", spec=make.batch([make.job(name) for name in ("good", "other")]))
        await node.runs("good")
        await node.runs("other")
        node.cluster.log.refuses["finished"] = Refused("you may not publish")
        node.host.end("other")
        with pytest.raises(Refused, match="you may not publish"):
            await asyncio.wait_for(node.task, WITHIN_S)
        assert not node.host.running["good"].ended.done()
        assert node.host.places == {"lab/sweep/good", "lab/sweep/other"}, "the next start reports both"
        last = await node.cluster.log.last(NodeId("ws1"))
        assert last is not None
        assert isinstance(last.event, ev.Joined), "it does not announce that it leaves"
        assert "jobs that run go on without it for at most 1d" in caplog.text


async def test_the_jobs_of_a_runner_whose_name_another_one_has_end() -> None:
    async with running_node(fails=True) as node:
        await begin(node, "good")
        await node.runs("good")
        await node.say(make.joined(incarnation="elsewhere/1"))
        with pytest.raises(Refused, match="in use"):
            await asyncio.wait_for(node.task, WITHIN_S)
        assert node.host.running["good"].is_ending
        assert node.host.places == set()


async def test_a_build_is_reported_in_its_own_scope() -> None:
    async with running_node() as node:
        await begin(node, "job1", spec=make.batch(build="make"))
        started = await node.event("build_started")
        node.host.end("build")
        finished = await node.event("build_finished")
        assert (finished.causation, finished.succeeded) == (started.id, True)
        await node.runs("job1")
        assert isinstance(started, ev.BuildEvent)


async def test_only_a_failure_quotes_the_last_lines_of_its_output() -> None:
    async with running_node() as node:
        await begin(node, "good", "bad", spec=make.batch([make.job("good"), make.job("bad")], build="make"))
        await node.event("build_started")
        await node.of_job("claimed", "good")
        node.host.end("build")
        assert (await node.event("build_finished")).last_lines is None
        for job, exit_code, lines in (
            ("good", 0, None),
            ("bad", 1, ("the last line of", "lab/sweep/bad")),
        ):
            await node.runs(job)
            node.host.end(job, exit_code)
            assert (await node.of_job("finished", job)).last_lines == lines


async def test_a_failed_build_quotes_the_last_lines_of_its_output() -> None:
    async with running_node() as node:
        await begin(node, "job1", spec=make.batch(build="make"))
        await node.event("build_started")
        node.host.end("build", 2)
        finished = await node.event("build_finished")
        assert (finished.reason, finished.last_lines) == ("exit code 2", ("the last line of", "lab/sweep"))


async def test_a_build_is_ended_at_its_timeout_and_its_output_is_kept() -> None:
    async with running_node() as node:
        await begin(node, "job1", spec=make.batch(build="make", build_timeout_s=0.05))
        finished = await node.event("build_finished")
        assert (finished.succeeded, finished.reason) == (
            False,
            "ran for longer than its build_timeout of 0.05 s",
        )
        assert finished.last_lines == ("the last line of", "lab/sweep")
        assert node.host.collected == ["lab/sweep"]


async def test_a_build_takes_nothing_of_the_timeout_of_a_job() -> None:
    async with running_node() as node:
        await begin(node, "job1", spec=make.batch(build="make", timeout_s=0.1))
        await node.event("build_started")
        await asyncio.sleep(0.2)  # the build takes longer than a job may
        node.host.end("build")
        await node.event("build_finished", lambda event: event.succeeded)
        assert (await node.of_job("finished", "job1")).reason == "ran for longer than its timeout of 0.1 s"


async def test_a_fault_during_a_build_fails_the_build() -> None:
    host = ModelHost()
    host.breaks["stage"] = RuntimeError("a fault")
    async with running_node(host) as node:
        await begin(node, "job1", spec=make.batch(build="make", batch="broken"))
        finished = await node.event("build_finished")
        assert not finished.succeeded
        assert "RuntimeError: a fault" in finished.reason


async def test_a_build_that_the_host_has_kept_does_not_run() -> None:
    host = ModelHost()
    spec = make.batch(build="make")
    build = build_of(spec)
    assert build is not None
    host.builds[build.identity()] = FoundBuild("of lab/before", BatchId("lab", "before"))
    async with running_node(host) as node:
        await begin(node, "job1", spec=spec)
        finished = await node.event("build_finished")
        assert (finished.succeeded, finished.kept_from) == (True, "lab/before")
        assert node.host.collected == ["of lab/before"], "what it printed is archived with this batch, too"
        await node.runs("job1")
        assert "build" not in node.host.running
        node.host.end("job1")
        await node.of_job("finished", "job1")


@pytest.mark.parametrize("exit_code", [0, 2])
async def test_a_build_is_kept_if_it_succeeds(exit_code: int) -> None:
    async with running_node() as node:
        await begin(node, "job1", spec=make.batch(build="make"))
        await node.event("build_started")
        node.host.end("build", exit_code)
        finished = await node.event("build_finished")
        assert finished.kept_from is None
        assert node.host.kept_builds == (["lab/sweep"] if exit_code == 0 else [])


async def test_a_build_that_cannot_be_looked_for_fails_with_the_reason() -> None:
    host = ModelHost()
    host.breaks["find_build"] = OSError(errno.EIO, "broken", "/builds")
    async with running_node(host) as node:
        await begin(node, "job1", spec=make.batch(batch="broken", build="make"))
        finished = await node.event("build_finished")
        assert (finished.succeeded, finished.reason) == (False, "/builds: the disk reports an error")
