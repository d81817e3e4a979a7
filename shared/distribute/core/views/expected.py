"""A node that the head lists, and that never joined: its view, and what it may have beside that."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

_DETECTED = re.compile(r"gpu|apptainer|python3(\.[0-9]+)?")

_NOTHING_KNOWN: Json = {
    "node": "", "state": "", "capabilities": [], "listed": [], "cpus": 0, "cpus_free": 0, "memory_bytes": 0,
    "gpus": [], "gpu_memory_bytes": [], "running": 0, "building": [], "load": None, "owner_idle_s": None,
    "version": "", "paused_until": None, "paused_by": None, "drained_until": None, "drained_by": None,
    "quarantined_until": None,
    "reason": "no node of this name has joined yet", "heard_at": None,
}  # fmt: skip
NOTHING_MORE: Json = {
    "memory_free_bytes": 0, "gpus_used": [], "cpu_percent": None, "owner_source": None, "freezes_by": None,
    "build_copies": None, "lacks": {}, "memory_available_bytes": None, "disk_free_bytes": None,
    "disk_needed_bytes": None, "gpu_percent": None, "built": 0, "jobs": [],
    "more_jobs": 0,
}  # fmt: skip
"""What `node_view` has beside them."""


def expected_node(name: str, capabilities: frozenset[str]) -> Json:
    """Only its name and capabilities are known."""
    can = sorted(capabilities)
    return _NOTHING_KNOWN | {"node": name, "state": "expected", "capabilities": can, "listed": can}


def detected(capabilities: Iterable[str]) -> frozenset[str]:
    """Those of the capabilities that a node finds out by itself: whether it has them is not known before."""
    return frozenset(name for name in capabilities if _DETECTED.fullmatch(name))
