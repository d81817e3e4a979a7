"""How far off the estimates of `why` are: `python -m tests.simulation.estimates [SEEDS]`.

In each world, every few seconds, we estimate when waiting jobs begin, and compare that with when they did.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from distribute.core.explaining.queue_place import place_of
from distribute.core.explaining.start_estimate import Estimate, estimate_start
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.slices import at_once
from distribute.core.state.state import QUEUED
from distribute.sim.network import EPOCH_S

from .many import garbage_waits
from .scenario import CLEAR, Scenario, scenario
from .world import Parts, World

EVERY_S = 5.0
BASE = 5_000_000
SLACK_S = 3.0
"""A scheduler looks every two seconds, and no estimate knows of that."""


class Guess(NamedTuple):
    """What was estimated, and after how many seconds the job was then given to a node."""

    estimate: Estimate
    began_s: float

    @property
    def is_within(self) -> bool:
        """Did it begin between the earliest and the latest?"""
        return self.estimate.earliest_s - SLACK_S <= self.began_s <= self.estimate.latest_s + SLACK_S

    @property
    def error_s(self) -> float:
        """How far off the likely time was."""
        return abs(self.began_s - self.estimate.likely_s)


def quiet(random: Random) -> Scenario:
    """A world in which nothing goes wrong but jobs, and nobody interferes."""
    made = scenario(random)
    made.weather, made.trouble_every_s, made.requests = CLEAR, 0.0, []
    made.schedulers, made.replicated = 1, False
    for computer in made.computers:
        computer.broken = False
    return made


class _Watch:
    """Estimates the starts of waiting jobs in a world, again and again."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._found: list[tuple[float, BatchId, str, int, Estimate]] = []
        world.loop.after(EVERY_S, self._look)

    def _look(self) -> None:
        scheduler = self._world.schedulers[0].scheduler
        if scheduler is not None and scheduler.caught_up:
            agenda = scheduler.agenda
            for batch in agenda.state.batches.values():
                queued = [row for row, status in enumerate(batch.status) if status == QUEUED]
                for row in {*queued[:1], *queued[-1:]}:
                    place = place_of(agenda, batch, row)
                    estimate = at_once(estimate_start(agenda, batch, row, place)) if place else None
                    if estimate is not None:
                        now, number = self._world.loop.now, batch.attempts[row] + 1
                        self._found.append((now, batch.id, batch.names[row], number, estimate))
        self._world.loop.after(EVERY_S, self._look)

    def guesses(self) -> Iterator[Guess]:
        """What was estimated, of the jobs that began."""
        begins = {
            (event.batch_id, event.job, event.attempt): recorded.time - EPOCH_S
            for recorded in self._world.truth.log
            if isinstance(event := recorded.event, ev.Assigned)
        }
        for now, batch, job, number, estimate in self._found:
            began = begins.get((batch, job, number))
            if began is not None and began > now:
                yield Guess(estimate, began - now)


def guesses_in(seeds: Sequence[int], drawn: Callable[[Random], Scenario]) -> list[Guess]:
    """All estimates of these worlds."""
    found: list[Guess] = []
    with garbage_waits():
        for seed in seeds:
            world = World(seed, Parts(scenario=drawn))
            watch = _Watch(world)
            world.run()
            found += watch.guesses()
    return found


def main() -> None:
    """Print the errors, in quiet worlds and in those where anything goes wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.estimates", description=__doc__)
    parser.add_argument("seeds", nargs="?", type=int, default=100)
    seeds = range(BASE, BASE + parser.parse_args().seeds)
    for name, drawn in (("quiet", quiet), ("troubled", scenario)):
        guesses = guesses_in(seeds, drawn)
        known = [guess for guess in guesses if guess.estimate.ended]
        for what, some in (("all", guesses), ("with ended jobs", known)):
            within = sum(guess.is_within for guess in some) / len(some)
            error_s = statistics.median(guess.error_s for guess in some)
            wait_s = statistics.median(guess.began_s for guess in some)
            print(
                f"{name}, {what}: {len(some)} estimates, {within:.0%} within their bounds; median error"
                f" {error_s:.1f} s of a median wait of {wait_s:.1f} s"
            )


if __name__ == "__main__":
    main()
