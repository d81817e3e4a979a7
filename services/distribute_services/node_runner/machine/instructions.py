"""What the machine tells its shell to do. Each says which stimulus answers it (see `stimuli`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from distribute.core import events as ev
from distribute.core.ids import BatchId
from distribute.core.recorded import Append
from distribute_services.node_runner.machine.attempts import Attempt, Ending, SubmissionRef

if TYPE_CHECKING:
    from distribute_services.node_runner.machine.builds import BatchBuild

Speaker: TypeAlias = "Attempt | BatchBuild"
"""What the node appends events about."""


@dataclass(frozen=True, slots=True)
class Report:
    """Append this event. Answered by `Reported`, or by `Refused` if the guard did not hold."""

    of: Speaker
    append: Append


@dataclass(frozen=True, slots=True)
class Read:
    """Read all events of the attempt's or build's scope. Answered by `ScopeRead`."""

    of: Speaker


@dataclass(frozen=True, slots=True)
class Note:
    """Write this to the log of the process: a person may want to know. Not answered."""

    text: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Append this event about the node, behind whatever is its last one. Not answered."""

    event: ev.Event


@dataclass(frozen=True, slots=True)
class GiveWay:
    """Another node-runner joined under this node's name: end with an error that says so. Not answered."""


@dataclass(frozen=True, slots=True)
class Load:
    """Read what the batch is that was handed in by this submission. Answered by `Loaded` or `LoadFailed`."""

    batch: BatchId
    submission: SubmissionRef


@dataclass(frozen=True, slots=True)
class Build:
    """Build the batch. Answered by `Built`."""

    batch: BatchId


@dataclass(frozen=True, slots=True)
class Launch:
    """Make the attempt's place and run it. Answered by `Exited` or `Broke`, and by `Launched` before that if
    the process runs for longer than a moment."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Collect:
    """Upload what the attempt left. Answered by `Collected` or `Broke`."""

    attempt: Attempt
    ending: Ending


@dataclass(frozen=True, slots=True)
class Stop:
    """End whatever is done for the attempt and remove its place. Answered by `Stopped`."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Tidy:
    """Remove the place of an attempt that is over. Not answered."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Forget:
    """End whatever is done for the batch and remove what was built. Not answered."""

    batch: BatchId


WorkInstruction = Load | Build | Launch | Collect | Stop | Tidy | Forget
"""Carried out by `work`."""

Instruction = Report | Read | Announce | Note | GiveWay | WorkInstruction
