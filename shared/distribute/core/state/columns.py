"""The columns of a batch that say how attempts ended."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

NO_ROW = -1
"""What `find` returns if no row has what is looked for."""


def _doubles() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Outcomes:
    """How attempts ended, a column each, by row; empty until the batch's first attempt ends.

    `node` indexes `BatchState.node_names`; times in seconds since 1970, durations in seconds.
    """

    node: array[int] = field(default_factory=lambda: array("I"))
    exit_code: array[int] = field(default_factory=lambda: array("h"))
    signal: array[int] = field(default_factory=lambda: array("B"))
    started_at: array[float] = field(default_factory=_doubles)
    finished_at: array[float] = field(default_factory=_doubles)
    wall_s: array[float] = field(default_factory=_doubles)
    cpu_s: array[float] = field(default_factory=_doubles)
    paused_s: array[float] = field(default_factory=_doubles)
    max_rss_bytes: array[int] = field(default_factory=lambda: array("Q"))
    result_seq: array[int] = field(default_factory=lambda: array("Q"))
    """The sequence of the `finished` that lists what can be pulled: of the last attempt that is archived, or
    left nothing. 0: there is none, or its outputs are gone."""

    def allocate(self, rows: int) -> None:
        """Make room for every row of the batch. Called once."""
        for name in self.__slots__:
            column = getattr(self, name)
            column.frombytes(bytes(rows * column.itemsize))
