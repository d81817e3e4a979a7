"""The costs of batches that are over, whole and packed: memory, writing a snapshot, and loading it.

The figures of their jobs are random numbers, which compress badly. The floors are the size of the snapshot,
and the time of a hash over it.
"""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from collections.abc import Callable, Iterator
from math import inf
from typing import TypeVar

from distribute.core.ids import check_name
from distribute.core.slices import at_once
from distribute.core.state.batch_record import changing_pieces, fixed_pieces, loading, seal
from distribute.core.state.packing import pack, packable
from distribute.core.state.state import State
from distribute.snapshot import dump, load

from .ended import ended_batches
from .figure import Figure, Floor
from .timing import Stopwatch, no_garbage_collection

T = TypeVar("T")

SIZES = ((100, 1000), (1, 100_000))


def run() -> Iterator[Figure]:
    """Measure many small batches, and a large one."""
    for batches, jobs in SIZES:
        name = f"{batches:,} of {jobs:,} jobs"
        yield from _memory(name, batches, jobs)
        yield from _times(name, ended_batches(batches, jobs))


def _memory(name: str, batches: int, jobs: int) -> Iterator[Figure]:
    gc.collect()
    tracemalloc.start()
    try:
        state = ended_batches(batches, jobs)
        whole = _held_bytes()
        _pack_all(state)
        packed = _held_bytes()
    finally:
        tracemalloc.stop()
    floor = Floor("its snapshot", len(dump(state)) / (batches * jobs))
    yield Figure(f"{name}: memory, whole", whole / (batches * jobs), "bytes a job", None, floor)
    yield Figure(f"{name}: memory, packed", packed / (batches * jobs), "bytes a job", None, floor)


def _held_bytes() -> int:
    check_name.cache_clear()  # it keeps the last 65,536 names, even of deleted batches
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _times(name: str, state: State) -> Iterator[Figure]:
    with no_garbage_collection():
        data, whole_ms = _timed(lambda: dump(state))
        _, hashing_ms = _timed(lambda: hashlib.sha256(data).digest())
        _pack_all(state)
        again, packed_ms = _timed(lambda: dump(state))
        if again != data:
            raise AssertionError("packed, the state has another snapshot")
        restored, load_ms = _timed(lambda: load(data))
        records = [(packed.fixed, packed.changing) for packed in restored.packed.values()]
        _, unpack_ms = _timed(lambda: [at_once(loading(*pair)) for pair in records])
    floor = Floor("sha256 of the snapshot", hashing_ms)
    yield Figure(f"{name}: a snapshot, whole", whole_ms, "ms", None, floor)
    yield Figure(f"{name}: a snapshot, packed", packed_ms, "ms", None, floor)
    yield Figure(f"{name}: restored, packed", load_ms, "ms", None, floor)
    yield Figure(f"{name}: unpacked", unpack_ms, "ms", None, floor)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    watch = Stopwatch()
    with watch:
        made = work()
    return made, watch.seconds * 1e3


def _pack_all(state: State) -> None:
    for batch_id in packable(state, over_before=inf):
        batch = state.batches[batch_id]
        pack(state, batch_id, seal(fixed_pieces(batch)), seal(at_once(changing_pieces(batch))))
