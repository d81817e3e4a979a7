"""What the machine tells its shell to do. Each says which stimulus answers it (see `stimuli`)."""

from __future__ import annotations

from dataclasses import dataclass

from distribute.core import events as ev
from distribute.core.events import Append
from distribute.core.ids import BatchId
from distribute_services.node_runner.machine.attempts import Attempt, Ending


@dataclass(frozen=True, slots=True)
class Report:
    """Append this event of an attempt. Answered by `Reported`, or by `Fenced` if the guard did not hold."""

    attempt: Attempt
    append: Append


@dataclass(frozen=True, slots=True)
class Announce:
    """Append this event about the node, behind whatever is its last one. Not answered."""

    event: ev.Event


@dataclass(frozen=True, slots=True)
class GiveWay:
    """Another node-runner joined under this node's name: end with an error that says so. Not answered."""


@dataclass(frozen=True, slots=True)
class Load:
    """Read what the batch is. Answered by `Loaded` or `LoadFailed`."""

    batch: BatchId


@dataclass(frozen=True, slots=True)
class Build:
    """Build the batch. Answered by `Built`."""

    batch: BatchId


@dataclass(frozen=True, slots=True)
class Launch:
    """Make the attempt's place and run it. Answered by `Launched`, then `Exited`; or by `Broke`."""

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

Instruction = Report | Announce | GiveWay | WorkInstruction
