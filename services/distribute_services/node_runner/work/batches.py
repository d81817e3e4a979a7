"""The batches that a node has jobs of: read from the log once, kept while they last."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from distribute.core.events import Submitted
from distribute.core.ids import BatchId
from distribute.core.recipe import Recipe, build_of, recipe_of
from distribute.core.specs import BatchSpec, Job
from distribute.ports import EventLog


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch's specification, with its jobs by name."""

    spec: BatchSpec
    jobs: dict[str, Job]

    @property
    def id(self) -> BatchId:
        return self.spec.id

    @property
    def needs_build(self) -> bool:
        return self.spec.needs_build

    @property
    def build(self) -> Recipe | None:
        """What the batch's build is; None if it has none."""
        return build_of(self.spec)

    def recipe(self, job: str) -> Recipe | None:
        """What a job is; None if the batch has no job of this name."""
        found = self.jobs.get(job)
        return recipe_of(self.spec, found) if found is not None else None


class Batches:
    """The specifications in use."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._batches: dict[BatchId, Batch] = {}

    def __getitem__(self, batch_id: BatchId) -> Batch:
        return self._batches[batch_id]

    async def load(self, batch_id: BatchId) -> Batch:
        """What was submitted last under this name. Raises `KeyError` where nothing was, or it is deleted."""
        recorded, deleted = await asyncio.gather(
            self._log.last(batch_id, "submitted"), self._log.last(batch_id, "deleted")
        )
        if recorded is None or not isinstance(recorded.event, Submitted):
            raise KeyError(batch_id)
        if deleted is not None and deleted.seq > recorded.seq:
            raise KeyError(batch_id)
        spec = recorded.event.spec
        batch = self._batches[batch_id] = Batch(spec, {job.name: job for job in spec.work.jobs})
        return batch

    def forget(self, batch_id: BatchId) -> None:
        self._batches.pop(batch_id, None)
