"""Inputs in the simulated world: people send them with batches, and they must be there until those go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.spec.named_inputs import files_of
from distribute.core.spec.specs import BatchSpec, InputFile
from distribute.core.state.packed import ClosedBatch
from distribute.core.state.state import BatchState

from .stories import require

if TYPE_CHECKING:
    from .people import Visit
    from .world import World

CHECK_EVERY_S = 1.0


def input_file(name: str) -> InputFile:
    """A file that contains its name."""
    content = name.encode()
    return InputFile(alias=name, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


class Inputs:
    """What people have sent, and which batches need it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._files = world.broker.files
        self._sending: dict[BatchId, list[tuple[float, Visit]]] = {}
        """Who submits a batch, and since when, by the broker's clock."""
        self._needed: dict[str, frozenset[str]] = {}
        """What a submission needs, by its id. Of those who took too long, nothing is known."""
        self._there: set[str] = set()
        world.broker.on_append.append(self._appended)

    def of(self, visit: Visit, spec: BatchSpec) -> dict[str, Path]:
        """The contents of a batch's inputs. The person sends them now."""
        files = {file.sha256: file for file in files_of(spec)}
        if not files:
            return {}
        if not self._sending:
            self._look()
        self._sending.setdefault(spec.id, []).append((self._world.broker.clock, visit))
        folder = self._world.new_folder()
        for sha256, file in files.items():
            (folder / sha256).write_text(file.alias)
        return {sha256: folder / sha256 for sha256 in files}

    def _appended(self, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, ev.Submitted):
            began = [at for at, visit in self._sending.get(event.scope, ()) if visit.alive]
            if began and recorded.time - min(began) < self._world.scenario.inputs_keep_s:
                self._needed[event.id] = frozenset(file.sha256 for file in files_of(event.spec))

    def _look(self) -> None:
        self._check()
        self._world.loop.after(CHECK_EVERY_S, self._look)

    def _check(self) -> None:
        """What a batch needs that may run is there, unless the log has lost something of the batch."""
        truth = self._world.truth
        batches: list[BatchState | ClosedBatch] = [
            *truth.state.batches.values(),
            *truth.state.packed.values(),
        ]
        for batch in batches:
            if batch.id not in truth.forgotten:
                self._require(batch.id, batch.submissions)
        truth.happened["an input is removed"] += len(self._there - self._files.inputs.keys())
        self._there = set(self._files.inputs)

    def _require(self, batch: BatchId, submissions: Iterable[str]) -> None:
        for submission in submissions:
            lost = self._needed.get(submission, frozenset()) - self._files.inputs.keys()
            require(not lost, f"{batch} needs inputs that the store has lost: {sorted(lost)}")
