"""What a node's log tells of its jobs, its builds and its membership."""

from __future__ import annotations

import logging
from typing import get_args

import pytest

from distribute.core.log import events as ev
from distribute.host import Capacity
from distribute.testing import builders as make
from distribute_services.node_runner import story
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Ending
from distribute_services.node_runner.story import Story
from unit.services.runner_host import running_node

CAPACITY = Capacity(2, 8 * make.GIB, (), frozenset({"compiler"}))


@pytest.fixture(autouse=True)
def _information(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=story.__name__)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == story.__name__]


async def test_a_job_is_told_when_it_starts_and_how_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    spec = make.batch([make.job("good"), make.job("broken")])
    async with running_node() as node:
        await node.gets(spec, "good", "broken")
        await node.runs("good")
        await node.runs("broken")
        node.host.end("good")
        node.host.end("broken", exit_code=3)
        await node.of_job("finished", "good")
        await node.of_job("finished", "broken")
    told = lines(caplog)
    assert told[0].startswith("joined as ws1, with ")
    for job in ("good", "broken"):
        assert told.index(f"{spec.id}/{job} starts") > 0
    assert [line for line in told if line.startswith(f"{spec.id}/good succeeded after ")]
    (failed,) = [line for line in told if line.startswith(f"{spec.id}/broken failed after ")]
    assert failed.endswith("s: exit code 3")
    assert told[-1] == "left the cluster"


async def run_and_take_back(reason: ev.ReleaseReason) -> None:
    """Let a node run `lab/sweep/job1` until the scheduler releases it for this reason."""
    async with running_node() as node:
        await node.gets(make.batch(2), "job1")
        await node.runs("job1")
        await node.say(make.released("job1", reason=reason))
        await node.say(make.assigned("job2", cpus=1))
        await node.runs("job2")  # by then, the release is known


async def test_a_job_that_is_taken_back_is_told_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    await run_and_take_back("killed")
    told = [line for line in lines(caplog) if "job1" in line]
    assert told == ["lab/sweep/job1 starts", "lab/sweep/job1 is stopped: it was killed"]


async def test_a_job_that_is_killed_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    async with running_node() as node:
        await node.gets(make.batch(1), "job1")
        await node.runs("job1")
        await node.say(make.stop_ordered("job1", by="jane"))
        await node.of_job("finished", "job1")
    (_, ended) = [line for line in lines(caplog) if "job1" in line]
    assert ended == "lab/sweep/job1 was ended after 1s: killed by jane"


async def test_a_killed_job_of_a_node_that_was_away_is_not_said_to_run_elsewhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await run_and_take_back("node_lost")
    (line,) = [line for line in lines(caplog) if "is stopped" in line]
    assert line == (
        "lab/sweep/job1 is stopped: this node was out of touch, so the job was taken from it; "
        "its result here is not used"
    )


def test_a_node_that_was_lost_tells_it_and_that_it_joined_again(caplog: pytest.LogCaptureFixture) -> None:
    told = Story("ws1", CAPACITY)
    told.announced(make.joined("ws1"))
    told.delivered(make.lost("ws1"), [])
    told.announced(make.joined("ws1", keeps=make.kept(["job1"])))
    assert lines(caplog) == [
        "joined as ws1, with 2 cpus, 8G of memory; capabilities: compiler",
        "the head heard nothing of this node for 1m1s",
        "joined again, with 1 job that it has kept",
    ]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING"]


def test_a_forged_loss_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    Story("ws1", CAPACITY).delivered(make.lost("ws1").model_copy(update={"author": "jane"}), [])
    assert lines(caplog) == []


def test_a_build_is_told(caplog: pytest.LogCaptureFixture) -> None:
    told = Story("ws1", CAPACITY)
    told.heard(st.Built(make.batch().id, Ending(succeeded=False, wall_s=2.0, reason="exit code 2"), None))
    assert lines(caplog) == ["lab/sweep could not be built after 2s: exit code 2"]


def test_events_of_others_are_no_part_of_the_story(caplog: pytest.LogCaptureFixture) -> None:
    Story("ws1", CAPACITY).announced(ev.Leaving(**make.leaving("ws1").model_dump(exclude={"type", "v"})))
    assert lines(caplog) == []


def test_every_reason_for_which_a_job_is_taken_back_has_its_words() -> None:
    assert set(story.WHY_TAKEN_BACK) == set(get_args(ev.ReleaseReason))
