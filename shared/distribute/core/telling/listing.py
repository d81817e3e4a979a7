"""The jobs of a batch as JSON for people and scripts, in slices. The keys are a contract."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from distribute.core.explaining.waits_for import WaitsAsOf
from distribute.core.folding.gates import failed_with_batch, held_in_words
from distribute.core.scheduling.liveness import paused_s
from distribute.core.scheduling.matching import is_paused
from distribute.core.state.packed import ClosedBatch
from distribute.core.state.state import (
    CLAIMED,
    FAILED,
    NO_EXIT_CODE,
    QUEUED,
    BatchState,
    Holding,
    Kill,
    Outcomes,
    State,
    Status,
)
from distribute.core.words import killed_by, moved_by
from distribute.core.words import rfc3339 as rfc3339

Json = dict[str, Any]

JOBS_AT_ONCE = 400
"""Jobs per slice. The JSON of so many ended jobs takes 8 ms (measured)."""

JOB_STATES = {
    Status.QUEUED: "queued",
    Status.RETRYING: "queued",
    Status.ASSIGNED: "assigned",
    Status.CLAIMED: "assigned",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.KILLED: "killed",
}

_URGENCY: dict[int, int] = {Status.FAILED: 1, Status.RUNNING: 2, Status.CLAIMED: 2, Status.ASSIGNED: 2}
"""The order of states in a listing that is too short for all jobs."""


def _urgency(batch: BatchState, row: int) -> int:
    status = batch.status[row]
    return 0 if status == FAILED and row in batch.last_lines else _URGENCY.get(status, 3)


class Listing:
    """The jobs of a batch that a person asked for: all, or those of some states, or one.

    They are in the order of the user's file. If there are more than `most`, failed jobs come first (of many,
    those whose last line we know), then jobs in flight, then the rest. `now` is in seconds since 1970, by the
    log's clock. A listing shows the moment at which it is made, also if events are folded meanwhile.
    """

    def __init__(
        self,
        batch: BatchState,
        state: State,
        now: float,
        *,
        job: str | None = None,
        states: Collection[str] | None = None,
        most: int | None = None,
    ) -> None:
        nodes = state.nodes
        at = {attempt.node for attempt in batch.active.values()} & nodes.keys()
        self._paused = {name for name in at if is_paused(nodes[name], now)}
        self._pauses = {name: tuple(nodes[name].pauses) for name in at}
        self._now = now
        self._batch = _copy(batch)
        self._waits = WaitsAsOf(state, batch, now)
        self._states = states
        self._most = most
        self._rows: Sequence[int] = (
            batch.file_order if batch.file_order is not None else range(len(batch.names))
        )
        if job is not None:
            self._rows = [batch.rows[job]] if job in batch.rows else []
        self.head = batch_document(batch, now, state)
        """B: the batch, without its jobs."""
        self.tail: Json = {}
        """`more_jobs`: the number of jobs that are not listed, if there are any."""

    def choose(self) -> Generator[None, None, None]:
        """Find the requested jobs. Call this before `slices`. Yields after each slice of work."""
        batch = self._batch
        if self._states is not None:
            chosen: list[int] = []
            for rows in self._some(self._rows):
                chosen += [row for row in rows if job_state(batch, row, self._paused) in self._states]
                yield
            self._rows = chosen
        found = len(self._rows)
        if self._most is not None and found > self._most:
            self._rows = yield from self._most_urgent(self._most)
            self.tail = {"more_jobs": found - self._most}

    def _most_urgent(self, most: int) -> Generator[None, None, list[int]]:
        """So many of the rows, in slices: the most urgent, and of these the first."""
        by_urgency: list[list[int]] = [[], [], [], []]
        for rows in self._some(self._rows):
            for row in rows:
                alike = by_urgency[_urgency(self._batch, row)]
                if len(alike) < most:
                    alike.append(row)
            yield
        return list(islice(chain.from_iterable(by_urgency), most))

    def slices(self) -> Iterator[list[Json]]:
        """The jobs, some at a time."""
        for rows in self._some(self._rows):
            yield [self._job(row) for row in rows]

    def _job(self, row: int) -> Json:
        view = _job(self._batch, row, self._paused)
        view["waits_for"] = self._waits_for(row)
        attempt = self._batch.active.get(row)
        if attempt is not None and attempt.started_at is not None:
            held_s = max(0.0, self._now - attempt.started_at)
            stood_s = paused_s(self._pauses.get(attempt.node, ()), attempt.started_at, self._now)
            view["wall_s"], view["paused_s"] = round(held_s - stood_s, 3), round(stood_s, 3)
        return view

    def _waits_for(self, row: int) -> str | None:
        """What the job waits for, in one word; None: it does not."""
        batch = self._batch
        if batch.status[row] != QUEUED or batch.ran_at is not None:
            return None
        return self._waits.of(row).value

    def _some(self, rows: Sequence[int]) -> Iterator[Sequence[int]]:
        return (rows[first : first + JOBS_AT_ONCE] for first in range(0, len(rows), JOBS_AT_ONCE))


def _copy(batch: BatchState) -> BatchState:
    """Of what changes of a batch, a copy of what a listing shows: 4 ms for 100,000 jobs."""
    return replace(
        batch,
        status=batch.status[:],
        attempts=batch.attempts[:],
        active={row: copy(attempt) for row, attempt in batch.active.items()},
        outcomes=Outcomes(*(getattr(batch.outcomes, name)[:] for name in Outcomes.__slots__)),
        node_names=batch.node_names[:],
        reasons=batch.reasons.copy(),
        last_lines=batch.last_lines.copy(),
        killed_rows=batch.killed_rows.copy(),
        unarchived=batch.unarchived.copy(),
        missing=batch.missing.copy(),
        building=batch.building.copy(),
    )


def batch_document(
    batch: BatchState | ClosedBatch, now: float | None = None, state: State | None = None
) -> Json:
    """B: a batch without its jobs. `now` is in seconds since 1970, by the log's clock; None: unknown.

    `state` None: nothing is known of other batches.
    """
    jobs = {"total": sum(batch.counts)} | dict.fromkeys(JOB_STATES.values(), 0)
    for status, name in JOB_STATES.items():
        jobs[name] += batch.counts[status]
    return {
        "namespace": batch.id.namespace,
        "batch": batch.id.batch,
        "user": batch.user,
        "kind": batch.kind,
        "ran_at": batch.ran_at,
        "state": batch_state(batch),
        "priority": batch.priority,
        "after": [str(after.id) for after in batch.limits.after],
        "submitted_at": rfc3339(batch.submitted_at),
        "finished_at": rfc3339(batch.finished_at),
        "reason": batch.end_reason,
        "jobs": jobs,
        "archived": batch.archived,
        "compacted_at": rfc3339(batch.compacted_at),
        "build_failed": dict(batch.build_failed),
        "build_last_lines": dict(batch.build_lines),
        "build_kept": dict(batch.build_kept),
        "held": held_in_words(state, batch, now) if isinstance(batch, BatchState) else None,
        "building": {node: rfc3339(since) for node, since in running_builds(batch).items()},
        **_killed(batch.killed),
        **_holding(batch.holding if isinstance(batch, BatchState) else None),
        "max_running": batch.limits.max_running,
        "max_failures": batch.limits.max_failures,
        **_edited(batch),
    }


def running_builds(batch: BatchState | ClosedBatch) -> dict[str, float]:
    """By node: since when the batch is built there, in seconds since 1970.

    The end of a build may never be reported, because its node went down. So a build counts as long as a job
    waits for it there.
    """
    if not isinstance(batch, BatchState) or not batch.building:
        return {}
    wait = {attempt.node for row, attempt in batch.active.items() if batch.status[row] == CLAIMED}
    return {node: batch.building[node].since for node in sorted(wait & batch.building.keys())}


def batch_state(batch: BatchState | ClosedBatch) -> str:
    """`queued`, `running`, `completed`, `failed` or `killed`."""
    return batch.end or ("running" if _has_begun(batch) else "queued")


def _has_begun(batch: BatchState | ClosedBatch) -> bool:
    """Was a job of the batch given to a node, or did one end?"""
    waiting = batch.counts[Status.QUEUED] + batch.counts[Status.RETRYING]
    return waiting < sum(batch.counts) or (isinstance(batch, BatchState) and len(batch.outcomes.node) > 0)


def job_state(batch: BatchState, row: int, paused: Collection[str]) -> str:
    """The state of a job, as people see it. `paused` are the nodes that are paused."""
    status = Status(batch.status[row])
    attempt = batch.active.get(row)
    if status is Status.RUNNING and attempt is not None and attempt.node in paused:
        return "paused"
    if status is Status.CLAIMED and attempt is not None and attempt.node in batch.building:
        return "building"
    return "retrying" if status is Status.RETRYING else JOB_STATES[status]


def _job(batch: BatchState, row: int, paused: Collection[str]) -> Json:
    status = Status(batch.status[row])
    attempt = batch.active.get(row)
    view: Json = {
        "job": batch.names[row],
        "state": job_state(batch, row, paused),
        "attempt": batch.attempts[row],
        "node": attempt.node if attempt else None,
        "exit_code": None,
        "signal": None,
        "reason": batch.reasons.get(row),
        "last_line": batch.last_lines.get(row) or None,
        "submitted_at": rfc3339(batch.submitted_at),
        "started_at": rfc3339(attempt.started_at) if attempt else None,
        "finished_at": None,
        "wall_s": None,
        "cpu_s": None,
        "paused_s": None,
        "max_rss_bytes": None,
        "archived": False,
        **_killed(None),
        "moved_by": attempt.moved_by if attempt else None,
    }
    kill = batch.kill_of(row)
    if kill is not None and (attempt is not None or status is Status.KILLED):
        view |= _killed(kill)
        by, why = killed_by(kill.by), view["reason"]
        if attempt is not None:
            view["reason"] = f"being {by}"
        elif why is None or not why.startswith(by):
            view["reason"] = by if why is None else f"{by}; {why}"
    elif attempt is not None and attempt.moved_by is not None:
        view["reason"] = f"being {moved_by(attempt.moved_by)}"
    if attempt is not None:
        return view
    outcomes = batch.outcomes
    if not len(outcomes.node) or not outcomes.finished_at[row]:
        if status is Status.FAILED and view["reason"] is None:
            view["reason"] = failed_with_batch(batch, row, batch.end_reason)
        return view
    exit_code = outcomes.exit_code[row]
    view |= {
        "node": batch.node_names[outcomes.node[row]],
        "exit_code": None if exit_code == NO_EXIT_CODE else exit_code,
        "signal": outcomes.signal[row] or None,
        "started_at": rfc3339(outcomes.started_at[row]),
        "finished_at": rfc3339(outcomes.finished_at[row]),
        "wall_s": outcomes.wall_s[row],
        "cpu_s": outcomes.cpu_s[row],
        "paused_s": outcomes.paused_s[row],
        "max_rss_bytes": outcomes.max_rss_bytes[row],
        "reason": _reason(batch, row, view["reason"]),
        "archived": row not in batch.unarchived and row not in batch.missing,
    }
    return view


def _killed(kill: Kill | None) -> Json:
    """Who killed a batch or a job, and when."""
    return {
        "killed_by": None if kill is None else kill.by,
        "killed_at": None if kill is None else rfc3339(kill.at),
    }


def _holding(holding: Holding | None) -> Json:
    """Who holds a batch, and since when."""
    return {
        "held_by": None if holding is None else holding.by,
        "held_at": None if holding is None else rfc3339(holding.since),
    }


def _edited(batch: BatchState | ClosedBatch) -> Json:
    """Who edited a batch last, and when. Of a packed one, nobody needs to know."""
    edited = batch.edited if isinstance(batch, BatchState) else None
    return {
        "edited_by": None if edited is None else edited.by,
        "edited_at": None if edited is None else rfc3339(edited.at),
    }


def _reason(batch: BatchState, row: int, why: str | None) -> str | None:
    """Why the job failed or was killed, and that its results are lost, as far as either is so."""
    missing = batch.missing.get(row)
    gone = None if missing is None else f"its results are gone: {missing}"
    return "; ".join(text for text in (why, gone) if text is not None) or None
