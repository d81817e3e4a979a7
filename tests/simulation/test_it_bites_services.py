"""The simulation finds a planted fault in a node-runner or the archiver: each test plants one."""

from dataclasses import replace
from math import inf
from random import Random
from typing import Any

import pytest

from distribute.core.errors import Conflict
from distribute.core.folding import fold_job
from distribute.core.ids import BatchId
from distribute.core.log.events import Event, StopOrdered
from distribute.core.log.recorded import Recorded, guard_scope
from distribute.core.spec.recipe import Recipe, build_of
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import BatchState
from distribute.sim.host import ModelledHost
from distribute.sim.log import SimulatedLog
from distribute.sim.network import Weather
from distribute.sim.store import SimulatedStore
from distribute_services.archiver import service as archiver_service
from distribute_services.archiver.service import ArchiverService
from distribute_services.node_runner import service as runner_service
from distribute_services.node_runner.machine import attempts
from distribute_services.node_runner.machine.instructions import Instruction
from distribute_services.node_runner.machine.machine import RunnerMachine
from distribute_services.node_runner.work import work
from simulation.biting import finds, forgers, killers, leavers, long_jobs
from simulation.scenario import Fate, Request, Scenario, scenario

# --- the node-runner -------------------------------------------------------------------------------


def finds_of_machine(
    says: str, machine: type[RunnerMachine], monkeypatch: pytest.MonkeyPatch, **parts: Any
) -> None:
    monkeypatch.setattr(runner_service, "RunnerMachine", machine)
    finds(says, **parts)


class UnfencedMachine(RunnerMachine):
    """Goes on with a job that was assigned to another node."""

    def deliver(self, recorded: Recorded) -> list[Instruction]:
        return [] if recorded.event.type == "released" else super().deliver(recorded)

    def _refused(self, attempt: attempts.Attempt, last_seq: int) -> list[Instruction]:
        return self._reported(attempt, last_seq)


def test_a_node_that_goes_on_with_a_reassigned_job_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("without a claim in the log", UnfencedMachine, monkeypatch)


class HastyMachine(RunnerMachine):
    """Starts a job when it claims it, before the claim is acknowledged."""

    def _claim_what_fits(self) -> list[Instruction]:
        instructions = super()._claim_what_fits()
        for attempt in self.attempts.values():
            if attempt.phase is attempts.Phase.CLAIMING:
                attempt.phase = attempts.Phase.CLAIMED
                instructions += self._launch_if_ready(attempt)
        return instructions


def test_a_node_that_starts_before_its_claim_is_in_the_log_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("without a claim in the log", HastyMachine, monkeypatch)


def test_a_node_that_does_not_take_up_its_jobs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: ModelledHost) -> tuple[()]:
        return ()

    monkeypatch.setattr(ModelledHost, "kept", nothing)
    finds("is taken from ws., which has it", scenario=long_jobs)


def test_a_node_that_does_not_disown_a_job_before_it_ends_it_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ModelledHost, "disown", lambda *_: None)
    finds("ended it, and counts that as its failure|second time", scenario=leavers)


class GreedyMachine(RunnerMachine):
    """Claims everything that two schedulers assign, even without room."""

    def _has_room_for(self, wanted: attempts.Attempt) -> bool:
        return True


def test_a_node_that_takes_more_than_it_has_room_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("runs jobs for|gives a GPU to two jobs", GreedyMachine, monkeypatch)


def test_a_node_that_does_not_end_a_build_at_its_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_limit(spec: BatchSpec) -> Recipe | None:
        recipe = build_of(spec)
        return None if recipe is None else replace(recipe, timeout_s=None)

    monkeypatch.setattr(work, "build_of", without_limit)
    finds("the build of .* ran for .* s, past its limit of 6 s")


def test_a_failure_that_quotes_another_job_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    note = fold_job.note_failure

    def of_first(batch: BatchState, row: int, *rest: Any) -> None:
        note(batch, 0, *rest)

    monkeypatch.setattr(fold_job, "note_failure", of_first)
    finds("is quoted with .*: it did not print that")


class DeafMachine(RunnerMachine):
    """Ignores that it was declared lost."""

    def deliver(self, recorded: Recorded) -> list[Instruction]:
        return [] if recorded.event.type == "lost" else super().deliver(recorded)


def test_a_node_that_ignores_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("runs, and is not there", DeafMachine, monkeypatch)


class TimidMachine(RunnerMachine):
    """Stops its jobs when it was declared lost."""

    def deliver(self, recorded: Recorded) -> list[Instruction]:
        stops = self._stop_all(list(self.attempts.values())) if recorded.event.type == "lost" else []
        return [*stops, *super().deliver(recorded)]


