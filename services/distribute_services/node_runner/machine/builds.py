"""The builds of batches at this node: each batch is loaded once, built once if it has a build, then ready.

LOADING ─▶ BUILDING ─▶ READY      (no build: LOADING ─▶ READY)
                  └──▶ FAILED     (a person's retry makes the batch unknown again)
"""

from __future__ import annotations

from enum import Enum, auto

from distribute.core.ids import BatchId
from distribute_services.node_runner.machine.instructions import Build, Forget, Load


class BuildPhase(Enum):
    """How far a batch is at this node."""

    LOADING = auto()
    BUILDING = auto()
    READY = auto()
    FAILED = auto()


class Builds:
    """The phase of every batch that this node knows. Methods return what is to be done, if anything."""

    def __init__(self) -> None:
        self._phases: dict[BatchId, BuildPhase] = {}

    def wanted(self, batch: BatchId) -> list[Load]:
        """An attempt of the batch is here."""
        if batch in self._phases:
            return []
        self._phases[batch] = BuildPhase.LOADING
        return [Load(batch)]

    def loaded(self, batch: BatchId, needs_build: bool) -> list[Build]:
        """It is known what the batch is."""
        if self._phases.get(batch) is not BuildPhase.LOADING:
            return []
        self._phases[batch] = BuildPhase.BUILDING if needs_build else BuildPhase.READY
        return [Build(batch)] if needs_build else []

    def load_failed(self, batch: BatchId) -> bool:
        """Nobody can tell what the batch is. False if this node does not ask any more."""
        if self._phases.get(batch) is not BuildPhase.LOADING:
            return False
        del self._phases[batch]
        return True

    def built(self, batch: BatchId, succeeded: bool) -> bool:
        """The build ended. False if this node does not want it any more."""
        if self._phases.get(batch) is not BuildPhase.BUILDING:
            return False
        self._phases[batch] = BuildPhase.READY if succeeded else BuildPhase.FAILED
        return True

    def retry(self, batch: BatchId, is_wanted: bool) -> list[Load]:
        """If the batch's build failed, it may be tried again: now, if attempts wait for it."""
        if self._phases.get(batch) is not BuildPhase.FAILED:
            return []
        del self._phases[batch]
        return self.wanted(batch) if is_wanted else []

    def is_ready(self, batch: BatchId) -> bool:
        """Whether attempts of the batch can start."""
        return self._phases.get(batch) is BuildPhase.READY

    def forget(self, batch: BatchId) -> list[Forget]:
        """The batch is over."""
        return [Forget(batch)] if self._phases.pop(batch, None) is not None else []

    def forget_all(self) -> list[Forget]:
        """The node is leaving."""
        return [forgotten for batch in list(self._phases) for forgotten in self.forget(batch)]
