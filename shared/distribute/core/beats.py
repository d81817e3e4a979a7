"""Heartbeats: what nodes say of themselves every few seconds. No history, and so no events."""

from __future__ import annotations

from distribute.core.specs import Frozen


class Beat(Frozen):
    """A node's heartbeat: what it is doing. Not history: only the last one of a node is kept.

    `load` is the one-minute load average, `owner_idle_s` the seconds since a person touched the
    machine (None: can't be told), `running` the attempts that run, as `NAMESPACE/BATCH/JOB`.
    """

    node: str
    incarnation: str
    load: float
    cpu_percent: float = 0.0
    memory_available_bytes: int = 0
    disk_free_bytes: int = 0
    gpu_percent: tuple[float, ...] = ()
    owner_idle_s: float | None = None
    running: tuple[str, ...] = ()
