"""The simulation finds a planted fault in what people ask of batches: each test plants one."""

from random import Random

import pytest

from distribute.core.folding import fold_requests
from distribute.core.folding.gates import Gate, Hold
from distribute.core.log.events import KillRequested, RetryRequested
from distribute.core.state.state import BatchState
from distribute_services.scheduler.up_to_now import UpToNow
from simulation.biting import finds, long_jobs
from simulation.scenario import CLEAR, Fate, Request, Scenario, scenario


def holders(random: Random) -> Scenario:
    """Batches of many short jobs, which people hold while they run, in a calm world."""
    made = scenario(random)
    made.weather, made.trouble_every_s, made.requests = CLEAR, 0.0, []
    made.fates = {job: Fate(random.uniform(1, 5)) for job in made.fates}
    for at, spec, _ in made.submissions:
        made.requests += [Request(at + random.uniform(0, 15), "hold", spec.id) for _ in range(3)]
    return made


def holders_of_long_jobs(random: Random) -> Scenario:
    """Jobs that run for minutes, in held batches, in a world with many faults."""
    made = long_jobs(random)
    made.requests = [Request(at + 30, "hold", spec.id) for at, spec, _ in made.submissions]
    return made


def choosers(random: Random) -> Scenario:
    """Batches of which half of the jobs fail for good, and people have some of them run again."""
    made = scenario(random)
    made.weather, made.trouble_every_s, made.requests = CLEAR, 0.0, []
    made.fates = {job: Fate(random.uniform(0, 3), random.choice((0, 9))) for job in made.fates}
    for at, spec, _ in made.submissions:
        made.requests += [Request(at + random.uniform(10, 90), "retry_jobs", spec.id) for _ in range(3)]
    return made


def droppers(random: Random) -> Scenario:
    """Batches of jobs that run for a while, of which people kill what waits, in a calm world."""
    made = holders(random)
    made.fates = {job: Fate(random.uniform(10, 30)) for job in made.fates}
    made.requests = [Request(at + 10, "kill_queued", spec.id) for at, spec, _ in made.submissions]
    return made


def test_a_fold_that_kills_what_runs_with_what_waits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = fold_requests.kill

    def kill(batch: BatchState, time: float, event: KillRequested) -> str | None:
        return sound(batch, time, event.model_copy(update={"state": None}))

    monkeypatch.setattr(fold_requests, "kill", kill)
    finds("was killed, and nobody asked for that", scenario=droppers)


def test_a_scheduler_that_begins_jobs_of_a_held_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Gate.hold.fget  # type: ignore[attr-defined]  # of a property
    blind = property(lambda gate: None if (found := sound(gate)) is Hold.HELD else found)
    monkeypatch.setattr(Gate, "hold", blind)
    finds("its batch is held", scenario=holders)


def test_a_scheduler_that_lets_another_node_take_over_what_is_held_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = Gate.hold.fget  # type: ignore[attr-defined]  # of a property
    lenient = property(lambda gate: Hold.FULL if (found := sound(gate)) is Hold.HELD else found)
    monkeypatch.setattr(Gate, "hold", lenient)
    finds("its batch is held", scenario=holders_of_long_jobs)


def test_a_fold_that_never_releases_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_requests, "release", lambda batch, time: None)
    finds("still not done", scenario=holders)


def test_a_fold_that_retries_more_than_the_chosen_jobs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = fold_requests.retry

    def retry_all(batch: BatchState, time: float, event: RetryRequested) -> str | None:
        return sound(batch, time, event.model_copy(update={"jobs": None}))

    monkeypatch.setattr(fold_requests, "retry", retry_all)
    finds("it has failed . times", scenario=choosers)


def test_a_fold_that_counts_failures_from_before_a_retry_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = fold_requests.retry

    def forgive_nothing(batch: BatchState, time: float, event: RetryRequested) -> str | None:
        misfit = sound(batch, time, event)
        batch.forgiven.clear()
        return misfit

    def given_up(random: Random) -> Scenario:
        made = choosers(random)
        made.submissions = [
            (at, spec.model_copy(update={"max_failures": 2}), user) for at, spec, user in made.submissions
        ]
        return made

    monkeypatch.setattr(fold_requests, "retry", forgive_nothing)
    finds("gives up after too few failures", scenario=given_up)


def test_a_fold_that_retries_none_of_the_chosen_jobs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_requests, "_rows_to_retry", lambda batch, event: [])
    finds("failed for no reason|was killed, and nobody", scenario=choosers)


def test_a_scheduler_that_answers_before_it_has_read_the_log_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hasty(self: UpToNow) -> None:
        pass

    monkeypatch.setattr(UpToNow, "behind", hasty)
    finds("an answer is as of event .*, and the act was before", scenario=choosers)
