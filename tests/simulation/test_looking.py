"""A person who looks at results while others go on is shown what was so at one moment since."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from distribute.client.pull import listing
from distribute.client.results import Results, read_results
from distribute.core.ids import BatchId
from simulation.biting import finds
from simulation.people import People
from simulation.scenario import CLEAR, Fate, Scenario, scenario
from simulation.world import Parts, simulate

WORLDS = 4
ALL_ATTEMPTS = 99


def failures(random: Random) -> Scenario:
    """One batch, whose jobs all fail, in a world in which nothing else goes wrong."""
    made = scenario(random)
    made.weather, made.trouble_every_s, made.requests = CLEAR, 0.0, []
    made.submissions = made.submissions[:1]
    made.fates = {job: Fate(1.0, failures=ALL_ATTEMPTS) for job in made.fates}
    return made


@pytest.mark.parametrize("seed", range(WORLDS))
def test_jobs_run_again_while_a_person_looks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pull, looked = People.pull, []

    def noting(people: People, *args: Any) -> None:
        async def read_and_wait(cluster: Any, batch: BatchId) -> Results:
            """Take so long that another person's request comes in between."""
            found = await read_results(cluster, batch)
            people.request("retry_jobs", batch)
            while people._world.truth.state.batches[batch].archived:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            looked.append(batch)
            return found

        monkeypatch.setattr(listing, "read_results", read_and_wait)
        pull(people, *args)

    monkeypatch.setattr(People, "pull", noting)
    simulate(seed, Parts(scenario=failures))
    assert looked


def test_a_person_who_is_shown_an_archived_batch_as_incomplete_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def not_archived(cluster: Any, batch: BatchId) -> Results:
        found = await read_results(cluster, batch)
        return found._replace(course=found.course._replace(archived=not found.course.archived))

    monkeypatch.setattr(listing, "read_results", not_archived)
    finds("is complete, or is not, as people see it")
