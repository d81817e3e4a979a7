"""Stimuli: the shell's reports to the machine about the instructions that it carried out."""

from __future__ import annotations

from dataclasses import dataclass

from distribute.core.files.manifest import Outputs
from distribute.core.ids import AttemptId, BatchId
from distribute.core.log.recorded import Recorded
from distribute.host import Pause, SetAside
from distribute_services.node_runner.machine.attempts import Attempt, Ending
from distribute_services.node_runner.machine.instructions import AttemptOrBuild


@dataclass(frozen=True, slots=True)
class Reported:
    """The event is in the log, at `seq`."""

    of: AttemptOrBuild
    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The guard of the event did not hold. That alone does not mean that the job was released.

    `last_seq` is the sequence of the last message in the scope, which may be unreadable; 0 if it is unknown.
    """

    of: AttemptOrBuild
    last_seq: int


@dataclass(frozen=True, slots=True)
class ScopeRead:
    """The scope ends at `last_seq` (0: it is empty). `scope`: its events by the scheduler and this node."""

    of: AttemptOrBuild
    scope: tuple[Recorded, ...]
    last_seq: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What the fold has of a batch's name by the event at `seq`.

    `running`: the submissions of the batch that goes on under it; none if it is over. `has`: the attempts of
    this node that count.
    """

    batch: BatchId
    seq: int
    running: frozenset[str]
    has: frozenset[AttemptId]

    def lets_go(self, attempt: Attempt) -> bool:
        """Is the attempt of a batch that is over, and refused by the fold?"""
        goes_on = bool(self.running) and attempt.submission.id in {None, *self.running}
        return attempt.assigned_seq <= self.seq and not goes_on and attempt.id not in self.has


@dataclass(frozen=True, slots=True)
class Loaded:
    """The batch was read."""

    batch: BatchId
    needs_build: bool


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The batch can't be read."""

    batch: BatchId
    reason: str


@dataclass(frozen=True, slots=True)
class Built:
    """The build ended. `outputs` is None if its output could not be stored.

    `kept_from`: it did not run, because the node had kept the same build of this batch.
    """

    batch: BatchId
    ending: Ending
    outputs: Outputs | None
    kept_from: BatchId | None = None


@dataclass(frozen=True, slots=True)
class Launched:
    """The attempt's process has run for longer than a moment."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Exited:
    """The attempt's process ended, or could not be started."""

    attempt: Attempt
    ending: Ending


@dataclass(frozen=True, slots=True)
class Collected:
    """The attempt's outputs are in the results bucket."""

    attempt: Attempt
    ending: Ending
    outputs: Outputs | None


@dataclass(frozen=True, slots=True)
class Broke:
    """A step of the attempt failed by a fault of the node-runner. Its process has ended.

    `started_at` is when its process was started, in seconds since 1970; None: it was not.
    """

    attempt: Attempt
    reason: str
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt's process and place are gone, so its share of the node is free.

    `left`: what it left, if that is kept for people.
    """

    attempt: Attempt
    left: SetAside | None = None


Result = (
    Reported
    | Refused
    | ScopeRead
    | Judged
    | Loaded
    | LoadFailed
    | Built
    | Launched
    | Exited
    | Collected
    | Broke
    | Stopped
)
"""The result of an instruction about an attempt or a build."""


@dataclass(frozen=True, slots=True)
class PauseChanged:
    """How this computer is paused now; None: it is not. Comes without being asked, too.

    `answers` is the id of the request that was carried out, or could not be.
    """

    pause: Pause | None
    answers: str | None = None


Stimulus = Result | PauseChanged
