"""What is true of the jobs of a world when decisions come late: pinned stories that were misjudged once."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random
from typing import Any

import pytest

from distribute.core.ids import JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import Status
from distribute.sim.computer import Process
from distribute.sim.loop import VirtualLoop
from distribute.sim.stored_files import StoredFiles
from distribute.testing import builders as make
from simulation.host import WorldHost
from simulation.scenario import CLEAR, Fate, Scenario, scenario
from simulation.stories import Broken
from simulation.truth import Truth
from simulation.world import Parts, simulate


class Telling:
    """A log that is told event by event, and may lose its end."""

    def __init__(self, loop: VirtualLoop, *events: Event) -> None:
        self.truth = Truth(loop, StoredFiles())
        self.tell(*events)

    def tell(self, *events: Event) -> None:
        for event in events:
            seq = self.truth.state.seq + 1
            self.truth.appended(Recorded(seq, event.time.timestamp(), event))

    def lose(self, count: int) -> None:
        self.truth.lost(self.truth.log[-count:])

    def status(self, job: str) -> Status:
        (batch,) = self.truth.state.batches.values()
        return Status(batch.status[batch.rows[job]])


Tell = Callable[..., Telling]


@pytest.fixture
def tell() -> Iterator[Tell]:
    """Tells the given events."""
    with closing(VirtualLoop(1)) as loop:
        yield lambda *events: Telling(loop, *events)


def test_the_last_job_runs_again_if_another_begins_although_the_batch_has_given_up(tell: Tell) -> None:
    """One scheduler decided on that before the others failed. Another one began the last job meanwhile."""
    spec = make.batch(3, last_job="job3", max_failures=1)
    submitted = make.submitted(spec)
    of: dict[str, Any] = {"submission": submitted.id}
    told = tell(
        submitted,
        *_run("job1", of, succeeded=False),
        *(last := _run("job3", of | {"last": True}))[:2],
        make.assigned("job2", "ws2", **of),
        *last[2:],
    )
    assert told.status("job3") is Status.QUEUED, "it is outdated"
    claimed = make.claimed("job2", "ws2")
    told.tell(claimed, make.finished("job2", "ws2", outputs=None))
    told.tell(make.assigned("job3", attempt=2, last=True, **of))
    assert told.status("job3") is Status.ASSIGNED


def test_a_job_that_has_failed_may_be_assigned_by_a_retry_that_the_log_has_lost(tell: Tell) -> None:
    submitted = make.submitted(make.batch(1))
    of: dict[str, Any] = {"submission": submitted.id}
    failed = make.completed(state="failed", **of)
    late = make.assigned(attempt=2, **of)
    told = tell(submitted, *_run("job1", of, succeeded=False), failed)
    with pytest.raises(Broken, match="it has failed 1 times"):
        told.tell(late)
    told = tell(submitted, *_run("job1", of, succeeded=False), failed, make.retry_requested(**of))
    told.lose(1)
    told.tell(late)
    assert told.status("job1") is Status.ASSIGNED


def test_what_a_killed_job_leaves_may_be_thrown_away_by_a_kill_that_the_log_has_lost(tell: Tell) -> None:
    submitted = make.submitted(make.batch(1))
    of: dict[str, Any] = {"submission": submitted.id}
    running: list[Event] = [submitted, make.assigned(**of), make.claimed(), make.kill_requested(**of)]
    late = make.released(reason="killed", **of)
    with pytest.raises(Broken, match="may not say what the killed job left"):
        tell(*running, late)
    told = tell(*running, make.kill_requested(discard=True, **of))
    told.lose(1)
    told.tell(late)
    assert told.status("job1") is Status.KILLED


def _run(job: str, of: dict[str, Any], *, succeeded: bool = True) -> list[Event]:
    """A job runs on `ws1`, and leaves nothing."""
    return [
        make.assigned(job, **of),
        make.claimed(job),
        make.finished(job, succeeded=succeeded, outputs=None),
    ]


def deadly_jobs(random: Random) -> Scenario:
    made = scenario(random)
    made.weather, made.trouble_every_s, made.requests = CLEAR, 0.0, []
    made.submissions = made.submissions[:1]
    made.fates = {job: Fate(1.0, deadly=True) for job in made.fates}
    return made


def test_a_computer_that_loses_power_takes_the_runner_down_that_took_up_its_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not the one that started them. A living runner would report that it ended them."""
    launched = WorldHost.launched

    def start_anew(host: WorldHost, process: Process) -> None:
        launched(host, process)
        if isinstance(process.unit.of, JobId):
            host._runner.crash()
            host._world.start_runner(host._runner.computer)

    monkeypatch.setattr(WorldHost, "launched", start_anew)
    happened: Counter[str] = Counter()
    for seed in range(4):
        happened += simulate(seed, Parts(scenario=deadly_jobs)).truth.happened
    assert happened["a computer reboots"], "jobs took their computers down"
