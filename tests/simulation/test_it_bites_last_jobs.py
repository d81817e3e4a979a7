"""The simulation finds a planted fault in what becomes of last jobs: each test plants one."""

from random import Random

import pytest

from distribute.core.folding import fold_batch, fold_job, gates
from distribute.core.folding.gates import Gate, Hold
from distribute.core.state import last_job
from simulation.biting import finds
from simulation.last_jobs import with_last_job
from simulation.scenario import Fate, Request, Scenario, scenario


def with_last_jobs(random: Random) -> Scenario:
    """Batches of quick jobs, each with a last one, of which people have those run again that failed."""
    made = scenario(random)
    made.trouble_every_s, made.requests = 0.0, []
    made.fates = {job: Fate(random.uniform(0, 3), random.choice((0, 0, 9))) for job in made.fates}
    plain = {"not_before": None, "max_failures": None}
    made.submissions = [
        (at, with_last_job(spec.model_copy(update=plain)), user) for at, spec, user in made.submissions
    ]
    for at, spec, _ in made.submissions:
        made.requests += [Request(at + random.uniform(5, 60), "retry", spec.id) for _ in range(3)]
    return made


def test_a_scheduler_that_begins_the_last_job_before_the_others_are_over_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "are_others_over", lambda batch: True)
    finds("the last job begins, and", scenario=with_last_jobs)


def test_a_scheduler_that_does_not_wait_for_the_archive_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (gates, fold_job):
        monkeypatch.setattr(module, "are_others_over", lambda batch: not last_job.others_left(batch))
    finds("the last job begins, and .* is not archived yet", scenario=with_last_jobs)


def test_a_fold_that_leaves_an_outdated_last_job_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_batch, "run_last_again", lambda batch: None)
    finds("is (SUCCEEDED|FAILED)|completed without", scenario=with_last_jobs)


def test_a_scheduler_that_never_begins_the_last_job_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Gate.hold_of

    def shut(gate: Gate, row: int) -> Hold | None:
        return Hold.OTHERS if row == gate.batch.last_row else sound(gate, row)

    monkeypatch.setattr(Gate, "hold_of", shut)
    finds("still not done", scenario=with_last_jobs)
