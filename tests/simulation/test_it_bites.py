"""The simulation finds faults: each test plants one on purpose."""

import re
from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

import pytest

from distribute import restoring
from distribute.core import accounts, decide, fold_job, packing
from distribute.core.agenda import Agenda
from distribute.core.errors import Conflict
from distribute.core.events import Event
from distribute.core.ids import Scope, Under
from distribute.core.liveness import Lease
from distribute.core.recorded import Recorded, guard_scope
from distribute.core.state import Attempt, BatchState, State, Status
from distribute.sim import log as simulated_log
from distribute.sim.following import Follower
from distribute.sim.log import SimulatedLog
from distribute.sim.network import Broker, Weather
from distribute.sim.store import SimulatedStore
from distribute.snapshot import load
from distribute_services.archiver import service as archiver_service
from distribute_services.archiver.service import ArchiverService
from distribute_services.node_runner import service as runner_service
from distribute_services.node_runner.machine import attempts
from distribute_services.node_runner.machine.instructions import Instruction
from distribute_services.node_runner.machine.machine import RunnerMachine
from simulation.saying import SayingLog
from simulation.scenario import CLEAR, Fate, Request, Scenario, scenario
from simulation.stories import Broken
from simulation.trouble import Trouble
from simulation.world import Parts, simulate

ENOUGH = 150
"""A planted fault must be found within so many seeds."""


def finds(says: str, **parts: Any) -> None:
    """Check that some seed finds the fault, and names it."""
    stories = []
    for seed in range(ENOUGH):
        try:
            simulate(seed, Parts(**parts))
        except Broken as broken:
            stories.append(str(broken).splitlines()[-3])
            if re.search(says, stories[-1]):
                return
    pytest.fail(f"no seed of {ENOUGH} says {says!r}; {len(stories)} said otherwise: {stories[:5]}")


def test_without_a_planted_fault_nothing_is_found() -> None:
    for seed in range(20):
        simulate(seed)


# --- the log ---------------------------------------------------------------------------------------


class BrokerWithoutGuards(Broker):
    def admits(self, scope: Scope | Under, expected_seq: int) -> bool:
        return True


def test_ignored_guards_are_found() -> None:
    finds("has it|was claimed already", broker=BrokerWithoutGuards)


class BrokerWithNarrowGuards(Broker):
    """Guards the end of a batch only by the batch's own events, not by those of its jobs."""

    def admits(self, scope: Scope | Under, expected_seq: int) -> bool:
        if isinstance(scope, Under):
            return self.stored.last_seq_of(scope.batch) <= expected_seq
        return super().admits(scope, expected_seq)


def indecision(random: Random) -> Scenario:
    """Two schedulers far from the broker, and people who kill and retry their batches again and again."""
    made = scenario(random)
    made.schedulers, made.weather, made.trouble_every_s = 2, Weather(delay_s=1.0), 0.0
    made.fates = {job: Fate(random.uniform(0, 3)) for job in made.fates}
    made.failing_builds.clear()
    for moment, spec, _ in made.submissions:
        for verb in ("kill", "retry") * 6:
            moment += random.uniform(0, 10)
            made.requests.append(Request(moment, verb, spec.id))
    made.calm_at = 10 + max(request.moment for request in made.requests)
    return made


def test_an_end_that_is_not_guarded_by_everything_under_the_batch() -> None:
    says = "completed, and|completed without|archived without"
    finds(says, broker=BrokerWithNarrowGuards, scenario=indecision)


class ForgetfulLog(SayingLog):
    """Takes its own event, found again after a lost answer, for that of another author."""

    async def _settle(self, entry) -> None:  # type: ignore[no-untyped-def]  # of a private class
        self._refused(entry, Conflict(entry.event.scope, 0, 0))


def test_a_client_that_takes_a_lost_answer_for_a_conflict() -> None:
    finds("still not done|idle, and waited for", log=ForgetfulLog)


class InsistentLog(SayingLog):
    """Appends its event behind anything that came between, and so breaks every fence."""

    async def _settle(self, entry) -> None:  # type: ignore[no-untyped-def]  # of a private class
        scope = guard_scope(entry.event)
        self._again(entry, await self._link.ask(lambda: self._broker.stored.last_seq_of(scope)))


def test_a_client_that_takes_no_conflict_for_an_answer() -> None:
    finds("has it|was claimed already", log=InsistentLog)


def test_a_reader_that_does_not_see_that_the_log_lost_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "_look_and_wake", Follower.wake)
    finds("still not done|waited for", log=SimulatedLog)


def full_disks(random: Random) -> Scenario:
    """A world in which much goes wrong, but for the network."""
    made = scenario(random)
    made.weather, made.trouble_every_s = CLEAR, 8.0
    return made


def test_an_author_who_sends_only_once_what_a_full_disk_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trouble, "_stop_broker", lambda self: None)
    monkeypatch.setattr(simulated_log, "RESEND_AFTER_S", 10.0**9)
    finds("still not done|waited for|runs, and is not there", scenario=full_disks)


