"""Make specifications and events for tests. A test gives only the fields that matter to it.

Events get new ids and times; any field can be given by name. `happen` folds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from distribute.core.checking.invariants import check
from distribute.core.files.manifest import Outputs
from distribute.core.folding.fold import apply
from distribute.core.ids import AttemptId, BatchId, JobId, ulid
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, Resources
from distribute.core.state.state import State

GIB = 1 << 30
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The time of the first event of every test."""

_numbers = count(1)


def new_id() -> str:
    """An id that no other event of this process has."""
    return ulid(0, next(_numbers).to_bytes(10, "big"))


# --- specifications --------------------------------------------------------------------------------


def job(name: str = "job1", **fields: Any) -> CommandJob:
    """A job of the kind `command`."""
    return CommandJob(**{"name": name, "command": ("true",)} | fields)


def batch(jobs: int | Sequence[CommandJob] = 1, *, build: str | None = None, **fields: Any) -> BatchSpec:
    """The batch `lab/sweep` with so many jobs `job1`, `job2`, … of one cpu each, or with the given jobs.

    With `resources=None`, each job takes a whole node.
    """
    if isinstance(jobs, int):
        jobs = [job(f"job{number}") for number in range(1, jobs + 1)]
    defaults = {"namespace": "lab", "batch": "sweep", "resources": Resources(cpus=1)}
    return BatchSpec(**defaults | fields, work=CommandWork(build=build, jobs=tuple(jobs)))


# --- events about batches --------------------------------------------------------------------------


def submitted(spec: BatchSpec | None = None, user: str = "jane", **fields: Any) -> ev.Submitted:
    """The submission of the given batch, or of one with a single job."""
    spec = spec if spec is not None else batch()
    return ev.Submitted(**_stamp(user) | {**spec.id._asdict(), "user": user, "spec": spec} | fields)


def kill_requested(
    of: BatchSpec | BatchId | None = None, job: str | None = None, by: str = "jane", **fields: Any
) -> ev.KillRequested:
    return ev.KillRequested(**_stamp(by), **_batch_names(of), job=job, **fields)


def retry_requested(
    of: BatchSpec | BatchId | None = None, *, failed_only: bool = False, **fields: Any
) -> ev.RetryRequested:
    return ev.RetryRequested(**_stamp("jane"), **_batch_names(of), failed_only=failed_only, **fields)


def held(of: BatchSpec | BatchId | None = None, by: str = "jane", **fields: Any) -> ev.Held:
    return ev.Held(**_stamp(by), **_batch_names(of), **fields)


def hold_released(of: BatchSpec | BatchId | None = None, by: str = "jane", **fields: Any) -> ev.HoldReleased:
    return ev.HoldReleased(**_stamp(by), **_batch_names(of), **fields)


def edited(of: BatchSpec | BatchId | None = None, by: str = "jane", **changes: Any) -> ev.Edited:
    return ev.Edited(**_stamp(by), **_batch_names(of), **changes)


def move_requested(
    job: str = "job1", attempt: int = 1, of: BatchSpec | BatchId | None = None, by: str = "jane"
) -> ev.MoveRequested:
    return ev.MoveRequested(**_stamp(by), **_batch_names(of), job=job, attempt=attempt)


def reprioritized(priority: int, of: BatchSpec | BatchId | None = None, **fields: Any) -> ev.Reprioritized:
    return ev.Reprioritized(**_stamp("jane"), **_batch_names(of), priority=priority, **fields)


def completed(of: BatchSpec | BatchId | None = None, **fields: Any) -> ev.Completed:
    return ev.Completed(**_stamp(ev.SCHEDULER), **_batch_names(of), **{"state": "completed"} | fields)


def batch_archived(of: BatchSpec | BatchId | None = None, **fields: Any) -> ev.BatchArchived:
    return ev.BatchArchived(**_stamp(ev.SCHEDULER), **_batch_names(of), **fields)


def compacted(last_seq: int, of: BatchSpec | BatchId | None = None, **fields: Any) -> ev.Compacted:
    """The compaction of a batch whose last event is at `last_seq`."""
    archive = {"by": "jane", "archive": "0" * 64, "events": 1, "first_seq": 1, "last_seq": last_seq}
    return ev.Compacted(**_stamp(ev.ARCHIVER), **_batch_names(of), **archive | fields)


def deleted(of: BatchSpec | BatchId | None = None, **fields: Any) -> ev.Deleted:
    return ev.Deleted(**_stamp("jane"), **_batch_names(of), **fields)


def notified(of: BatchSpec | BatchId | None = None, **fields: Any) -> ev.Notified:
    told = {"news": "end", "channel": "mail", "to": "jane", "key": new_id()}
    return ev.Notified(**_stamp(ev.NOTIFIER), **_batch_names(of), **told | fields)


# --- events about jobs -----------------------------------------------------------------------------


def assigned(job: str | JobId = "job1", node: str = "ws1", attempt: int = 1, **fields: Any) -> ev.Assigned:
    return ev.Assigned(**_stamp(ev.SCHEDULER), **_attempt(job, node, attempt), **{"cpus": 1} | fields)


