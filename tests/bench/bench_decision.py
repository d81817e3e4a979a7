"""Microseconds for a decision with 1,000 nodes, 1,000 batches and 1,000,000 queued jobs.

Steady: every node is full, one job finishes, and another gets its place. Burst: every node is idle. The
floor is the time to make the one event of a decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import process_time_ns

from distribute.core.log import events as ev
from distribute.core.spec.specs import Resources

from .figure import Figure, Floor
from .labs import Lab
from .streams import GIB
from .timing import median_and_p99, no_garbage_collection

NODES = 1000
BATCHES = 1000
JOBS = 1000
DECISIONS = 2000
TARGET_US = 100.0

ALIKE = (Resources(cpus=1),)
MIXED = (
    Resources(cpus=1),
    Resources(cpus=4, memory_bytes=8 * GIB),
    Resources(cpus=2, gpus=1),
    None,
    Resources(cpus=16),
)


def run() -> Iterator[Figure]:
    """Measure a lab whose jobs are all alike, and one with five shapes and unlike nodes."""
    alike = Lab()
    alike.join(NODES, (4,))
    alike.submit(BATCHES, JOBS, ALIKE)
    yield from _measure("jobs alike", alike)
    mixed = Lab()
    mixed.join(NODES, (4, 8, 16, 32), gpus_of_each_tenth=4)
    mixed.submit(BATCHES, JOBS, MIXED)
    yield from _measure("five shapes", mixed)


def _measure(name: str, lab: Lab) -> Iterator[Figure]:
    with no_garbage_collection():
        made, took_us = lab.decide()
        floor = Floor("making its event", _cost_of_an_event_us(lab))
        each_us = took_us / len(made)
        yield Figure(f"{name}: burst, for each of {len(made)} jobs", each_us, "µs", TARGET_US, floor)
        lab.run(made)
        samples = []
        for _ in range(DECISIONS):
            lab.finish_one()
            made, took_us = lab.decide()
            samples.append(took_us)
            lab.run(made)
    median, p99 = median_and_p99(samples)
    yield Figure(f"{name}: steady, median", median, "µs", TARGET_US, floor)
    yield Figure(f"{name}: steady, 99 of 100", p99, "µs", None, floor)


def _cost_of_an_event_us(lab: Lab) -> float:
    stamp = lab.writer.stamp(ev.SCHEDULER)
    since = process_time_ns()
    for _ in range(1000):
        ev.Assigned(**stamp, namespace="lab", batch="sweep", job="re100", attempt=1, node="ws07", cpus=1)
    return (process_time_ns() - since) / 1e6
