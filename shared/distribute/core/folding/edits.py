"""A person's edit of a batch: what its waiting jobs ask for, and how it limits itself.

Jobs with equal needs stand side by side in a group. A job keeps its row, so an edit of some splits groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from distribute.core.log.change_events import Edited
from distribute.core.state.columns import NO_ROW
from distribute.core.state.last_job import are_others_over, run_last_again
from distribute.core.state.state import QUEUED, RETRYING, BatchState, Edit, Group, Shape
from distribute.core.words import counted, format_duration, format_size

_IS_WAITING = bytes(status in {QUEUED, RETRYING} for status in range(256))
_NEEDS = attrgetter("shape", "retries", "timeout_s")


def edit(batch: BatchState, time: float, event: Edited) -> str | None:
    """Fold an edit into its batch. Returns why it does not fit, or None."""
    if batch.end is not None:
        return "the batch is over"
    if batch.ran_at is not None:
        return f"the batch ran at {batch.ran_at}, and nothing here runs it"
    if changes_jobs(event):
        before = {group.shape for group in batch.groups}
        batch.groups = edited_groups(batch, event)
        if not before.issuperset(group.shape for group in batch.groups):
            # Nobody has waited for what they ask for now. Else an edit would make an old batch overdue.
            batch.able_since = max(batch.able_since, time)
    _limit(batch, time, event)
    batch.edited = Edit(event.author, time)
    return None


def changes_jobs(event: Edited) -> bool:
    """Does the edit change what jobs ask for?"""
    of_a_job = (event.cpus, event.memory_bytes, event.gpus, event.timeout_s, event.retries)
    return any(value is not None for value in of_a_job)


def edit_in_words(event: Edited) -> str:
    """What the edit changes: `8 cpus, 16G of memory, a timeout of 2h`."""
    parts = (
        event.cpus is not None and counted(event.cpus, "cpu"),
        event.memory_bytes is not None and f"{format_size(event.memory_bytes)} of memory",
        event.gpus is not None and counted(event.gpus, "GPU"),
        event.timeout_s is not None
        and (f"a timeout of {format_duration(event.timeout_s)}" if event.timeout_s else "no timeout"),
        event.retries is not None and counted(event.retries, "retry", "retries"),
        event.max_running is not None and f"max_running {event.max_running or 'none'}",
        event.max_failures is not None and f"max_failures {event.max_failures or 'none'}",
    )
    return ", ".join(part for part in parts if part)


def edited_shape(shape: Shape, event: Edited) -> Shape:
    """A job's needs after an edit. A whole node stays one unless the edit says how many cpus."""
    if shape.whole_node and event.cpus is None:
        return shape
    gpus = shape.gpus if event.gpus is None else event.gpus
    return shape._replace(
        cpus=shape.cpus if event.cpus is None else event.cpus,
        memory_bytes=shape.memory_bytes if event.memory_bytes is None else event.memory_bytes,
        gpus=gpus,
        gpu_kind=shape.gpu_kind if gpus else None,
    )


def changed_rows(batch: BatchState, jobs: Iterable[str] | None) -> bytes | bytearray:
    """A byte for each row: 1 if an edit of `jobs` (None: of all) changes it, because the job waits.

    An edit may name jobs that the batch lacks: who reads one job alone folds a batch of only that job.
    """
    waiting = batch.status.translate(_IS_WAITING)
    if jobs is None:
        return waiting
    named = bytearray(len(waiting))
    for name in jobs:
        if (row := batch.rows.get(name)) is not None:
            named[row] = waiting[row]
    return named


def edited_groups(batch: BatchState, event: Edited) -> tuple[Group, ...]:
    """The groups after an edit: each run of rows that it changes has the new needs, others the old ones."""
    is_changed = changed_rows(batch, event.jobs)
    made: list[Group] = []
    for group in batch.groups:
        row = group.start
        if is_changed.find(1, row, group.stop) == NO_ROW:
            _append(made, group, batch.last_row)
            continue
        needs = (group, _edited(group, event))
        while row < group.stop:
            kind = is_changed[row]
            end = is_changed.find(1 - kind, row, group.stop)
            stop = group.stop if end == NO_ROW else end
            _append(made, needs[kind]._replace(start=row, stop=stop), batch.last_row)
            row = stop
    return tuple(made)


def _edited(group: Group, event: Edited) -> Group:
    return group._replace(
        shape=edited_shape(group.shape, event),
        retries=group.retries if event.retries is None else event.retries,
        timeout_s=group.timeout_s if event.timeout_s is None else event.timeout_s,
    )


def _append(groups: list[Group], group: Group, last_row: int | None) -> None:
    """Append a group, as a part of the one before if that has the same needs. The last job stays alone."""
    if groups and group.start != last_row and _NEEDS(groups[-1]) == _NEEDS(group):
        groups[-1] = groups[-1]._replace(stop=group.stop)
    else:
        groups.append(group)


def _limit(batch: BatchState, time: float, event: Edited) -> None:
    """Change how the batch limits itself. By that, the last job may begin, or wait for others again."""
    if event.max_running is None and event.max_failures is None:
        return
    were_others_over = batch.limits.has_last_job and are_others_over(batch)
    limits = batch.limits
    if event.max_running is not None:
        limits = limits._replace(max_running=event.max_running or None)
        before, now = batch.loosest_max_running, limits.max_running
        batch.loosest_max_running = None if before is None or now is None else max(before, now)
    if event.max_failures is not None:
        limits = limits._replace(max_failures=event.max_failures or None)
    batch.limits = limits
    batch.able_since = time  # until now it may have waited for itself
    if were_others_over:
        run_last_again(batch)
