"""Labs and courses of events that tests of trials share."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from core_kit import Lab, of
from distribute.core.log import events as ev
from distribute.core.scheduling.trials import SUSPECT_AFTER
from distribute.core.spec.specs import BatchSpec
from distribute.testing import builders as make


def failing(*specs: BatchSpec, jobs: int = SUSPECT_AFTER, log_ahead_s: float = 0.0) -> Lab:
    """A lab whose only node has let `jobs` jobs fail fast, one after another, of each batch in turn."""
    lab = Lab(make.joined("broken"), *(make.submitted(spec) for spec in specs), log_ahead_s=log_ahead_s)
    for number in range(jobs):
        spec = specs[number % len(specs)]
        job = of(spec.batch, f"job{number // len(specs) + 1}")
        lab.happen(make.assigned(job, "broken"))
        lab.fail_fast(job, "broken")
    return lab


def on_trial(*specs: BatchSpec, jobs: int = SUSPECT_AFTER) -> Lab:
    """The same, after another node has joined. The first few of the jobs run again there."""
    lab = failing(*(specs or (make.batch(5),)), jobs=jobs)
    lab.happen(make.joined("other"))
    lab.happen(*lab.decide())
    lab.happen(*lab.decide())
    return lab


def run_all(lab: Lab, broken: frozenset[str] = frozenset({"big", "small"})) -> None:
    """Run all jobs as soon as they are assigned. They fail fast on broken nodes, and succeed on others."""
    for _ in range(100):
        made = lab.decide()
        if not made:
            return
        lab.happen(*made)
        for event in made:
            if isinstance(event, ev.Assigned):
                at = (event.scope, event.node, event.attempt)
                (lab.fail_fast if event.node in broken else lab.succeed)(*at)
    raise AssertionError("a hundred decisions were not enough")


def in_turn(lab: Lab, fails: Callable[[str, str], bool], random: Random) -> None:
    """Run all jobs, and end them in random order. `fails(node, batch)`: do its jobs fail fast there?"""
    going: list[ev.Assigned] = []
    for _ in range(2000):
        made = lab.decide()
        lab.happen(*made)
        going += [event for event in made if isinstance(event, ev.Assigned)]
        if not going and not made:
            return
        if going:
            event = going.pop(random.randrange(len(going)))
            end = lab.fail_fast if fails(event.node, event.batch) else lab.succeed
            end(event.scope, event.node, event.attempt)
    raise AssertionError("two thousand decisions were not enough")


def events_of(lab: Lab, kind: type[ev.Event]) -> list[ev.Event]:
    """The events of a type in the log."""
    return [recorded.event for recorded in lab.log if isinstance(recorded.event, kind)]
