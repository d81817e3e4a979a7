"""What the shell tells the machine of the instructions that it carried out."""

from __future__ import annotations

from dataclasses import dataclass

from distribute.core.ids import BatchId
from distribute.core.manifest import Outputs
from distribute.core.recorded import Recorded
from distribute_services.node_runner.machine.attempts import Attempt, Ending
from distribute_services.node_runner.machine.instructions import Speaker


@dataclass(frozen=True, slots=True)
class Reported:
    """The event is in the log, at `seq`."""

    of: Speaker
    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The guard of the event did not hold. That alone does not say that the job was given away.

    `last_seq` is the sequence of the last message in the scope, which may be one that nobody can read;
    0 if it is not known.
    """

    of: Speaker
    last_seq: int


@dataclass(frozen=True, slots=True)
class ScopeRead:
    """The scope ends at `last_seq` (0: it is empty). `scope`: its events by the scheduler and this node."""

    of: Speaker
    scope: tuple[Recorded, ...]
    last_seq: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """It is known what the batch is."""

    batch: BatchId
    needs_build: bool


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """Nobody can tell what the batch is."""

    batch: BatchId
    reason: str


@dataclass(frozen=True, slots=True)
class Built:
    """The build ended. `outputs` is None if its output could not be stored."""

    batch: BatchId
    ending: Ending
    outputs: Outputs | None


@dataclass(frozen=True, slots=True)
class Launched:
    """The attempt's process runs, and is not one of those that end in a moment."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Exited:
    """The attempt's process ended, or could not be started."""

    attempt: Attempt
    ending: Ending


@dataclass(frozen=True, slots=True)
class Collected:
    """What the attempt left is in the results bucket."""

    attempt: Attempt
    ending: Ending
    outputs: Outputs | None


@dataclass(frozen=True, slots=True)
class Broke:
    """The node-runner failed at a step of the attempt, by a fault of its own. Nothing of the attempt runs.

    `started_at` is when its process had been started, in seconds since 1970; None: it had not.
    """

    attempt: Attempt
    reason: str
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing of the attempt is left, so what it held is free."""

    attempt: Attempt


Stimulus = (
    Reported
    | Refused
    | ScopeRead
    | Loaded
    | LoadFailed
    | Built
    | Launched
    | Exited
    | Collected
    | Broke
    | Stopped
)
