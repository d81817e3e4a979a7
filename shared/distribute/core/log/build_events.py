"""The events about builds. `events` has them all, as one union."""

from __future__ import annotations

from typing import Literal

from distribute.core.files.manifest import Outputs
from distribute.core.log.event_base import BatchName, BuildEvent, Id, LastLines, Seconds, Text


class BuildStarted(BuildEvent):
    """The node builds a batch, before its first job there. `submission`: as `assigned` has it."""

    type: Literal["build_started"] = "build_started"
    v: Literal[2] = 2
    submission: Id | None = None


class BuildFinished(BuildEvent):
    """The build ended. `outputs` holds what it printed, `<batch>_build_output-<node>.txt`.

    `killed`: the node ended it, because its batch was killed or is over. This is no failure of the build.
    `last_lines`: as `finished` has them. `kept_from`: it did not run, because the node had kept the same
    build of this batch.
    """

    type: Literal["build_finished"] = "build_finished"
    v: Literal[2] = 2
    succeeded: bool
    killed: bool = False
    reason: Text | None = None
    last_lines: LastLines | None = None
    wall_s: Seconds = 0.0
    outputs: Outputs | None = None
    kept_from: BatchName | None = None


class BuildCollected(BuildEvent):
    """A person brought in how a build ended that ran elsewhere, and in `outputs` what it printed.

    This fits only a batch that has `ran_at`, by the person who submitted it. `node` is the computer on which
    it ran there, and `submission` the id of the batch's `submitted`. The rest is as `build_finished` has it.
    """

    type: Literal["build_collected"] = "build_collected"
    v: Literal[1] = 1
    submission: Id
    succeeded: bool
    reason: Text | None = None
    last_lines: LastLines | None = None
    wall_s: Seconds = 0.0
    outputs: Outputs | None = None
