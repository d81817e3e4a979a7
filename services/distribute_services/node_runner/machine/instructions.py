"""The machine's instructions to its shell. Each docstring names the answering stimulus (see `stimuli`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Append
from distribute_services.node_runner.machine.attempts import Attempt, Ending, SubmissionRef

if TYPE_CHECKING:
    from distribute_services.node_runner.machine.builds import BatchBuild

AttemptOrBuild: TypeAlias = "Attempt | BatchBuild"
"""An attempt or a build: what the node appends events about."""


@dataclass(frozen=True, slots=True)
class Report:
    """Append this event. Answered by `Reported`, or by `Refused` if the guard did not hold."""

    of: AttemptOrBuild
    append: Append


@dataclass(frozen=True, slots=True)
class Read:
    """Read all events of the attempt's or build's scope. Answered by `ScopeRead`."""

    of: AttemptOrBuild


@dataclass(frozen=True, slots=True)
class Judge:
    """Fold the batch if the log says that it is over. Then it is answered by `Judged`."""

    batch: BatchId


@dataclass(frozen=True, slots=True)
class Note:
    """Write this to the log of the process, for people. Not answered."""

    text: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Append this event about the node, behind the last one in its scope. Not answered."""

    event: ev.Event


@dataclass(frozen=True, slots=True)
class GiveWay:
    """End with an error: another node-runner joined with this node's name. Not answered."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause this computer for `duration_s` seconds, as `by` asked. Answered by `PauseChanged`.

    `request` is the id of the event by which they did.
    """

    duration_s: float
    by: str
    reason: str
    request: str


@dataclass(frozen=True, slots=True)
class Resume:
    """End the pause of this computer, as the event with the id `request` asks. Answered by `PauseChanged`."""

    request: str


@dataclass(frozen=True, slots=True)
class Load:
    """Read the batch's specification. Answered by `Loaded` or `LoadFailed`."""

    batch: BatchId
    submission: SubmissionRef


@dataclass(frozen=True, slots=True)
class Build:
    """Build the batch. Answered by `Built`."""

    batch: BatchId


@dataclass(frozen=True, slots=True)
class Launch:
    """Make the attempt's place and run it. Answered by `Exited` or `Broke`.

    If the process runs for longer than a moment, `Launched` comes before that.
    """

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Wait for the process that an earlier runner started for the attempt. Answered as `Launch`."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class End:
    """End the attempt's process, after a grace period, for this reason; keep its place.

    `thaw`: it has the grace period even if a pause holds it. Answered, like `Launch`, by `Exited` or `Broke`.
    """

    attempt: Attempt
    reason: str
    thaw: bool = False


@dataclass(frozen=True, slots=True)
class EndBuild:
    """End the batch's build for this reason; keep what it printed. Answered, like `Build`, by `Built`."""

    batch: BatchId
    reason: str


@dataclass(frozen=True, slots=True)
class Collect:
    """Upload what the attempt left. Answered by `Collected` or `Broke`."""

    attempt: Attempt
    ending: Ending


@dataclass(frozen=True, slots=True)
class Stop:
    """End the task and process of the attempt, and remove its place. Answered by `Stopped`.

    `sets_aside`: keep what it left, for people. Another node got its job meanwhile.
    """

    attempt: Attempt
    sets_aside: bool = False


@dataclass(frozen=True, slots=True)
class Tidy:
    """Remove the place of an attempt that is over. Not answered."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Forget:
    """End the task and process of the batch's build, and remove its place. Not answered."""

    batch: BatchId


WorkInstruction = Load | Build | EndBuild | Launch | TakeUp | End | Collect | Stop | Tidy | Forget
"""Carried out by `work`."""

Instruction = Report | Read | Judge | Announce | Note | GiveWay | Pause | Resume | WorkInstruction


def append_next(of: AttemptOrBuild) -> list[Instruction]:
    """Append the next event of the outbox, unless the scope is busy or there is none."""
    append = of.outbox.next()
    return [Report(of, append)] if append is not None else []


def read_scope(of: AttemptOrBuild) -> list[Instruction]:
    """Read the scope, now or as soon as it is not busy."""
    return [Read(of)] if of.outbox.begin_reading() else []
