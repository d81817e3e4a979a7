"""The node's membership in the cluster: joining, leaving and joining again."""

from __future__ import annotations

from collections.abc import Iterable

from distribute.core.ids import AttemptId
from distribute.core.log import events as ev
from distribute.core.log.event_base import MAX_KEPT
from distribute.host import Capacity
from distribute_services.node_runner.machine.instructions import Announce, GiveWay, Instruction
from distribute_services.node_runner.machine.outbox import Author


class Membership:
    """Knows whether this node has joined, and makes the events about the node."""

    def __init__(
        self, author: Author, *, incarnation: str, boot_id: str, capacity: Capacity, version: str
    ) -> None:
        self.incarnation = incarnation
        self.is_leaving = False
        self._author = author
        self._boot_id = boot_id
        self._capacity = capacity
        self._version = version
        self._join_id = ""
        self._joined_seq: int | None = None

    @property
    def has_joined(self) -> bool:
        """Has the node read its last `joined` in the log?"""
        return self._joined_seq is not None

    def takes(self, assigned_seq: int) -> bool:
        """Does an assignment count? The scheduler releases those before the node's last `joined`."""
        return not self.is_leaving and self._joined_seq is not None and assigned_seq > self._joined_seq

    def joins_behind(self, seq: int) -> bool:
        """Does the node's last `joined` come behind this sequence?

        True while it is not in the log: the fold refuses what an earlier runner says after it.
        """
        return self._joined_seq is None or seq < self._joined_seq

    def join(self, keeps: Iterable[AttemptId], cause: str | None) -> list[Instruction]:
        """Announce the node, and the attempts that it still has."""
        self._joined_seq = None
        joined = ev.Joined(
            **self._author.stamp(cause),
            node=self._author.node,
            incarnation=self.incarnation,
            boot_id=self._boot_id,
            keeps=_kept(keeps),
            capabilities=self._capacity.capabilities,
            cpus=self._capacity.cpus,
            memory_bytes=self._capacity.memory_bytes,
            gpus=self._capacity.gpus,
            gpu_memory_bytes=self._capacity.gpu_memory_bytes or None,
            version=self._version,
        )
        self._join_id = joined.id
        return [Announce(joined)]

    def stored(self, seq: int, event: ev.Joined) -> None:
        """Call this when the broker has this node's `joined`, at sequence `seq`.

        If the log lost its end just before the node began to follow it, `seq` may lie before the place from
        which the node reads. So the node need not read the event.
        """
        if event.id == self._join_id:
            self._joined_seq = seq

    def heard(self, seq: int, event: ev.Joined) -> list[Instruction]:
        """Call this when a `joined` with this node's name comes from the log."""
        if event.id == self._join_id:
            self._joined_seq = seq
        elif self.has_joined and event.incarnation != self.incarnation:
            return [GiveWay()]
        return []

    def leave(self, keeps: Iterable[AttemptId], *, gives_back: bool = False) -> list[Instruction]:
        """Take no more work. If the node keeps attempts, or `gives_back` some, announce that now.

        Those that it does not keep can then begin elsewhere, however long their end takes here.
        """
        was_leaving, self.is_leaving = self.is_leaving, True
        kept = _kept(keeps)
        if was_leaving or not (kept or gives_back):
            return []
        leaving = ev.Leaving(
            **self._author.stamp(None), node=self._author.node, incarnation=self.incarnation, keeps=kept
        )
        return [Announce(leaving)]

    def left(self) -> list[Instruction]:
        """Announce that the node has left."""
        node, incarnation = self._author.node, self.incarnation
        return [Announce(ev.Left(**self._author.stamp(None), node=node, incarnation=incarnation))]


def _kept(attempts: Iterable[AttemptId]) -> tuple[AttemptId, ...]:
    return tuple(sorted(attempts))[:MAX_KEPT]
