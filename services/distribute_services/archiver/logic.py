"""What the archiver does with an event, with no I/O: the simulator runs this very code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from distribute.core import events as ev
from distribute.core.events import Append, Guard, Recorded
from distribute.core.ids import BatchId
from distribute.core.manifest import Manifest, Outputs, StoredObject

CONSUMED = frozenset({"finished", "build_finished", "deleted"})
"""The types of event the archiver wants."""


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
        return Task(append=append)
    inline = outputs.inline or Manifest()
    return Task(objects=inline.objects, manifest=outputs.stored, append=append)
