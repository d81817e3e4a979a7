"""Heartbeats, which nodes send every few seconds. They are not events, because nobody needs their history."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from distribute.core.ids import Label, StoredAuthor
from distribute.core.log.event_base import Kept
from distribute.core.spec.specs import MAX_GPUS, Bytes, Frozen

MAX_SOURCE = 200
"""Max. characters of `Beat.owner_source`, which may name devices."""

MAX_LACKS, MAX_REASON = 10, 400
"""Max. entries of `Beat.lacks`, and characters of each."""

Reason = Annotated[str, Field(max_length=MAX_REASON)]
Figure = Annotated[float, Field(ge=0, le=1e12)]


class Beat(Frozen):
    """A node's heartbeat: what it is doing. The cluster keeps only the last one of each node.

    `load` is the one-minute load average, `owner_idle_s` the seconds since a person touched the computer
    (None: nobody has, as far as the node can see), `owner_source` what shows that. `freezes_by` is how the
    node stops its jobs for a pause: `cgroup` or `signals`. `build_copies` is how jobs get theirs: `overlay`,
    `bind` or `copy`. `lacks` says why it does not have a capability that it looked for. No job begins unless
    `disk_needed_bytes` of its disk are free. `running` names every attempt that the node has.
    Fields that a newer node adds are ignored.
    """

    model_config = ConfigDict(extra="ignore")

    node: StoredAuthor
    incarnation: Label
    load: Figure
    cpu_percent: Figure = 0.0
    memory_available_bytes: Bytes = 0
    disk_free_bytes: Bytes = 0
    gpu_percent: Annotated[tuple[Figure, ...], Field(max_length=MAX_GPUS)] = ()
    owner_idle_s: Figure | None = None
    owner_source: Annotated[str, Field(max_length=MAX_SOURCE)] = ""
    freezes_by: Annotated[str, Field(max_length=MAX_SOURCE)] = ""
    build_copies: Annotated[str, Field(max_length=MAX_SOURCE)] = ""
    lacks: Annotated[dict[Label, Reason], Field(max_length=MAX_LACKS)] = Field(default_factory=dict)
    disk_needed_bytes: Bytes = 0
    running: Kept = ()
