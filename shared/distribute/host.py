"""`Host`, the interface between the node-runner and its computer.

The node-runner uses processes, folders and measurements only through it. Its `Computer` implements it for a
real computer, `sim.host` for a modelled one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from distribute.core.ids import BatchId, BuildId, JobId
from distribute.core.manifest import Outputs
from distribute.core.recipe import Recipe, Share


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a node lends. `gpus` names each GPU, in order of its index."""

    cpus: int
    memory_bytes: int
    gpus: tuple[str, ...]
    capabilities: frozenset[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """A node's load: the measured fields of `core.beats.Beat`, with the same names."""

    load: float = 0.0
    cpu_percent: float = 0.0
    memory_available_bytes: int = 0
    disk_free_bytes: int = 0
    gpu_percent: tuple[float, ...] = ()
    owner_idle_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """What a host runs: an attempt of a job, or the build of a batch.

    `attempt` counts from 1; it is 0 for a build. `is_job`: does the build's batch have a job of this name?
    """

    of: JobId | BatchId
    attempt: int
    recipe: Recipe
    share: Share
    is_job: Callable[[str], bool] = lambda name: False

    def output_of(self, node: str) -> JobId | BuildId:
        """Whose live output it prints, when it runs on this node."""
        return self.of if isinstance(self.of, JobId) else BuildId(self.of, node)

    def __str__(self) -> str:
        return f"{self.of}, attempt {self.attempt}" if self.attempt else f"the build of {self.of}"


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: by itself with `exit_code`, or by `signal`; the other is None.

    `cpu_s` and `max_rss_bytes` include the children that the process waited for. `wall_s` is by a monotonic
    clock. `max_rss_bytes` is 0 if it is unknown.
    """

    exit_code: int | None
    signal: int | None
    cpu_s: float
    max_rss_bytes: int
    wall_s: float


@dataclass(frozen=True, slots=True)
class CannotStart:
    """A process could not be started. `reason` is for the job's owner."""

    reason: str


P = TypeVar("P")
"""A place: the folder in which a unit runs, with everything that belongs to it."""
R = TypeVar("R")
"""A running unit: its process, and all processes below it."""


class Host(Protocol[P, R]):
    """A computer that runs units.

    Methods raise `DistributeError` or `OSError` for a failure that concerns only one unit; the message is for
    its owner. Cancelling `stage` or `collect` leaves nothing incomplete.
    """

    @property
    def identity(self) -> str:
        """Identifies the node-runner of this working folder; the same after each start."""

    @property
    def boot_id(self) -> str:
        """Identifies the current boot of the computer."""

    @property
    def capacity(self) -> Capacity:
        """What the computer lends."""

    async def clear(self) -> None:
        """End processes and remove folders of earlier runs, then wait until there is room for work."""

    async def full(self) -> None:
        """Return once the computer has no room for any work. From then on, `stage` blocks until `clear`."""

    async def stage(self, unit: Unit, built: P | None) -> P:
        """Make the unit's place: a copy of the place `built`, and the unit's own files.

        Waits while other units take the room that it needs.
        """

    def start(self, unit: Unit, place: P) -> R | CannotStart:
        """Start the unit's process. Its output goes to its place, and to `LiveOutput`."""

    async def wait(self, running: R) -> Exit:
        """Wait until the unit's process and all that it started have ended. Returns how the process ended."""

    async def kill(self, running: R) -> None:
        """End the unit's process and all below it, after a grace period. Then `wait` returns.

        Also returns, and logs it, if some processes can't be killed.
        """

    async def collect(self, unit: Unit, place: P) -> Outputs | None:
        """Send to the store what the unit left in its place. Returns None if it left and printed nothing."""

    def last_lines(self, place: P) -> tuple[str, ...]:
        """The last lines that the unit printed, cut to fit into an event. Never raises, and never waits."""

    async def remove(self, place: P) -> None:
        """Remove a place. Logs what can't be removed."""

    async def sweep(self) -> None:
        """End processes that escaped from units that are over. Call this every few seconds."""

    async def sample(self) -> Figures:
        """Measure the computer's load."""
