"""What the shell tells the machine of the instructions that it carried out."""

from __future__ import annotations

from dataclasses import dataclass

from distribute.core.ids import BatchId
from distribute.core.manifest import Outputs
from distribute_services.node_runner.machine.attempts import Attempt, Ending


@dataclass(frozen=True, slots=True)
class Reported:
    """The event of the attempt is in the log, at `seq`."""

    attempt: Attempt
    seq: int


@dataclass(frozen=True, slots=True)
class Fenced:
    """The job moved on without this node: what the node did for it does not count."""

    attempt: Attempt


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
    """The attempt's process runs."""

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
    """The node-runner failed at a step of the attempt, by a fault of its own. Nothing of the attempt runs."""

    attempt: Attempt
    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing of the attempt is left, so what it held is free."""

    attempt: Attempt


Stimulus = Reported | Fenced | Loaded | LoadFailed | Built | Launched | Exited | Collected | Broke | Stopped
