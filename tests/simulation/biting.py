"""How a test sees that the simulation finds what is broken on purpose."""

import re
from random import Random
from typing import Any

import pytest

from simulation.scenario import CLEAR, Fate, Request, Scenario, Verb, scenario
from simulation.stories import Broken
from simulation.world import Parts, simulate

KILLS: tuple[Verb, ...] = ("kill", "kill_job", "kill_queued", "retry")
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


def long_jobs(random: Random) -> Scenario:
    """A few jobs that run for minutes, in a world with many faults."""
    made = scenario(random)
    made.submissions = made.submissions[:1]
    made.fates = {job: Fate(150.0) for job in made.fates}
    made.requests, made.trouble_every_s, made.calm_at = [], 8.0, 400.0
    return made


def killers(random: Random) -> Scenario:
    """Jobs and builds that people kill while they run, in a calm world."""
    made = long_jobs(random)
    made.weather, made.trouble_every_s = CLEAR, 0.0
    for moment, spec, _ in made.submissions:
        for verb in random.sample(KILLS, 2):
            moment += random.uniform(5, 60)
            made.requests.append(Request(moment, verb, spec.id))
    return made


def leavers(random: Random) -> Scenario:
    """Jobs that run for minutes at nodes that are told to leave, in a world with many faults."""
    made = long_jobs(random)
    made.requests = [Request(moment, "leave") for moment in range(20, 390, 10)]
    return made


def forgers(random: Random) -> Scenario:
    """Jobs that run long enough for somebody to forge words about them, in a calm world but for that."""
    made = long_jobs(random)
    made.weather, made.only_forgeries, made.trouble_every_s = CLEAR, True, 2.0
    return made
