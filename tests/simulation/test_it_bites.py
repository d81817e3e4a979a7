"""The simulation finds a planted fault in the log, the fold or the policy: each test plants one."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from distribute import restoring
from distribute.core.errors import Conflict
from distribute.core.folding import accounts, fold_batch, fold_job
from distribute.core.ids import Guarded, Under
from distribute.core.log.events import Completed, Event
from distribute.core.log.recorded import guard_scope
from distribute.core.scheduling import decide
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decisions import Decisions
from distribute.core.scheduling.liveness import Lease
from distribute.core.state import packing
from distribute.core.state.state import Attempt, BatchState, State, Status
from distribute.core.state.statuses import set_status
from distribute.sim import log as simulated_log
from distribute.sim.following import Follower
from distribute.sim.log import SimulatedLog
from distribute.sim.network import Broker, Weather
from distribute.sim.remembering import RememberingLog
from distribute.snapshot import load
from simulation.biting import finds, forgers, killers, long_jobs
from simulation.scenario import CLEAR, Fate, Request, Scenario, scenario
from simulation.trouble import Trouble
from simulation.world import simulate


def test_without_a_planted_fault_the_simulation_finds_none() -> None:
    for seed in range(20):
        simulate(seed)


# --- the log ---------------------------------------------------------------------------------------


class BrokerWithoutGuards(Broker):
    def admits(self, scope: Guarded, expected_seq: int) -> bool:
        return True


def test_a_broker_that_ignores_guards_is_found() -> None:
    finds("has it|was claimed already", broker=BrokerWithoutGuards)


class BrokerWithNarrowGuards(Broker):
    """Guards the end of a batch only by the batch's own events, not by those of its jobs."""

    def admits(self, scope: Guarded, expected_seq: int) -> bool:
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


def test_a_batchs_end_that_only_its_own_events_guard_is_found() -> None:
    says = "completed, and|completed without|archived without"
    finds(says, broker=BrokerWithNarrowGuards, scenario=indecision)


class ForgetfulLog(RememberingLog):
    """Takes its own event, found again after a lost answer, for that of another author."""

    async def _settle(self, entry) -> None:  # type: ignore[no-untyped-def]  # of a private class
        self._refused(entry, Conflict(entry.event.scope, 0, beaten_by_seq=0, last_seq=0))


def test_a_log_that_takes_a_lost_answer_for_a_conflict_is_found() -> None:
    finds("still not done|idle, and waited for", log=ForgetfulLog)


class InsistentLog(RememberingLog):
    """Appends its event behind anything that came between, and so breaks every fence."""

    async def _settle(self, entry) -> None:  # type: ignore[no-untyped-def]  # of a private class
        scope = guard_scope(entry.event)
        self._again(entry, await self._link.ask(lambda: self._broker.stored.last_seq_of(scope)))


def test_a_log_that_appends_despite_a_conflict_is_found() -> None:
    finds("has it|was claimed already", log=InsistentLog)


def test_a_reader_that_ignores_that_the_log_lost_its_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "_look_and_wake", Follower.wake)
    finds("still not done|waited for", log=SimulatedLog)


def full_disks(random: Random) -> Scenario:
    """A world with many faults, but with a perfect network."""
    made = scenario(random)
    made.weather, made.trouble_every_s = CLEAR, 8.0
    return made


def test_an_author_that_sends_only_once_to_a_full_disk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trouble, "_stop_broker", lambda self: None)
    monkeypatch.setattr(simulated_log, "RESEND_AFTER_S", 10.0**9)
    finds("still not done|waited for|runs, and is not there", scenario=full_disks)


def test_a_reader_that_does_not_notice_silence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "deliver_again", lambda self: None)
    finds("still not done|waited for")


# --- forged events ---------------------------------------------------------------------------------


def test_a_fold_that_takes_any_word_of_a_node_for_one_about_its_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fold_job, "_not_continuing", lambda *_: None)
    finds("it is forged, and the fold accepts it", scenario=forgers)


def test_a_fold_that_takes_anybodys_word_of_a_job_that_runs_here_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collect = fold_job._collect

    def believe(batch: BatchState, row: int, seq: int, time: float, event: Any) -> str | None:
        ran_at, batch.ran_at = batch.ran_at, "slurm"
        misfit = collect(batch, row, seq, time, event)
        batch.ran_at = ran_at
        return misfit

    monkeypatch.setattr(fold_job, "_collect", believe)
    finds("it is forged, and the fold accepts it", scenario=forgers)


def test_a_fold_that_ends_a_batch_under_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(batch: BatchState, time: float, event: Completed) -> None:
        batch.end, batch.finished_at = event.state, time

    monkeypatch.setattr(fold_batch, "_complete", complete)
    finds("it is forged, and the fold accepts it", scenario=forgers)


# --- the fold and the policy -----------------------------------------------------------------------


def test_a_release_that_does_not_queue_the_job_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def release(batch: BatchState, row: int, event: Event) -> None:
        del batch.active[row]
        set_status(batch, row, Status.KILLED)

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


def test_a_fold_that_forgets_unarchived_outputs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    forget = finish_but(lambda batch, row: batch.unarchived.pop(row, None))
    monkeypatch.setattr(fold_job, "_finish", forget)
    finds("archived without")


def test_a_fold_that_throws_a_killed_jobs_results_away_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(batch: BatchState, row: int) -> None:
        if batch.kill_wanted(row):
            batch.unarchived.pop(row, None)

    monkeypatch.setattr(fold_job, "_finish", finish_but(forget))
    finds("archived without", scenario=killers)


def test_a_scheduler_that_takes_killed_jobs_from_their_nodes_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(self: Decisions, batch: BatchState, row: int) -> None:
        self.release(batch, row, "killed", batch.cause)

    monkeypatch.setattr(Decisions, "stop", stop)
    finds("may not say what the killed job left", scenario=killers)


def test_a_scheduler_that_never_has_a_killed_job_ended_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "is_unwanted", lambda batch, row: False)
    finds("runs on, although it was killed", scenario=killers)


def test_a_fold_that_does_not_count_failures_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lenient = finish_but(lambda batch, row: batch.failures.pop(row, None))
    monkeypatch.setattr(fold_job, "_finish", lenient)
    finds("it has failed")


def test_a_snapshot_that_lacks_something_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_some(data: bytes) -> State:
        state = load(data)
        for batch in state.batches.values():
            batch.built_on.clear()
        return state

    monkeypatch.setattr(restoring, "load", load_some)
    finds("is not what the log adds up to")


def test_packing_a_batch_before_it_is_archived_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "is_packable", lambda batch: batch.end is not None and not batch.active)
    finds("is packed, and not over|is not what the log adds up to")


def test_an_agenda_that_does_not_notice_a_node_filling_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Agenda, "place_node", lambda self, node: None)
    finds("nodes: ")


def test_a_scheduler_whose_patience_does_not_grow_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "patience_s", lambda self, ran_s: self.lost_after_s)
    finds("was taken from .* fell silent", scenario=long_jobs)


def test_a_scheduler_that_never_ends_a_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "_end_of", lambda agenda, batch: None)
    finds("is not over")


def test_a_scheduler_that_assigns_no_job_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "place_jobs", lambda decisions: None)
    finds("idle, and waited for")