def claimed(job: str | JobId = "job1", node: str = "ws1", attempt: int = 1) -> ev.Claimed:
    return ev.Claimed(**_stamp(node), **_attempt(job, node, attempt))


def started(job: str | JobId = "job1", node: str = "ws1", attempt: int = 1) -> ev.Started:
    return ev.Started(**_stamp(node), **_attempt(job, node, attempt))


def stop_ordered(
    job: str | JobId = "job1", node: str = "ws1", attempt: int = 1, by: str | None = "jane", **fields: Any
) -> ev.StopOrdered:
    return ev.StopOrdered(**_stamp(ev.SCHEDULER), **_attempt(job, node, attempt), by=by, **fields)


def finished(job: str | JobId = "job1", node: str = "ws1", attempt: int = 1, **fields: Any) -> ev.Finished:
    """An attempt that ended after a minute and left an empty file. It succeeded, unless `succeeded=False`."""
    ending: dict[str, Any] = {"succeeded": True, "exit_code": 0, "wall_s": 60.0, "outputs": Outputs(files=1)}
    if not fields.get("succeeded", True):
        ending |= {"exit_code": 1, "reason": "exit code 1"}
    return ev.Finished(**_stamp(node), **_attempt(job, node, attempt), **ending | fields)


def released(
    job: str | JobId = "job1",
    node: str = "ws1",
    attempt: int = 1,
    reason: ev.ReleaseReason = "node_lost",
    **fields: Any,
) -> ev.Released:
    return ev.Released(**_stamp(ev.SCHEDULER), **_attempt(job, node, attempt), reason=reason, **fields)


def yielded(
    job: str | JobId = "job1", node: str = "ws1", attempt: int = 1, outputs: Outputs | None = None
) -> ev.Yielded:
    """An attempt that its node gave back. It left nothing, unless there are `outputs`."""
    why = "its owner works"
    return ev.Yielded(**_stamp(node), **_attempt(job, node, attempt), reason=why, outputs=outputs)


RAN_AT = ev.RanAt(system="slurm", folder="0" * 64)


def collected(
    job: str | JobId = "job1", node: str = "nid001", attempt: int = 1, by: str = "jane", **fields: Any
) -> ev.Collected:
    """What became of a job that ran elsewhere for a minute and left an empty file. It succeeded, unless told.

    Give the `submission` of its batch.
    """
    ending: dict[str, Any] = {
        "state": "succeeded",
        "exit_code": 0,
        "started_at": EPOCH - timedelta(seconds=3660),
        "ended_at": EPOCH - timedelta(seconds=3600),
        "wall_s": 60.0,
        "outputs": Outputs(files=1),
    }
    return ev.Collected(**_stamp(by), **_attempt(job, node, attempt), **ending | fields)


def excused(job: str | JobId = "job1", node: str = "ws1", attempt: int = 1, **fields: Any) -> ev.Excused:
    return ev.Excused(**_stamp(ev.SCHEDULER), **_attempt(job, node, attempt), **fields)


def job_archived(
    job: str | JobId = "job1", node: str = "ws1", attempt: int = 1, missing: str | None = None
) -> ev.JobArchived:
    return ev.JobArchived(**_stamp(ev.ARCHIVER), **_attempt(job, node, attempt), missing=missing)


# --- events about nodes ----------------------------------------------------------------------------


def joined(node: str = "ws1", **fields: Any) -> ev.Joined:
    """A node of four cpus and 8 GiB with no GPU."""
    defaults = {
        "incarnation": new_id(),
        "boot_id": "boot1",
        "capabilities": frozenset(),
        "cpus": 4,
        "memory_bytes": 8 * GIB,
        "version": "1",
    }
    return ev.Joined(**_stamp(node), node=node, **defaults | fields)


def kept(attempts: Iterable[str | AttemptId]) -> tuple[AttemptId, ...]:
    """Attempts; the name of a job means its first attempt in `lab/sweep`."""
    return tuple(
        AttemptId("lab", "sweep", attempt, 1) if isinstance(attempt, str) else attempt for attempt in attempts
    )


def leaving(node: str = "ws1", keeps: Iterable[str | AttemptId] = (), **fields: Any) -> ev.Leaving:
    """`keeps` may name jobs, as in `kept`."""
    return ev.Leaving(**_stamp(node), node=node, keeps=kept(keeps), **fields)


def left(node: str = "ws1", **fields: Any) -> ev.Left:
    return ev.Left(**_stamp(node), node=node, **fields)


def lost(node: str = "ws1", **fields: Any) -> ev.Lost:
    return ev.Lost(**_stamp(ev.SCHEDULER) | fields, node=node, silent_s=61.0)


def forgotten(node: str = "ws1") -> ev.Forgotten:
    return ev.Forgotten(**_stamp("jane"), node=node)


def listed(node: str = "ws1", capabilities: frozenset[str] | None = frozenset({"fftw"})) -> ev.Listed:
    """A node of the head's nodes file. `capabilities` None: the file no longer names it."""
    return ev.Listed(**_stamp("jane"), node=node, capabilities=capabilities)


