"""What the archiver does with an event, with no I/O: the simulator runs this very code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from distribute.core import events as ev
from distribute.core.events import Append, Guard, Recorded
from distribute.core.ids import BatchId
from distribute.core.manifest import Manifest, Outputs, StoredObject

CONSUMED = frozenset({"finished", "build_finished", "deleted"})
"""The types of event the archiver wants."""

MISSING_AFTER = 3
"""So often, some ten seconds apart, the store must say that outputs are not there before it is believed.
Every chunk was acknowledged before the event that names it was written, so none of them is merely late."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one event asks of the archiver, in this order.

    Commit `objects` (and those of the manifest that `manifest` holds, where it is stored); delete the
    results of `delete` that were sent before `delete_before`, in seconds since 1970 by the log's clock;
    append `append`. All of it may be done twice, or when a batch of the same name has results already.
    """

    objects: tuple[StoredObject, ...] = ()
    manifest: StoredObject | None = None
    delete: BatchId | None = None
    delete_before: float = 0.0
    append: Append | None = None


@dataclass(slots=True)
class Absences:
    """How often the store has said that the outputs of an event are not there. One that can't be asked says
    nothing."""

    _said: dict[int, int] = field(default_factory=dict)

    def settled(self, seq: int) -> bool:
        """It says so of the event at this sequence once more. Is that to be believed by now?"""
        said = self._said.pop(seq, 0) + 1
        if said < MISSING_AFTER:
            self._said[seq] = said
        return said >= MISSING_AFTER


def without_outputs(task: Task, missing: str) -> Task:
    """What is left of a task whose outputs are gone for good: to say so, where anybody waits for them."""
    if task.append is None:
        return Task()
    event = task.append.event.model_copy(update={"missing": missing})
    return Task(append=Append(event, task.append.guard))


def task_of(recorded: Recorded, now: float, new_id: Callable[[], str]) -> Task:
    """What to do about an event. `now` is in seconds since 1970."""
    event = recorded.event
    match event:
        case ev.Finished():
            archived = ev.JobArchived(
                id=new_id(),
                time=datetime.fromtimestamp(now, UTC),
                author=ev.ARCHIVER,
                causation=event.id,
                namespace=event.namespace,
                batch=event.batch,
                job=event.job,
                attempt=event.attempt,
                node=event.node,
            )
            return _task(event.outputs, Append(archived, Guard(recorded.seq)))
        case ev.BuildFinished():
            return _task(event.outputs, None)
        case ev.Deleted():
            return Task(delete=event.scope, delete_before=recorded.time)
        case _:
            return Task()


def _task(outputs: Outputs | None, append: Append | None) -> Task:
    if outputs is None:
        return Task()  # it left nothing, and nobody waits for a word on it
    inline = outputs.inline or Manifest()
    return Task(objects=inline.objects, manifest=outputs.stored, append=append)
