"""The events about nodes. `events` has them all, as one union."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from distribute.core.ids import AttemptId, Label, StoredAuthor
from distribute.core.log.event_base import Id, Kept, NodeEvent, Seconds, Text, Time
from distribute.core.spec.specs import MAX_CPUS, MAX_GPUS, Bytes, Capabilities


class Joined(NodeEvent):
    """A node-runner started, or is back. It still has the attempts that it `keeps`.

    `incarnation` is new with every start of the runner, `boot_id` with every start of the computer.
    `gpus` names each GPU, in order of index. `gpu_memory_bytes` is the memory of each; 0, or
    None, if it is unknown.
    """

    type: Literal["joined"] = "joined"
    v: Literal[2] = 2
    incarnation: Label
    boot_id: Label = ""
    keeps: Kept = ()
    capabilities: Capabilities
    cpus: int = Field(ge=1, le=MAX_CPUS)
    memory_bytes: Bytes
    gpus: Annotated[tuple[Label, ...], Field(max_length=MAX_GPUS, fail_fast=True)] = ()
    gpu_memory_bytes: Annotated[tuple[Bytes, ...], Field(max_length=MAX_GPUS, fail_fast=True)] | None = None
    version: Label


class Leaving(NodeEvent):
    """A node-runner is ending. It takes no new jobs, and will still report the attempts that it `keeps`.

    `incarnation` is that of its `joined`: another runner may have joined under this name meanwhile. None:
    older versions lack it.
    """

    type: Literal["leaving"] = "leaving"
    v: Literal[3] = 3
    incarnation: Label | None = None
    keeps: Kept


class Left(NodeEvent):
    """A node-runner has ended, with no attempts left. `incarnation`: as `leaving` has it."""

    type: Literal["left"] = "left"
    v: Literal[2] = 2
    incarnation: Label | None = None


class Lost(NodeEvent):
    """The scheduler heard nothing of the node for `silent_s` seconds.

    The node keeps its attempts until another node can take them. `causation` is the node's last event.
    """

    type: Literal["lost"] = "lost"
    v: Literal[1] = 1
    silent_s: Seconds


class Forgotten(NodeEvent):
    """A person wants a node that is gone for good not to be listed any more."""

    type: Literal["forgotten"] = "forgotten"
    v: Literal[1] = 1


class Listed(NodeEvent):
    """The nodes file of the head names the node, which can do this beside what it says itself.

    It need not have joined. Of what every node tries out (python3, apptainer), only its own word counts.
    `capabilities` None: the file no longer names it.
    """

    type: Literal["listed"] = "listed"
    v: Literal[1] = 1
    capabilities: Capabilities | None = None


class PauseRequested(NodeEvent):
    """A person wants the node to lend nothing until `until`, instead of any pause that it has."""

    type: Literal["pause_requested"] = "pause_requested"
    v: Literal[1] = 1
    until: Time
    reason: Text | None = None


class ResumeRequested(NodeEvent):
    """A person wants the node's pause to end."""

    type: Literal["resume_requested"] = "resume_requested"
    v: Literal[1] = 1


class Paused(NodeEvent):
    """The node lends nothing until `until` at the latest. It `keeps` these attempts frozen.

    `by` is who paused it; None: the node did so itself. `incarnation`: as `leaving` has it.
    """

    type: Literal["paused"] = "paused"
    v: Literal[3] = 3
    incarnation: Label | None = None
    until: Time
    reason: Text
    by: StoredAuthor | None = None
    keeps: Kept = ()


class Resumed(NodeEvent):
    """The node lends again. `incarnation`: as `leaving` has it."""

    type: Literal["resumed"] = "resumed"
    v: Literal[2] = 2
    incarnation: Label | None = None


class DrainRequested(NodeEvent):
    """A person wants the node to take no new jobs, until `until` if that is given."""

    type: Literal["drain_requested"] = "drain_requested"
    v: Literal[2] = 2
    reason: Text = ""
    until: Time | None = None


class Undrained(NodeEvent):
    """A person lets the node take jobs again. This also ends a quarantine."""

    type: Literal["undrained"] = "undrained"
    v: Literal[1] = 1


class Quarantined(NodeEvent):
    """The scheduler gives the node no new jobs until `until`: jobs that failed there succeeded elsewhere."""

    type: Literal["quarantined"] = "quarantined"
    v: Literal[2] = 2
    reason: Text
    until: Time


class Superseded(NodeEvent):
    """The node keeps what an attempt left in `folder` until `until`, and it does not count.

    The scheduler took the attempt back while the node was out of touch, so it runs elsewhere. `submission`
    is the id of the `submitted` of its batch. The node may remove the folder earlier, if its disk is full.
    """

    type: Literal["superseded"] = "superseded"
    v: Literal[1] = 1
    attempt: AttemptId
    submission: Id | None = None
    folder: Text
    size_bytes: Bytes
    until: Time
