"""What the runner's machine knows of an attempt."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import TypedDict

from distribute.core import events as ev
from distribute.core.ids import AttemptId, JobId
from distribute.core.recipe import Share


class Phase(Enum):
    """How far an attempt is at this node (see `machine`)."""

    WAITING = auto()
    CLAIMING = auto()
    CLAIMED = auto()
    LAUNCHING = auto()
    RUNNING = auto()
    COLLECTING = auto()
    REPORTING = auto()
    STOPPING = auto()


ENDED = frozenset({Phase.COLLECTING, Phase.REPORTING})
"""The process is over; its results are not all reported."""


class Stamp(TypedDict):
    """What every event says of its author and its time."""

    id: str
    time: datetime
    author: str


class Names(TypedDict):
    """How the events of an attempt name it."""

    namespace: str
    batch: str
    job: str
    attempt: int
    node: str


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt at this node.

    `last_seq` is the sequence of its scope's last event; None while an event is on its way.
    """

    job: JobId
    number: int
    share: Share
    assigned_seq: int
    last_seq: int | None
    phase: Phase = Phase.WAITING
    unsent: deque[ev.Event] = field(default_factory=deque)

    def __str__(self) -> str:
        return f"{self.job}, attempt {self.number}"

    @property
    def id(self) -> AttemptId:
        return AttemptId(*self.job, self.number)

    def names(self, node: str) -> Names:
        """The attempt at `node`, as its events name it."""
        return {
            "namespace": self.job.namespace,
            "batch": self.job.batch,
            "job": self.job.job,
            "attempt": self.number,
            "node": node,
        }


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt or a build ended. `reason` says in words why a failure is one."""

    succeeded: bool
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    paused_s: float = 0.0
    max_rss_bytes: int = 0
