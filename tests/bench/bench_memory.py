"""Bytes that a queued job takes in the scheduler, by the RSS with a million jobs in 1,000 batches.

The floor is the names of the jobs, in lists.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import psutil

from distribute.codec import decode, encode
from distribute.core.log import events as ev
from distribute.core.scheduling.agenda import Agenda
from distribute.core.state.state import State

from .figure import Figure, Floor
from .streams import Writer, sweep

BATCHES = 1000
JOBS = 1000


def run() -> Iterator[Figure]:
    """Submit all batches, and measure the growth of the process."""
    agenda = Agenda(State())
    writer = Writer()
    _submit(agenda, writer, 0)  # the first batch allocates what later ones share
    before = _rss_bytes()
    for number in range(1, BATCHES + 1):
        _submit(agenda, writer, number)
    grown = _rss_bytes() - before
    before = _rss_bytes()
    names = [[name.encode().decode() for name in batch.names] for batch in agenda.state.batches.values()]
    floor = Floor("their names in lists", (_rss_bytes() - before) / sum(map(len, names)))
    yield Figure("a queued job", grown / (BATCHES * JOBS), "bytes", 200, floor)


def _submit(agenda: Agenda, writer: Writer, number: int) -> None:
    spec = sweep(number, JOBS)
    event = ev.Submitted(**writer.stamp("jane"), **spec.id._asdict(), user="jane", spec=spec)
    agenda.fold(writer.record(decode(encode(event))))


def _rss_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)