def test_a_node_that_stops_its_jobs_on_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_service, "RunnerMachine", TimidMachine)
    finds("which nobody took from it", scenario=long_jobs)


class HeartlessMachine(RunnerMachine):
    """Ends a killed job, and throws away what it left."""

    def _end(self, attempt: attempts.Attempt, order: StopOrdered) -> list[Instruction]:
        return self._stop(attempt)


def test_a_node_that_throws_away_what_a_killed_job_left_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("does not say how", HeartlessMachine, monkeypatch, scenario=killers)


class CarelessMachine(RunnerMachine):
    """Reports how a killed job ended, without what it left."""

    def _collected(self, attempt: attempts.Attempt, ending: attempts.Ending, outputs: Any) -> Any:
        is_killed = ending.reason is not None and ending.reason.startswith("killed by")
        return super()._collected(attempt, ending, None if is_killed else outputs)


def test_a_node_that_stores_nothing_of_a_killed_job_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("is thrown away", CarelessMachine, monkeypatch, scenario=killers)


class ObstinateMachine(RunnerMachine):
    """Goes on with a killed job."""

    def _end(self, attempt: attempts.Attempt, order: StopOrdered) -> list[Instruction]:
        return []


def test_a_node_that_goes_on_with_a_killed_job_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("runs on, although it was killed", ObstinateMachine, monkeypatch, scenario=killers)


class OffendedMachine(RunnerMachine):
    """Takes every refused guard for a release."""

    def _refused(self, attempt: attempts.Attempt, last_seq: int) -> list[Instruction]:
        return self._stop(attempt)


class CredulousMachine(RunnerMachine):
    """Stops the jobs of a batch on any `completed` in the log, also one that the fold refuses."""

    def _batch_over(self, batch: BatchId) -> list[Instruction]:
        return self._stop_all(self._of(batch))


def test_a_node_that_believes_a_forged_end(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("which nobody took from it", CredulousMachine, monkeypatch, scenario=forgers)


def test_a_node_that_lets_a_forged_claim_fence_it(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("which nobody took from it", OffendedMachine, monkeypatch, scenario=forgers)


async def settle_without_passing_garbage(self: SimulatedLog, entry: Any) -> None:
    """A guard that does not skip garbage."""
    scope, stored = guard_scope(entry.event), self._broker.stored
    found_seq = await self._link.ask(lambda: stored.last_seq_of(scope))
    first = await self._link.ask(lambda: stored.first_of(scope, entry.guard.behind))
    if entry.guard.holds(found_seq):
        self._again(entry, found_seq)
    elif first is not None and first.event.id == entry.event.id:
        self._stored(entry, first.seq)
    else:
        conflict = Conflict(scope, entry.guard.last_seq, beaten_by_seq=found_seq, last_seq=found_seq)
        self._refused(entry, conflict)


def test_a_guard_that_garbage_stops_for_ever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedLog, "_settle", settle_without_passing_garbage)
    finds("still not done")


# --- the archiver ----------------------------------------------------------------------------------


def test_an_archiver_that_reports_results_that_are_not_there_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def commit_nothing(self: ArchiverService, event: Event) -> None:
        """Commits without checking."""

    monkeypatch.setattr(ArchiverService, "_commit", commit_nothing)
    finds("it is not in the archive")


def replacements(random: Random) -> Scenario:
    """People who replace their batches again and again, and a slow archiver."""
    made = scenario(random)
    made.weather = Weather(delay_s=0.1, transfer_s=2.0, slow=0.3, slow_s=20.0)
    made.fates = {job: Fate(0.5) for job in made.fates}
    made.requests = [
        Request(submitted_at + 20.0 * number, "replace", spec.id)
        for submitted_at, spec, _ in made.submissions
        for number in range(1, 5)
    ]
    made.calm_at = 10 + max(request.moment for request in made.requests)
    return made


def test_an_archiver_that_deletes_the_results_of_a_later_batch_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delete = SimulatedStore.delete_results
    monkeypatch.setattr(SimulatedStore, "delete_results", lambda self, batch, _: delete(self, batch, inf))
    finds("are archived, and gone|it is not in the archive", scenario=replacements)


def test_an_archiver_that_waits_for_ever_for_lost_results_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiver_service, "MISSING_AFTER", 10**9)
    finds("still not done: .*and not archived")


def test_a_fold_that_takes_lost_results_for_archived_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = fold_job._archive
    monkeypatch.setattr(fold_job, "_archive", lambda batch, row, missing: archive(batch, row, None))
    finds("its results are gone, or are not")