def test_a_reader_that_does_not_notice_that_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "deliver_again", lambda self: None)
    finds("still not done|waited for")


# --- the node-runner -------------------------------------------------------------------------------


def finds_of_machine(says: str, machine: type[RunnerMachine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_service, "RunnerMachine", machine)
    finds(says)


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


def test_a_node_that_starts_before_its_claim_is_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("without a claim in the log", HastyMachine, monkeypatch)


class GreedyMachine(RunnerMachine):
    """Claims everything that two schedulers assign, even without room."""

    def _has_room_for(self, wanted: attempts.Attempt) -> bool:
        return True


def test_a_node_that_takes_more_than_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    finds_of_machine("runs jobs for|gives a GPU to two jobs", GreedyMachine, monkeypatch)


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


class OffendedMachine(RunnerMachine):
    """Takes every refused guard for a release."""

    def _refused(self, attempt: attempts.Attempt, last_seq: int) -> list[Instruction]:
        return self._stop(attempt)


def test_a_node_that_takes_a_conflict_for_a_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedLog, "_settle", settle_without_passing_garbage)
    finds_of_machine("which nobody took from it", OffendedMachine, monkeypatch)


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
        self._refused(entry, Conflict(scope, entry.guard.last_seq, found_seq))


# --- the archiver ----------------------------------------------------------------------------------


def test_an_archiver_that_speaks_before_the_results_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_archiver_that_deletes_the_results_of_a_new_batch_of_the_same_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delete = SimulatedStore.delete_results
    monkeypatch.setattr(SimulatedStore, "delete_results", lambda self, batch, _: delete(self, batch, inf))
    finds("are archived, and gone|it is not in the archive", scenario=replacements)


def test_an_archiver_that_waits_for_ever_for_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiver_service, "MISSING_AFTER", 10**9)
    finds("still not done: .*and not archived")


def test_a_fold_that_takes_for_archived_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = fold_job._archive
    monkeypatch.setattr(fold_job, "_archive", lambda batch, row, missing: archive(batch, row, None))
    finds("its results are gone, or are not")


# --- the fold and the policy -----------------------------------------------------------------------


def test_a_release_that_does_not_queue_the_job_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def release(batch: BatchState, row: int, event: Event) -> None:
        del batch.active[row]
        fold_job.set_status(batch, row, Status.KILLED)

    monkeypatch.setattr(fold_job, "_release", release)
    finds("nobody asked")


def test_an_end_that_frees_no_resources_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    give_back = accounts.give_back

    def give_back_all_but_cpus(
        state: State, batch: BatchState, row: int, attempt: Attempt, held_s: float
    ) -> None:
        give_back(state, batch, row, attempt, held_s)
        if attempt.node in state.nodes:
            state.nodes[attempt.node].used_cpus += attempt.cpus

    monkeypatch.setattr(accounts, "give_back", give_back_all_but_cpus)
    finds("cpus in use")


def finish_but(then: Callable[[BatchState, int], object]) -> Callable[..., None]:
    """Replace the fold of `finished` by one with a fault."""
    finish = fold_job._finish

    def finish_badly(batch: BatchState, row: int, *further: Any) -> None:
        finish(batch, row, *further)
        then(batch, row)

    return finish_badly


def test_a_fold_that_forgets_what_is_to_be_archived(monkeypatch: pytest.MonkeyPatch) -> None:
    forget = finish_but(lambda batch, row: batch.unarchived.pop(row, None))
    monkeypatch.setattr(fold_job, "_finish", forget)
    finds("archived without")


def test_a_retry_that_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lenient = finish_but(lambda batch, row: batch.failures.pop(row, None))
    monkeypatch.setattr(fold_job, "_finish", lenient)
    finds("it has failed")


def test_a_snapshot_that_leaves_something_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_some(data: bytes) -> State:
        state = load(data)
        for batch in state.batches.values():
            batch.built_on.clear()
        return state

    monkeypatch.setattr(restoring, "load", load_some)
    finds("is not what the log adds up to")


def test_a_batch_that_is_packed_before_it_is_archived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "is_packable", lambda batch: batch.end is not None and not batch.active)
    finds("is packed, and not over|is not what the log adds up to")


def test_an_agenda_that_does_not_see_a_node_fill_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Agenda, "_place_node", lambda self, node: None)
    finds("nodes: ")


def long_jobs(random: Random) -> Scenario:
    """A few jobs that run for minutes, in a world with many faults."""
    made = scenario(random)
    made.submissions = made.submissions[:1]
    made.fates = {job: Fate(150.0) for job in made.fates}
    made.requests, made.trouble_every_s, made.calm_at = [], 8.0, 400.0
    return made


def test_a_scheduler_whose_patience_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "patience_s", lambda self, ran_s: self.lost_after_s)
    finds("was taken from .* silence", scenario=long_jobs)


def test_a_scheduler_that_never_ends_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "_end_of", lambda agenda, batch: None)
    finds("is not over")


def test_a_scheduler_that_assigns_no_job_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "place_jobs", lambda decisions: None)
    finds("idle, and waited for")
