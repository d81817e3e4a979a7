"""The one port between the node-runner and its computer: `Host`.

Service, machine and work see processes, folders and figures through it alone. `computer.Computer`
implements it for real; the simulator has a model of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from distribute.core.ids import BatchId, JobId
from distribute.core.manifest import Outputs
from distribute.core.recipe import Recipe, Share


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a node has to lend. `gpus` names each GPU, in order of its index."""

    cpus: int
    memory_bytes: int
    gpus: tuple[str, ...]
    capabilities: frozenset[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a node is doing: the measured fields of `core.beats.Beat`, under the same names."""

    load: float = 0.0
    cpu_percent: float = 0.0
    memory_available_bytes: int = 0
    disk_free_bytes: int = 0
    gpu_percent: tuple[float, ...] = ()
    owner_idle_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """What a host runs: an attempt of a job, or the build of a batch.

    `attempt` counts from 1; it is 0 for a build.
    """

    of: JobId | BatchId
    attempt: int
    recipe: Recipe
    share: Share

    def __str__(self) -> str:
        return f"{self.of}, attempt {self.attempt}" if self.attempt else f"the build of {self.of}"


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: by itself with `exit_code`, or by `signal`; the other is None.

    `cpu_s` and `max_rss_bytes` count the process and the children it waited for. `wall_s` is by a
    monotonic clock. `max_rss_bytes` is 0 if it can't be told.
    """

    exit_code: int | None
    signal: int | None
    cpu_s: float
    max_rss_bytes: int
    wall_s: float


@dataclass(frozen=True, slots=True)
class CannotStart:
    """Why a process could not be started, in words for the job's owner."""

    reason: str


P = TypeVar("P")
"""A place: the folder in which a unit runs, and all that belongs to it."""
R = TypeVar("R")
"""A running unit: its process, and every process below that."""


class Host(Protocol[P, R]):
    """A computer that runs units.

    Methods raise `DistributeError` or `OSError` for a failure that concerns the one unit; the message
    is for its owner. Cancelling `stage` or `collect` leaves nothing half done.
    """

    @property
    def identity(self) -> str:
        """Who the node-runner of this working folder is; the same after each start."""

    @property
    def boot_id(self) -> str:
        """Names the time since the computer was last started."""

    @property
    def capacity(self) -> Capacity:
        """What the computer has to lend."""

    async def clear(self) -> None:
        """End and remove what earlier runs left, then wait until there is room for work."""

    async def full(self) -> None:
        """Return once the computer has no room for any work. Until `clear`, `stage` does not return then."""

    async def stage(self, unit: Unit, built: P | None) -> P:
        """Make the unit's place: a copy of the place `built`, and the unit's own files.

        Waits while other units take the room it needs.
        """

    def start(self, unit: Unit, place: P) -> R | CannotStart:
        """Start the unit's process. Its output goes to its place, and of an attempt to `LiveOutput`, too."""

    async def wait(self, running: R) -> Exit:
        """How the unit's process ended. Returns when nothing that it started is left."""

    async def kill(self, running: R) -> None:
        """End the unit's process and all below it, after a period of grace. `wait` returns then.

        Returns also if some of them can't be killed; that is logged.
        """

    async def collect(self, unit: Unit, place: P) -> Outputs | None:
        """Send to the store what the unit left in its place. None: it left nothing, nor did it print."""

    async def remove(self, place: P) -> None:
        """Remove a place. What resists is logged."""

    async def sweep(self) -> None:
        """End processes that escaped from units that are over. To be called every few seconds."""

    async def sample(self) -> Figures:
        """What the computer is doing."""
