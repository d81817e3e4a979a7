"""What an edit would change, for the person who wants it, before it is in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distribute.core.folding.edits import changed_rows, changes_jobs, edited_groups, edited_shape
from distribute.core.log.change_events import Edited
from distribute.core.state.state import ENDED, IN_FLIGHT, BatchState, Shape, State, Status
from distribute.core.views.views import match_shapes


def edit_view(
    state: State, batch: BatchState, jobs: list[str] | None, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """What an edit of `jobs`, or of all if that is None, would do to the batch as it stands.

    `waiting` jobs change; those `in_flight` or `over` keep what they have. `unknown` names no job of the
    batch. `needs` is how many different needs its jobs would have. `match` says, as `match_view` does, which
    nodes could run the jobs that would ask for something else. `lack_cpus`: so many of those that change take
    a whole node, and the edit gives them memory or GPUs, and no number of cpus.

    Raises:
        ValueError: there can be no such edit.
    """
    edit = Edited.model_validate(_STAMP | {**batch.id._asdict(), "jobs": jobs} | dict(changes))
    known = batch.names if jobs is None else [name for name in dict.fromkeys(jobs) if name in batch.rows]
    statuses = [Status(batch.status[batch.rows[name]]) for name in known]
    is_changed = changed_rows(batch, jobs)
    groups = edited_groups(batch, edit) if changes_jobs(edit) else batch.groups
    changed = [group for group in groups if is_changed.find(1, group.start, group.stop) >= 0]
    wants_share = edit.cpus is None and (edit.memory_bytes is not None or edit.gpus is not None)
    return {
        "waiting": is_changed.count(1),
        "in_flight": sum(status in IN_FLIGHT for status in statuses),
        "over": sum(status in ENDED for status in statuses),
        "unknown": [name for name in jobs or () if name not in batch.rows],
        "needs": len({(group.shape, group.retries, group.timeout_s) for group in groups}),
        "match": match_shapes(state, _new_shapes(batch, is_changed, edit)),
        "lack_cpus": sum(
            is_changed.count(1, group.start, group.stop)
            for group in changed
            if wants_share and group.shape.whole_node
        ),
    }


def _new_shapes(batch: BatchState, is_changed: bytes | bytearray, edit: Edited) -> list[Shape]:
    """What jobs would ask for after the edit, and did not before."""
    waiting = (group.shape for group in batch.groups if is_changed.find(1, group.start, group.stop) >= 0)
    after = ((shape, edited_shape(shape, edit)) for shape in dict.fromkeys(waiting))
    return list(dict.fromkeys(new for old, new in after if new != old))


_STAMP = {"id": "0", "time": "2000-01-01T00:00:00Z", "author": "nobody"}
"""What an event has beside its words."""
