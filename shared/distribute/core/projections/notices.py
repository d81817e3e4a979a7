"""What a person is told of a batch, and which events give reason to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.notified import News
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import FAILED, NO_EXIT_CODE, BatchState, NodeState, State
from distribute.core.state.statuses import rows_with
from distribute.core.telling.listing import batch_document

Json = dict[str, Any]

MOST_FAILURES = 5
"""So many failed jobs, and failed builds, are named with what they printed last."""

ONCE: frozenset[News] = frozenset({"build_failure", "first_failure", "start"})
"""What is told once of each submission, however often the batch is retried."""

LASTING = frozenset({"completed", "kill_requested"})
"""The types of events that give reason to tell something, as the state of the batch still shows later."""

_OF_BATCH = (
    "namespace", "batch", "user", "state", "reason", "killed_by", "submitted_at", "finished_at", "jobs",
)  # fmt: skip
"""The keys of `status --json` that the facts of a notice have, too."""
_TYPES = LASTING | {"build_finished", "started", "finished"}
_KEY_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell the person of a batch.

    `key` is the same whenever this is derived again. `seq` is that of the event that gave reason, and `cause`
    its id. `submitted_seq` and `submission` are those of the batch. `facts` is JSON (docs/notifications.md).
    """

    key: str
    news: News
    seq: int
    cause: str
    batch: BatchId
    submission: str
    submitted_seq: int
    user: str
    matrix_user: str | None
    facts: Mapping[str, Any]


