"""The simulation finds a planted fault in edits and moves: each test plants one."""

from random import Random

import pytest

from distribute.core.folding import edits, fold_job
from distribute.core.log.events import Event, StopOrdered
from distribute.core.scheduling import placing
from distribute.core.scheduling.decisions import Decisions
from distribute.core.scheduling.indexes import Indexes
from distribute.core.state.state import Attempt as InFlight
from distribute.core.state.state import BatchState
from distribute_services.node_runner import service as runner_service
from distribute_services.node_runner.machine.attempts import Attempt
from distribute_services.node_runner.machine.instructions import Instruction
from distribute_services.node_runner.machine.machine import RunnerMachine
from simulation.biting import finds
from simulation.scenario import CLEAR, Fate, Request, Scenario, Verb, scenario


def changers(random: Random, verb: Verb, duration_s: float) -> Scenario:
    """Batches that people change again and again while jobs of this length run, in a calm world."""
    made = scenario(random)
    made.weather, made.trouble_every_s, made.requests = CLEAR, 0.0, []
    made.fates = {job: Fate(random.uniform(0.5, 1.5) * duration_s) for job in made.fates}
    made.failing_builds.clear()
    for at, spec, _ in made.submissions:
        made.requests += [Request(at + random.uniform(0, 60), verb, spec.id) for _ in range(4)]
    return made


def movers(random: Random) -> Scenario:
    return changers(random, "move", 100.0)


def editors(random: Random) -> Scenario:
    return changers(random, "edit", 10.0)


def test_a_scheduler_that_gives_a_moved_job_to_the_same_node_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placing, "must_leave", lambda *_: False)
    finds("was moved away from ws., and goes back", scenario=movers)


def test_a_scheduler_that_orders_no_move_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Decisions.stop

    def stop(decisions: Decisions, batch: BatchState, row: int) -> None:
        if batch.active[row].moved_by is None:
            sound(decisions, batch, row)

    monkeypatch.setattr(Decisions, "stop", stop)
    finds("runs on, although it was moved", scenario=movers)


class DeafMachine(RunnerMachine):
    """Takes a move for a kill: it ends the job, and does not give it back."""

    def _end(self, attempt: Attempt, order: StopOrdered) -> list[Instruction]:
        return super()._end(attempt, order.model_copy(update={"moved": None}))


def test_a_node_that_does_not_give_a_moved_job_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_service, "RunnerMachine", DeafMachine)
    finds("ended it, and does not give it back", scenario=movers)


def test_a_fold_that_forgets_which_node_a_moved_job_left_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = fold_job._run_again

    def run_again(batch: BatchState, row: int, attempt: InFlight) -> None:
        sound(batch, row, attempt)
        batch.moved_from.clear()

    monkeypatch.setattr(fold_job, "_run_again", run_again)
    finds("was moved away from ws., and goes back", scenario=movers)


def test_a_fold_that_edits_jobs_that_run_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "_IS_WAITING", b"\1" * 256)
    finds("is given .*, and asks for", scenario=lambda random: with_failures(editors(random)))


def with_failures(made: Scenario) -> Scenario:
    """Every job fails at first, so it is given to a node a second time."""
    made.fates = {job: Fate(fate.duration_s, failures=1) for job, fate in made.fates.items()}
    specs = [(at, spec.model_copy(update={"retries": 3}), user) for at, spec, user in made.submissions]
    made.submissions[:] = specs
    return made


def test_a_scheduler_that_goes_on_with_what_jobs_asked_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Indexes, "regroup", lambda *_: None)
    finds("(is given .*, and asks for|IndexError|queues|what waits)", scenario=editors)


def test_a_scheduler_that_leaves_out_the_timeout_of_an_edit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Decisions.add

    def add(decisions: Decisions, event: Event, *rest: object) -> None:
        without = event.model_copy(update={"timeout_s": None}) if event.type == "assigned" else event
        sound(decisions, without, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Decisions, "add", add)
    finds("is given .*, and asks for", scenario=editors)
