"""The documents of a waiting job's place in the queue, and of when it begins: see `documents`."""

from __future__ import annotations

from typing import TypedDict


class AheadDocument(TypedDict):
    """So many jobs of a batch come first, and why: `priority`, `share` (that of their person is less) or
    `submission` (they are the same person's, and were submitted before)."""

    namespace: str
    batch: str
    user: str
    priority: int
    share: float
    jobs: int
    why: str


class QueueDocument(TypedDict):
    """A job's place among those that wait for the same nodes; 1 is first. `share` is its user's, in cores."""

    place: int
    priority: int
    share: float
    ahead: list[AheadDocument]


class StartDocument(TypedDict):
    """When a job begins, by estimate. `ended`: judging by so many ended jobs; 0: by how long others run."""

    earliest: str
    likely: str
    latest: str
    ended: int
