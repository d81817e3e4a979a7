"""The attempts to check for release, each once, in order of batch and row.

A person may kill a batch with 100,000 running jobs. So the caller of `take` may stop, and go on later.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

from distribute.core.ids import BatchId
from distribute.core.state.state import JobKey


@dataclass(slots=True)
class _Rows:
    """Rows of a batch, each once, in a heap."""

    heap: list[int] = field(default_factory=list)
    members: set[int] = field(default_factory=set)


class Releases:
    """The attempts to check, by batch."""

    def __init__(self) -> None:
        self._rows: dict[BatchId, _Rows] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, key: JobKey) -> None:
        """Add an attempt."""
        rows = self._rows.get(key.batch)
        if rows is None:
            rows = self._rows[key.batch] = _Rows()
        if key.row not in rows.members:
            rows.members.add(key.row)
            heapq.heappush(rows.heap, key.row)

    def add_all(self, batch_id: BatchId, found: Iterable[int]) -> None:
        """Add the attempts in these rows of a batch."""
        rows = self._rows.setdefault(batch_id, _Rows())
        rows.members.update(found)
        rows.heap = sorted(rows.members)

    def forget(self, batch_id: BatchId) -> None:
        """Remove the attempts of a batch that is gone."""
        self._rows.pop(batch_id, None)

    def take(self) -> Generator[JobKey, None, None]:
        """Take out one attempt after another. If the caller stops, the others stay."""
        for batch_id in sorted(self._rows):
            rows = self._rows[batch_id]
            while rows.heap:
                row = heapq.heappop(rows.heap)
                rows.members.discard(row)
                yield JobKey(batch_id, row)
            del self._rows[batch_id]
