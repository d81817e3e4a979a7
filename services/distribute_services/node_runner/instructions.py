"""What the runner's machine knows of an attempt, and what it tells its shell to do."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import TypedDict

from distribute.core import events as ev
from distribute.core.events import Append
from distribute.core.ids import BatchId, JobId


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


class Stamp(TypedDict):
    """What every event says of who wrote it, and when."""

    id: str
    time: datetime
    author: str


class Names(TypedDict):
    """What every event of an attempt says of it."""

    namespace: str
    batch: str
    job: str
    attempt: int
    node: str


@dataclass(slots=True, eq=False)
class Run:
    """An attempt at this node. `last_seq` is its scope's last event; None while one is on its way."""

    job: JobId
    attempt: int
    cpus: int
    memory_bytes: int
    gpus: tuple[int, ...]
    assigned_seq: int
    last_seq: int | None
    phase: Phase = Phase.WAITING
    unsent: deque[ev.Event] = field(default_factory=deque)

    def names(self, node: str) -> Names:
        """The attempt at `node`, as its events name it."""
        return {
            "namespace": self.job.namespace,
            "batch": self.job.batch,
            "job": self.job.job,
            "attempt": self.attempt,
            "node": node,
        }


class BuildPhase(Enum):
    """How far a batch's build is at this node."""

    LOADING = auto()
    BUILDING = auto()
    READY = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended. `reason` says in words why a failure is one."""

    succeeded: bool
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    paused_s: float = 0.0
    max_rss_bytes: int = 0


# --- instructions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """Append this event of a run; then call `reported`, or `fenced` where the guard did not hold."""

    run: Run
    append: Append


@dataclass(frozen=True, slots=True)
class Announce:
    """Append this event about the node, behind whatever is its last one. Nothing to call."""

    event: ev.Event


@dataclass(frozen=True, slots=True)
class Load:
    """Learn what the batch is; then call `loaded`."""

    batch: BatchId


@dataclass(frozen=True, slots=True)
class Build:
    """Build the batch; then call `built`."""

    batch: BatchId


@dataclass(frozen=True, slots=True)
class Launch:
    """Make the run's workspace and start its process; then call `launched`, and `exited` at its end."""

    run: Run


@dataclass(frozen=True, slots=True)
class Collect:
    """Upload what the run left; then call `collected`."""

    run: Run
    ending: Ending


@dataclass(frozen=True, slots=True)
class Stop:
    """Kill whatever the run still has going and remove its workspace; then call `stopped`."""

    run: Run


@dataclass(frozen=True, slots=True)
class Tidy:
    """Remove the workspace of a run that is over. Nothing to call."""

    run: Run


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove what was built for a batch that is over. Nothing to call."""

    batch: BatchId


@dataclass(frozen=True, slots=True)
class GiveWay:
    """Another node-runner joined under this node's name: end, and say so. Nothing to call."""


Instruction = Report | Announce | Load | Build | Launch | Collect | Stop | Tidy | Forget | GiveWay
