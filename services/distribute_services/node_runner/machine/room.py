"""Does a share of this node fit into what it lends?"""

from __future__ import annotations

from collections.abc import Collection

from distribute.core.spec.recipe import Share
from distribute.host import Capacity


def could_hold(capacity: Capacity, share: Share) -> bool:
    """Is the share a part of what this node lends?"""
    return (
        share.cpus <= capacity.cpus
        and share.memory_bytes <= capacity.memory_bytes
        and set(share.gpus) <= set(range(len(capacity.gpus)))
    )


def has_room_for(capacity: Capacity, wanted: Share, busy: Collection[Share]) -> bool:
    """Does the share fit beside those that are in use?"""
    gpus = {gpu for share in busy for gpu in share.gpus}
    cpus = sum(share.cpus for share in busy) + wanted.cpus
    memory_bytes = sum(share.memory_bytes for share in busy) + wanted.memory_bytes
    return cpus <= capacity.cpus and memory_bytes <= capacity.memory_bytes and gpus.isdisjoint(wanted.gpus)
