"""Which batches wait for others, and how far those have come.

What a batch accepts depends on its own events alone (`fold_batch`), so this is kept beside the batches. Once
a batch that is waited for has ended as it should, it is waited for no more, whatever becomes of it then.
"""

from __future__ import annotations

from collections.abc import Iterator

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.spec.limits import After, Waits
from distribute.core.state.state import ENDED, BatchState, State

DELETED = "deleted"


def waiters_for(state: State, batch: BatchId) -> list[BatchId]:
    """The batches that wait for this one."""
    return [waiter for waiter, waits in state.waits.items() if batch in waits.left]


def fold_submission(state: State, batch: BatchState, time: float) -> None:
    """Note what a new batch waits for. A batch that ran elsewhere waits for nothing."""
    if not batch.limits.after or batch.ran_at is not None:
        return
    waits = state.waits[batch.id] = Waits()
    for after in batch.limits.after:
        end = _end_of(state, after)
        if not _is_met(after, end):
            waits.left[after.id] = end
    if not waits.left:
        waits.since = time


def fold_event(state: State, event: ev.BatchEvent, submissions: tuple[str, ...], time: float) -> None:
    """Note what an accepted event of a batch means for those that wait for one of its `submissions`."""
    batch_id = event.scope
    if isinstance(event, ev.Deleted):
        state.waits.pop(batch_id, None)
    for waiter in waiters_for(state, batch_id):
        waits, found = state.waits[waiter], state.find(waiter)
        afters = found.limits.after if found is not None else ()
        after = next((one for one in afters if one.id == batch_id), None)
        if after is None or after.submission not in submissions:
            continue
        match event:
            case ev.Completed():
                end: str | None = event.state
            case ev.RetryRequested():
                end = None
            case ev.Deleted():
                end = waits.left[batch_id] or DELETED
            case _:
                continue
        if _is_met(after, end):
            del waits.left[batch_id]
            if not waits.left:
                waits.since = time
        else:
            waits.left[batch_id] = end


def _end_of(state: State, after: After) -> str | None:
    """How the batch ended that is waited for; None: it is not over."""
    found = state.find(after.id)
    if found is None or after.submission not in found.submissions:
        return DELETED
    return found.end


def _is_met(after: After, end: str | None) -> bool:
    return end == "completed" or (end is not None and after.when == "any")


def why_doomed(state: State, batch: BatchState) -> str | None:
    """Why the batch will never begin: one that it waits for did not end as it should. None: it may begin."""
    waits = state.waits.get(batch.id)
    for name, end in waits.left.items() if waits is not None else ():
        if end is not None:
            return f"it was to run after {name}, which {_ENDED_AS[end]}"
    return None


_ENDED_AS: dict[str, str] = {"failed": "failed", "killed": "was killed", DELETED: "was deleted"}


def is_waiting(state: State, batch: BatchId) -> bool:
    """Does the batch wait for another one?"""
    waits = state.waits.get(batch)
    return waits is not None and bool(waits.left)


def able_since(state: State, batch: BatchState) -> float:
    """Since when the batch has held back no job of its own that waits."""
    waits = state.waits.get(batch.id)
    return batch.able_since if waits is None else max(batch.able_since, waits.since)


def waits_in_words(state: State, batch: BatchId) -> str:
    """For which batches it waits, and how far they are."""
    return ", and ".join(_parts(state, state.waits[batch]))


def _parts(state: State, waits: Waits) -> Iterator[str]:
    for name, end in waits.left.items():
        found = state.find(name)
        if end is not None or found is None:
            yield f"{name} {_ENDED_AS[end or DELETED]}"
            continue
        over = sum(found.counts[status] for status in ENDED)
        yield f"it waits for {name}, of which {over} of {sum(found.counts)} jobs are over"