def paused(
    node: str = "ws1",
    until: datetime = EPOCH + timedelta(days=1),
    keeps: Iterable[str | AttemptId] = (),
    **fields: Any,
) -> ev.Paused:
    stamp = _stamp(node) | fields
    return ev.Paused(**{"reason": "its owner works"} | stamp, node=node, until=until, keeps=kept(keeps))


def pause_requested(node: str = "ws1", until: datetime = EPOCH + timedelta(days=1)) -> ev.PauseRequested:
    return ev.PauseRequested(**_stamp("jane"), node=node, until=until)


def resume_requested(node: str = "ws1") -> ev.ResumeRequested:
    return ev.ResumeRequested(**_stamp("jane"), node=node)


def resumed(node: str = "ws1", **fields: Any) -> ev.Resumed:
    return ev.Resumed(**_stamp(node), node=node, **fields)


def superseded(node: str = "ws1", attempt: str | AttemptId = "job1", **fields: Any) -> ev.Superseded:
    about = {"folder": "/node/superseded/1", "size_bytes": 5, "until": EPOCH + timedelta(days=7)} | fields
    (of,) = kept([attempt])
    return ev.Superseded(**_stamp(node), node=node, attempt=of, **about)


def drain_requested(
    node: str = "ws1", reason: str = "for repair", until: datetime | None = None
) -> ev.DrainRequested:
    return ev.DrainRequested(**_stamp("jane"), node=node, reason=reason, until=until)


def undrained(node: str = "ws1") -> ev.Undrained:
    return ev.Undrained(**_stamp("jane"), node=node)


def quarantined(node: str = "ws1", until: datetime = EPOCH + timedelta(days=1)) -> ev.Quarantined:
    reason = "2 jobs that failed here within seconds succeeded elsewhere"
    return ev.Quarantined(**_stamp(ev.SCHEDULER), node=node, reason=reason, until=until)


def build_started(node: str = "ws1", of: BatchSpec | BatchId | None = None, **fields: Any) -> ev.BuildStarted:
    return ev.BuildStarted(**_stamp(node), node=node, **_batch_names(of), **fields)


def build_finished(
    node: str = "ws1", of: BatchSpec | BatchId | None = None, *, succeeded: bool = True, **fields: Any
) -> ev.BuildFinished:
    ending: dict[str, Any] = {"succeeded": succeeded, "reason": None if succeeded else "exit code 2"}
    return ev.BuildFinished(**_stamp(node), node=node, **_batch_names(of), **ending | fields)


def build_collected(
    node: str = "nid001", of: BatchSpec | BatchId | None = None, *, succeeded: bool = True, **fields: Any
) -> ev.BuildCollected:
    said = {"submission": "any", "succeeded": succeeded, "reason": None if succeeded else "exit code 2"}
    return ev.BuildCollected(**_stamp("jane") | {"node": node, **_batch_names(of)} | said | fields)


# --- folding ---------------------------------------------------------------------------------------


def record(events: Iterable[Event], *, after: State | None = None, apart_s: float = 1.0) -> list[Recorded]:
    """The events as a log behind the state `after` would record them, `apart_s` seconds apart.

    What nodes report of jobs, they report at once.
    """
    seq, time = (after.seq, after.time) if after is not None else (0, 0.0)
    time = max(time, EPOCH.timestamp())
    return [
        Recorded(seq + number, time + number * apart_s, at_once(event, time + number * apart_s))
        for number, event in enumerate(events, start=1)
    ]


def at_once(event: Event, time: float) -> Event:
    """What a node reports of a job, as if it had written that at this time. Other events as they are.

    So are those to which a test has given their time.
    """
    if not isinstance(event, ev.Claimed | ev.Started | ev.Finished | ev.Yielded) or event.time != EPOCH:
        return event
    later = timedelta(seconds=time - EPOCH.timestamp())
    times = {name: getattr(event, name, None) for name in ("time", "started_at", "ended_at")}
    return event.model_copy(update={name: at + later for name, at in times.items() if at is not None})


def happen(*events: Event, state: State | None = None, apart_s: float = 1.0) -> State:
    """Fold the events, `apart_s` seconds apart, into `state` or a new one. Check invariants after each."""
    state = state if state is not None else State()
    for recorded in record(events, after=state, apart_s=apart_s):
        apply(state, recorded)
        check(state)
    return state


def _stamp(author: str) -> dict[str, Any]:
    return {"id": new_id(), "time": EPOCH, "author": author}


def _batch_names(of: BatchSpec | BatchId | None) -> dict[str, str]:
    id_ = BatchId("lab", "sweep") if of is None else of if isinstance(of, BatchId) else of.id
    return id_._asdict()


def _attempt(job: str | JobId, node: str, attempt: int) -> dict[str, Any]:
    id_ = job if isinstance(job, JobId) else JobId("lab", "sweep", job)
    return {**id_._asdict(), "node": node, "attempt": attempt}
