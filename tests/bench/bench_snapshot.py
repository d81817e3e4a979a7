"""A snapshot of the state after a million events: the times to write it and to load it.

The floor is the time of a hash over its bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from distribute.core.folding.fold import apply
from distribute.core.scheduling.agenda import Agenda
from distribute.core.state.state import State
from distribute.snapshot import dump, load

from .figure import Figure, Floor
from .streams import lab
from .timing import Stopwatch, no_garbage_collection

BATCHES = 200
JOBS = 1000
RESTART_TARGET_S = 2.0


def run() -> Iterator[Figure]:
    """Dump and load the same state."""
    state = State()
    with no_garbage_collection():
        for piece in lab(BATCHES, JOBS):
            for recorded in piece:
                apply(state, recorded)
    dumping, loading, hashing = Stopwatch(), Stopwatch(), Stopwatch()
    with dumping:
        data = dump(state)
    with hashing:
        hashlib.sha256(data).digest()
    with loading:
        agenda = Agenda(load(data))
    if dump(agenda.state) != data:  # not the states: batches that are over come back packed
        raise AssertionError("the snapshot is of another state")
    floor = Floor("sha256 of its bytes", hashing.seconds)
    yield Figure("snapshot, written", dumping.seconds, "s", None, floor)
    yield Figure("snapshot, loaded and indexed", loading.seconds, "s", RESTART_TARGET_S / 2, floor)
    yield Figure("snapshot, size", len(data) / 1e6, "MB")