def key_of(*parts: str) -> str:
    """A key that other parts don't have."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_KEY_CHARACTERS]


def notices_of(state: State, recorded: Recorded) -> Iterator[Notice]:
    """What an event that the fold has just accepted gives to tell. `state` is as of that event.

    Batches that ran elsewhere give nothing: the person who brings them in is there.
    """
    event = recorded.event
    if event.type not in _TYPES:
        return
    assert not isinstance(event, ev.NodeEvent), "none of these types is about a node"
    batch = state.batch_of(event)
    if batch is None or batch.ran_at is not None:
        return
    match event:
        case ev.Completed():
            yield _notice(state, batch, "end", recorded)
        case ev.KillRequested() if _is_killed_by_another(batch, recorded):
            yield _notice(state, batch, "kill", recorded)
        case ev.BuildFinished() if event.node in batch.build_failed and not event.succeeded:
            yield _notice(state, batch, "build_failure", recorded)
        case ev.Started():
            yield from _asked_for(state, batch, "start", recorded)
        case ev.Finished():
            if event.started_at is not None or event.exit_code is not None:
                yield from _asked_for(state, batch, "start", recorded)
            if batch.status[batch.rows[event.job]] == FAILED:
                yield from _asked_for(state, batch, "first_failure", recorded)
        case _:
            pass


def still_shown(state: State, batch: BatchState, recorded: Recorded) -> Iterator[Notice]:
    """What an earlier event of the types `LASTING` gives to tell, if it still holds.

    It does not if it was refused, or the batch was retried since.
    """
    event = recorded.event
    if batch.ran_at is not None or batch.seq > recorded.seq:
        return
    if isinstance(event, ev.Completed) and batch.end is not None and batch.finished_at == recorded.time:
        yield _notice(state, batch, "end", recorded)
    elif batch.end is None and _is_killed_by_another(batch, recorded):
        yield _notice(state, batch, "kill", recorded)


def standing(state: State, batch: BatchState) -> Iterator[Notice]:
    """What is told once of a batch that is not over, and may have been told before, as the batch stands."""
    if batch.end is not None or batch.ran_at is not None:
        return
    if batch.build_failed:
        yield _notice(state, batch, "build_failure", None)
    if "start" in batch.notify and len(batch.outcomes.node) + len(batch.active):
        yield _notice(state, batch, "start", None)
    if "first_failure" in batch.notify and batch.counts[FAILED]:
        yield _notice(state, batch, "first_failure", None)


def core_hours(batch: BatchState, nodes: Mapping[str, NodeState]) -> float:
    """The cores that the jobs' last attempts had, times their wall time, in hours.

    A job that had a whole node had as many cores as the node has now; of a node that is gone we count one.
    """
    outcomes = batch.outcomes
    if not len(outcomes.node):
        return 0.0
    core_s = 0.0
    for group in batch.groups:
        rows = slice(group.start, group.stop)
        if not group.shape.whole_node:
            core_s += group.shape.cpus * sum(outcomes.wall_s[rows])
            continue
        cores = [nodes[name].cpus if name in nodes else 1 for name in batch.node_names]
        core_s += sum(
            cores[node] * wall_s
            for node, wall_s in zip(outcomes.node[rows], outcomes.wall_s[rows], strict=True)
            if wall_s  # else the job never ended, perhaps none did, and there is no name of a node
        )
    return core_s / 3600


def _is_killed_by_another(batch: BatchState, recorded: Recorded) -> bool:
    event, kill = recorded.event, batch.killed
    return (
        isinstance(event, ev.KillRequested)
        and kill is not None
        and (kill.by, kill.at) == (event.author, recorded.time)
        and kill.by != batch.user
        and event.job is None
    )


def _asked_for(state: State, batch: BatchState, news: News, recorded: Recorded) -> Iterator[Notice]:
    if news in batch.notify:
        yield _notice(state, batch, news, recorded)


def _notice(state: State, batch: BatchState, news: News, recorded: Recorded | None) -> Notice:
    """`recorded` None: what is told as the batch stands."""
    event = recorded.event if recorded is not None else None
    cause = event.id if event is not None else batch.cause
    return Notice(
        key_of(news, batch.submission if news in ONCE else cause),
        news,
        recorded.seq if recorded is not None else state.seq,
        cause,
        batch.id,
        batch.submission,
        batch.seq,
        batch.user,
        batch.matrix_user,
        _facts(state, batch, news, event),
    )


def _facts(state: State, batch: BatchState, news: News, event: ev.Event | None) -> Json:
    document = batch_document(batch)
    facts: Json = {"news": news, **{key: document[key] for key in _OF_BATCH}}
    if batch.finished_at is not None:
        facts["wall_s"] = round(max(0.0, batch.finished_at - batch.submitted_at), 3)
        facts["core_hours"] = round(core_hours(batch, state.nodes), 3)
    if news in {"end", "build_failure"}:
        facts["failed_builds"] = [
            {"node": node, "reason": batch.build_failed[node], "last_lines": batch.build_lines.get(node, [])}
            for node in sorted(batch.build_failed)[:MOST_FAILURES]
        ]
    if news == "first_failure" and isinstance(event, ev.Finished):
        facts["failed_jobs"] = [_failed_job(batch, batch.rows[event.job])]
    elif news in {"end", "first_failure"}:
        facts["failed_jobs"] = [_failed_job(batch, row) for row in _failed_rows(batch)]
    return facts


def _failed_rows(batch: BatchState) -> list[int]:
    """The first rows that failed: those that ran before those that failed with their batch."""
    quoted = (row for row in batch.last_lines if batch.status[row] == FAILED)
    others = (row for row in rows_with(batch, FAILED) if row not in batch.last_lines)
    return list(islice(chain(quoted, others), MOST_FAILURES))


def _failed_job(batch: BatchState, row: int) -> Json:
    outcomes = batch.outcomes
    ran = len(outcomes.node) > 0 and outcomes.finished_at[row] > 0
    exit_code = outcomes.exit_code[row] if ran else NO_EXIT_CODE
    last = batch.last_lines.get(row)
    return {
        "job": batch.names[row],
        "node": batch.node_names[outcomes.node[row]] if ran else None,
        "attempt": batch.attempts[row],
        "exit_code": None if exit_code == NO_EXIT_CODE else exit_code,
        "signal": (outcomes.signal[row] or None) if ran else None,
        "reason": batch.reasons.get(row) or (None if ran else batch.end_reason),
        "last_lines": [last] if last else [],
    }
