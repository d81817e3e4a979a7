"""The simulation finds a planted fault in what limits a batch: each test plants one."""

from random import Random

import pytest

from distribute.core.folding import gates, waits
from distribute.core.folding.gates import Gate, Hold
from distribute.core.ids import Assignments, Guarded
from distribute.core.scheduling import decide
from distribute.sim.network import Broker, Weather
from simulation.biting import finds
from simulation.scenario import Fate, Scenario, scenario


def limited(random: Random) -> Scenario:
    """Two schedulers far from the broker, and batches of quick jobs that run one at a time."""
    made = scenario(random)
    made.schedulers, made.weather, made.trouble_every_s, made.requests = 2, Weather(delay_s=1.0), 0.0, []
    made.fates = {job: Fate(random.uniform(0, 3)) for job in made.fates}
    made.failing_builds.clear()
    one = {"max_running": 1, "not_before": None, "max_failures": None}
    made.submissions = [(at, spec.model_copy(update=one), user) for at, spec, user in made.submissions]
    return made


class BrokerWithoutGuardsOfAssignments(Broker):
    def admits(self, scope: Guarded, expected_seq: int) -> bool:
        return isinstance(scope, Assignments) or super().admits(scope, expected_seq)


def test_two_schedulers_that_do_not_know_of_each_others_assignments_are_found() -> None:
    finds("are with nodes, and may be 1", broker=BrokerWithoutGuardsOfAssignments, scenario=limited)


def without(hold: Hold) -> property:
    """A gate that never closes for this reason."""
    sound = Gate.hold.fget  # type: ignore[attr-defined]  # of a property
    return property(lambda gate: None if (found := sound(gate)) is hold else found)


def test_a_scheduler_that_ignores_max_running_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "hold", without(Hold.FULL))
    finds("are with nodes, and may be", scenario=limited)


def test_a_scheduler_that_ignores_the_time_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "hold", without(Hold.EARLY))
    finds("begins before")


def test_a_scheduler_that_begins_what_waits_for_another_batch_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Gate, "hold", without(Hold.AFTER))
    finds("begins before .* is over")


def test_a_fold_that_takes_any_end_for_a_success_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_is_met", lambda after, end: end is not None)
    finds("begins before .* is over")


def test_a_scheduler_that_does_not_end_what_waits_in_vain_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "why_doomed", lambda state, batch: None)
    finds("still not done")


def test_a_scheduler_that_ignores_max_failures_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "has_given_up", lambda batch: False)
    finds("jobs of its batch have failed")


def test_a_gate_that_does_not_open_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Gate.hold.fget  # type: ignore[attr-defined]  # of a property
    shut = property(
        lambda gate: sound(gate) or (Hold.FULL if gate.batch.limits.max_running is not None else None)
    )
    monkeypatch.setattr(Gate, "hold", shut)
    finds("still not done")
