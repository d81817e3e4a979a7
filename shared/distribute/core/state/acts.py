"""What people did to a batch that is there, as its state remembers it."""

from __future__ import annotations

from typing import NamedTuple


class Kill(NamedTuple):
    """A person's kill: who, and when by the log's clock."""

    by: str
    at: float


class Holding(NamedTuple):
    """A person's hold of a batch: who, since when by the log's clock, and why."""

    by: str
    since: float
    reason: str | None = None


class Edit(NamedTuple):
    """A person's edit: who, and when by the log's clock."""

    by: str
    at: float
