"""The simulation finds a planted fault in batches that are replaced and keep jobs: each test plants one."""

from random import Random

import pytest

from distribute.client.replacing import Replacement
from distribute.core.folding import replacing, work
from distribute.core.log import events as ev
from distribute.core.state.state import BatchState
from distribute.sim.network import Weather
from distribute_services.archiver.logic import Backlog
from distribute_services.node_runner.machine.attempts import Attempt
from simulation.biting import finds
from simulation.scenario import CLEAR, Fate, Request, Scenario, scenario


def keepers(random: Random) -> Scenario:
    """People who change the files of their batches again and again, in a calm world."""
    made = scenario(random)
    made.weather, made.trouble_every_s, made.requests = CLEAR, 0.0, []
    made.fates = {job: Fate(2.0 * random.random()) for job in made.fates}
    made.failing_builds.clear()
    for at, spec, _ in made.submissions:
        made.requests += [Request(at + random.uniform(5, 60), "keep", spec.id) for _ in range(4)]
    return made


def keepers_at_a_slow_archiver(random: Random) -> Scenario:
    made = keepers(random)
    made.weather = Weather(delay_s=0.1, transfer_s=2.0, slow=0.3, slow_s=20.0)
    return made


def keepers_of_long_jobs(random: Random) -> Scenario:
    """People who change the files of their batches while long jobs of these run."""
    made = keepers(random)
    made.fates = {job: Fate(random.uniform(20.0, 90.0)) for job in made.fates}
    return made


def test_a_person_who_keeps_what_changed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_digest", lambda *_: b"always the same")
    finds("is kept, and does other work now", scenario=keepers)


def test_an_archiver_that_deletes_what_is_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backlog, "kept", lambda *_: frozenset())
    finds("are archived, and gone", scenario=keepers)


def test_a_person_who_replaces_what_is_under_way_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replacement, "is_due", lambda _, batch: batch.end is not None)
    finds("is replaced, while .* are under way", scenario=keepers_at_a_slow_archiver)


def test_a_fold_that_forgets_what_is_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_nothing(batch: BatchState, event: ev.Submitted, before: BatchState) -> BatchState:
        batch.first_seq = before.first_seq
        return batch

    monkeypatch.setattr(replacing, "with_kept", with_nothing)
    finds("it has succeeded already|is QUEUED", scenario=keepers)


def test_a_node_that_ends_what_goes_on_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempt, "goes_on_beside", lambda *_: False)
    finds("stops .*, which nobody took from it", scenario=keepers_of_long_jobs)


def test_a_fold_that_forgets_what_runs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "_take_over_running", lambda *_: None)
    finds("in flight", scenario=keepers_of_long_jobs)


def test_a_person_who_replaces_what_is_still_to_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Replacement.compare_folded

    async def with_all(self: Replacement, batch: BatchState) -> work.Comparison:
        compared = await real(self, batch)
        names = [batch.names[row] for row in batch.active if batch.names[row] in compared.rerun]
        return compared._replace(going_on=(*compared.going_on, *names))

    monkeypatch.setattr(Replacement, "compare_folded", with_all)
    finds("does other work now|are under way", scenario=keepers_of_long_jobs)
