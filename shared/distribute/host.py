"""`Host`, the interface between the node-runner and its computer.

The node-runner uses processes, folders and measurements only through it. Its `Computer` implements it for a
real computer, `sim.host` for a modelled one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from distribute.core.files.manifest import Outputs
from distribute.core.ids import AttemptId, BatchId, BuildId, JobId
from distribute.core.spec.recipe import Recipe, Share
from distribute.core.spec.visits import FilesFound, Got, Piece


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a node lends. `gpus` names each GPU, in order of its index.

    `gpu_memory_bytes` is the memory of each; 0 if it is unknown. `lacks` says why the node does not have a
    capability that it looked for.
    """

    cpus: int
    memory_bytes: int
    gpus: tuple[str, ...]
    capabilities: frozenset[str]
    gpu_memory_bytes: tuple[int, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """A node's load: the measured fields of `core.beats.Beat`, with the same names."""

    load: float = 0.0
    cpu_percent: float = 0.0
    memory_available_bytes: int = 0
    disk_free_bytes: int = 0
    gpu_percent: tuple[float, ...] = ()
    owner_idle_s: float | None = None
    owner_source: str = ""
    freezes_by: str = ""
    disk_needed_bytes: int = 0
    build_copies: str = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """Who uses the computer besides its jobs.

    `idle_s` is for how long nobody has used it (None: nobody has since the node started, as far as it can
    see), `sources` what shows that. `blind_to` names keyboards and mice whose use nothing shows. `others`
    is how many cores the processes of others have used lately (None: that isn't measured).
    """

    idle_s: float | None = None
    sources: tuple[str, ...] = ()
    blind_to: tuple[str, ...] = ()
    others: float | None = None

    @property
    def source(self) -> str:
        """What shows the owner's use, and where nothing does: `terminals; blind to Bluetooth Mouse`."""
        sources = ", ".join(self.sources) or "nothing"
        return f"{sources}; blind to {', '.join(self.blind_to)}" if self.blind_to else sources


@dataclass(frozen=True, slots=True)
class Record:
    """What a host notes beside an attempt before it starts, so that a later runner can take it up.

    `assigned_id`, `assigned_seq` and `assigned_at` are the id, the sequence and the log's time of its
    assignment, `submission_id` and `submission_seq` those of its batch's `submitted`. The log has all else.
    """

    attempt: AttemptId
    share: Share
    assigned_id: str
    assigned_seq: int
    assigned_at: float
    submission_id: str | None
    submission_seq: int


@dataclass(frozen=True, slots=True)
class Unit:
    """What a host runs: an attempt of a job, or the build of a batch.

    `attempt` counts from 1; it is 0 for a build. `is_job`: does the build's batch have a job of this name?
    `record` is noted beside an attempt; a build has none.
    """

    of: JobId | BatchId
    attempt: int
    recipe: Recipe
    share: Share
    is_job: Callable[[str], bool] = lambda name: False
    record: Record | None = None

    def output_of(self, node: str) -> JobId | BuildId:
        """Whose live output it prints, when it runs on this node."""
        return self.of if isinstance(self.of, JobId) else BuildId(self.of, node)

    def __str__(self) -> str:
        return f"{self.of}, attempt {self.attempt}" if self.attempt else f"the build of {self.of}"


EndedFor = Literal["timeout", "memory", "oom", "disk", "processes"]
"""Why a host ended a unit: it ran for longer than its limit, used more memory than it may, was about to fill
the disk, or had more processes than it may. `oom`: the kernel ended it, because memory was short."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: by itself with `exit_code`, or by `signal`; the other is None.

    `cpu_s` and `max_rss_bytes` are those of all processes of the unit, also of killed ones. `wall_s` is by a
    monotonic clock that stops while the unit is paused, which was for `paused_s`. `max_rss_bytes` 0: unknown.
    `started_at` and `ended_at` are in seconds since 1970, by the computer's clock. `ended_for` None: the host
    did not end it by itself. `complaint`: why the unit failed, although its process may have succeeded.
    """

    exit_code: int | None
    signal: int | None
    cpu_s: float
    max_rss_bytes: int
    wall_s: float
    started_at: float
    ended_at: float
    paused_s: float = 0.0
    ended_for: EndedFor | None = None
    complaint: str | None = None


@dataclass(frozen=True, slots=True)
class CannotStart:
    """A process could not be started. `reason` is for the job's owner."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of a computer. Nothing runs until `until`, in seconds since 1970 by its clock.

    `by` is who wants it; None: the computer pauses by itself, for this `reason`.
    """

    until: float
    by: str | None = None
    reason: str = ""


P = TypeVar("P")
"""A place: the folder in which a unit runs, with everything that belongs to it."""
R = TypeVar("R")
"""A running unit: its process, and all processes below it."""
R_contra = TypeVar("R_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Kept(Generic[P, R]):
    """An attempt that an earlier runner has left. `built` is the place that its own began as a copy of.

    It may have ended meanwhile: then `Host.wait` returns at once. `started_at` is in seconds since 1970.
    """

    record: Record
    place: P
    built: P | None
    running: R
    started_at: float


@dataclass(frozen=True, slots=True)
class FoundBuild(Generic[P]):
    """The place of a build that the host has kept, and the batch for which it ran."""

    place: P
    of: BatchId


@dataclass(frozen=True, slots=True)
class SetAside:
    """What an attempt left that does not count, and where it lies until `until`, in seconds since 1970."""

    folder: str
    size_bytes: int
    until: float


class Command(Protocol):
    """A command that somebody runs in a job, beside its own processes. It ends with the job."""

    async def printed(self, room: int) -> tuple[bytes, bytes]:
        """Wait for what it prints. Returns `room` bytes at most, of its standard output and its errors.

        Nothing: it has ended, and there is no more. If this is cancelled, nothing is lost.
        """

    async def ended(self) -> tuple[int | None, int | None]:
        """Wait for its end. Returns its exit code, or the signal that ended it; the other is None.

        Raises `DistributeError` if it was lost.
        """

    def signal(self, number: int) -> None:
        """Send a signal to it, and to all that it started."""

    def close(self) -> None:
        """Forget it. Call this when it has ended."""


class Visits(Protocol[R_contra]):
    """What people see of jobs that run, and do in them.

    Methods raise `DistributeError` or `OSError`; the message is for the person.
    """

    async def list_files(self, running: R_contra, folder: str | None) -> FilesFound:
        """List what is in a folder of the job, as `ListFiles` has it."""

    async def read_files(
        self, running: R_contra, pieces: Sequence[Piece]
    ) -> tuple[Sequence[Got], Sequence[bytes]]:
        """Read parts of files, in order, as many as an answer may bring."""

    async def start_command(self, unit: Unit, running: R_contra, argv: Sequence[str]) -> Command:
        """Run a command in the job, with the job's environment, in its folder."""


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

    @property
    def visits(self) -> Visits[R]:
        """Its jobs that run, for people who look into them."""

    async def kept(self) -> Sequence[Kept[P, R]]:
        """The attempts of earlier runners that still run, or have ended and were not tidied up.

        Call this before `clear`. None survives a restart of the computer.
        """

    async def clear(self) -> None:
        """End processes and remove folders of earlier runs, except those of `kept`.

        Then wait until there is room for work, unless something was kept.
        """

    async def full(self) -> None:
        """Return once the computer has no room for any work. From then on, `stage` blocks until `clear`."""

    @property
    def paused(self) -> Pause | None:
        """The pause that holds now. People at the computer begin and end pauses, and each ends by itself."""

    async def pause(self, duration_s: float, *, by: str | None, reason: str) -> None:
        """Freeze all units, and those that are started meanwhile. Replaces an earlier pause.

        The host shortens a pause that is longer than this computer allows. Returns when no unit runs.
        Raises `DistributeError` or `OSError` if there can be no pause.
        """

    async def resume(self) -> None:
        """End the pause: the units go on."""

    async def pause_changed(self, known: Pause | None) -> None:
        """Return as soon as `paused` is not `known`."""

    async def stage(self, unit: Unit, built: P | None) -> P:
        """Make the unit's place: a copy of the place `built`, and the unit's own files.

        Waits while other units take the room that it needs.
        """

    async def find_build(self, unit: Unit) -> FoundBuild[P] | None:
        """The place of the same build, of an earlier batch. Returns None if the host has none.

        Like a place of `stage`, it belongs to the caller until it is removed.
        """

    async def keep_build(self, unit: Unit, place: P) -> None:
        """Keep the place of a build that has succeeded for `find_build`, also after it is removed.

        Call this before any attempt is staged from it.
        """

    def start(self, unit: Unit, place: P) -> R:
        """Have the unit's process started; if it can't be, `wait` says why.

        Its output goes to its place, and to `LiveOutput`.
        The host ends it at the time limit of its recipe, after the grace period, whether the runner lives or
        not, and warns it before. Time in which the unit is paused does not count. During a pause, it starts
        frozen.
        """

    async def wait(self, running: R) -> Exit | CannotStart:
        """Wait until the unit's process and all that it started have ended. Returns how the process ended.

        On a broken host, returns only after `kill`.
        """

    async def kill(self, running: R, *, thaw: bool = False, soon: bool = False) -> None:
        """End the unit's process and all below it, after the grace period of its recipe. Then `wait` returns.

        A unit that a pause holds has no grace period, unless `thaw`: then it runs for that. `soon`: the
        grace period is two seconds at most, also of a unit that is being ended already.
        From now on, the unit's time limit does not count. Also returns, and logs it, if some processes can't
        be killed.
        """

    def disown(self, place: P) -> None:
        """Forget the record of an attempt that is not this node's any more, so that nobody takes it up."""

    async def collect(self, unit: Unit, place: P) -> Outputs | None:
        """Send to the store what the unit left in its place. Returns None if it left and printed nothing."""

    def last_lines(self, place: P) -> tuple[str, ...]:
        """The last lines that the unit printed, cut to fit into an event. Never raises, and never waits."""

    async def set_aside(self, of: AttemptId, place: P) -> SetAside | None:
        """Keep for a while what an attempt left, although it does not count. Its place can be removed then.

        Returns None if it left and printed nothing.
        """

    async def remove(self, place: P) -> None:
        """Remove a place. Logs what can't be removed."""

    async def broken(self) -> None:
        """Return when the host has lost hold of all units. `clear` mends it, and ends their processes."""

    async def sample(self) -> Figures:
        """Measure the computer's load."""

    async def presence(self) -> Presence:
        """Find out who uses the computer besides its jobs. Call this every second or so."""
