"""The longest steps of a scheduler in a full lab: 1,000 nodes run 100,000 jobs.

Each step is one turn of its event loop, in processor time.
"""

from __future__ import annotations

from collections.abc import Iterator

from distribute.core.log import events as ev
from distribute.core.log.recorded import Append
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decide import decide
from distribute.core.state.state import Shape, State, Usage
from distribute.snapshot import copy_core, core_pieces
from distribute_services.scheduler.logic import MOST_AT_ONCE

from .figure import Figure
from .labs import Lab
from .streams import GIB, SECOND_OF_START, Resources
from .timing import Stopwatch, no_garbage_collection

NODES, JOBS, USERS = 1000, 100_000, 10_000
TARGET_MS = 50.0


def run() -> Iterator[Figure]:
    """Fill the lab, then do what affects all of its jobs."""
    lab = Lab()
    lab.join(NODES, [JOBS // NODES])
    lab.submit(1, JOBS, [Resources(cpus=1)])
    lab.run(lab.decide()[0])
    with no_garbage_collection():
        yield from _come_back(lab)
        yield from _write_core(lab.agenda.state)
        yield from _kill(lab)


def _come_back(lab: Lab) -> Iterator[Figure]:
    indexing, hearing = Stopwatch(), Stopwatch()
    with indexing:
        agenda = Agenda(lab.agenda.state, lab.agenda.liveness, now=lab.agenda.now)
    yield Figure("a restart: indexing, before anybody is served", _ms(indexing), "ms")
    yield Figure("a restart: the longest decision", max(_decide_all(agenda)), "ms", TARGET_MS)
    with hearing:
        lab.agenda.was_deaf()
    yield Figure("the broker is back: who is silent", _ms(hearing), "ms", TARGET_MS)


def _decide_all(agenda: Agenda) -> Iterator[float]:
    """Decide until nothing is left to decide. Yields the time of each decision."""
    while agenda.to_release:
        watch = Stopwatch()
        with watch:
            made = _decide(agenda)
        if made:
            raise AssertionError(f"nothing was to be decided, and {made[0].event.type} was")
        yield _ms(watch)


def _write_core(state: State) -> Iterator[Figure]:
    shapes = [Shape(frozenset({"python"}), cpus, GIB) for cpus in (1, 2, 3)]
    served = dict.fromkeys(shapes, SECOND_OF_START)
    for number in range(USERS):
        state.usage[f"past{number}"] = Usage(number * 10**6, int(SECOND_OF_START), 0, served.copy())
    copying = Stopwatch()
    with copying:
        copied = copy_core(state)
    yield Figure(f"a snapshot: {NODES:,} nodes and {USERS:,} users", _ms(copying), "ms", TARGET_MS)
    longest, pieces = 0.0, core_pieces(copied)
    while True:
        watch = Stopwatch()
        with watch:
            is_done = next(pieces, pieces) is pieces
        longest = max(longest, _ms(watch))
        if is_done:
            break
    yield Figure("the same: the longest slice", longest, "ms", TARGET_MS)


def _kill(lab: Lab) -> Iterator[Figure]:
    [batch_id] = lab.agenda.state.batches
    killing = Stopwatch()
    with killing:
        lab.happen(ev.KillRequested(**lab.writer.stamp("jane"), **batch_id._asdict()))
    yield Figure("a kill of all jobs: folded", _ms(killing), "ms", TARGET_MS)
    deciding, folding = [0.0], [0.0]
    while lab.agenda.to_release:  # until the scheduler has told the nodes of all jobs to end them
        watch = Stopwatch()
        with watch:
            made = _decide(lab.agenda)
        deciding.append(_ms(watch))
        watch = Stopwatch()
        with watch:
            for append in made:
                lab.happen(append.event)
        folding.append(_ms(watch))
    attempts = lab.agenda.state.batches[batch_id].active.values()
    assert all(attempt.stop_at is not None for attempt in attempts), "their nodes end them"
    yield Figure("a kill of all jobs: the longest decision", max(deciding), "ms", TARGET_MS)
    yield Figure(f"a kill of all jobs: {MOST_AT_ONCE} events folded", max(folding), "ms", TARGET_MS)


def _decide(agenda: Agenda) -> list[Append]:
    ids = iter(range(1_000_000))
    return decide(agenda, agenda.now, lambda: f"{next(ids)}", most=MOST_AT_ONCE)


def _ms(watch: Stopwatch) -> float:
    return watch.seconds * 1e3
