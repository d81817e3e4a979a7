"""What people change in batches that go on: what waiting jobs ask for, limits, and where jobs run."""

from __future__ import annotations

from math import inf

from distribute.core.ids import AttemptId, BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import BatchState, State, Status
from distribute.sim.computer import Process

from .story import require

ENDED_WITHIN_S = 60.0
"""Where nothing goes wrong, a job that is killed or moved has ended by then."""

WAITING = {Status.QUEUED, Status.RETRYING}


def edited(event: ev.Edited, before: BatchState) -> set[str]:
    """The names of the jobs that an edit changes."""
    return {
        name
        for name, row in before.rows.items()
        if before.status[row] in WAITING and (event.jobs is None or name in event.jobs)
    }


def killed(event: ev.KillRequested, before: BatchState) -> set[str]:
    """The names of the jobs that a person wants killed. With `state`, those that wait: others go on."""
    wanted = {event.job} & before.rows.keys() if event.job is not None else set(before.rows)
    if event.state is None:
        return wanted
    return {name for name in wanted if before.status[before.rows[name]] in WAITING}


class LimitsOf:
    """How a batch limits itself. `max_running` is the loosest that it has had."""

    def __init__(self, spec: BatchSpec) -> None:
        self.max_running = spec.max_running
        self.max_failures = spec.max_failures

    def edit(self, event: ev.Edited) -> None:
        """A person has changed them."""
        if event.max_running is not None:
            limits = {self.max_running, event.max_running or None}
            self.max_running = None if None in limits else max(one for one in limits if one is not None)
        if event.max_failures is not None:
            self.max_failures = event.max_failures or None


class Edits:
    """What the jobs of each submission ask for, by the log alone."""

    def __init__(self) -> None:
        self._specs: dict[str, BatchSpec] = {}
        self._edits: dict[str | None, list[tuple[int, ev.Edited, set[str]]]] = {}

    def note(self, recorded: Recorded, before: BatchState | None) -> None:
        """An event came into the log. `before`: its batch, before that."""
        event = recorded.event
        if isinstance(event, ev.Submitted):
            self._specs[event.id] = event.spec
        elif isinstance(event, ev.Edited) and before is not None and before.submission == event.submission:
            known = self._edits.setdefault(event.submission, [])
            known.append((recorded.seq, event, edited(event, before)))

    def check(self, event: ev.Event, known_seq: int) -> bool:
        """A scheduler that has read the log up to a sequence gives a job what it asks for by then.

        Returns whether an edit said what that is.
        """
        if not isinstance(event, ev.Assigned) or event.submission not in self._specs:
            return False
        spec = self._specs[event.submission]
        resources = next(job.resources for job in spec.work.jobs if job.name == event.job) or spec.resources
        cpus, timeout_s = None if resources is None else resources.cpus, None
        edits = [
            edit
            for seq, edit, jobs in self._edits.get(event.submission, ())
            if seq <= known_seq and event.job in jobs
        ]
        for edit in edits:
            cpus = cpus if edit.cpus is None else edit.cpus
            timeout_s = timeout_s if edit.timeout_s is None else edit.timeout_s
        is_right = cpus in {None, event.cpus} and event.timeout_s == timeout_s
        given, asked = (event.cpus, event.timeout_s), (cpus, timeout_s)
        require(is_right, f"{event.scope} is given {given}, and asks for {asked} (cpus, timeout)")
        return bool(edits)


class Asked:
    """When people first asked for jobs to be ended, by a kill or a move."""

    def __init__(self) -> None:
        self._killed: dict[BatchId | JobId, float] = {}
        self._moved: dict[AttemptId, float] = {}

    def note(self, event: ev.Event, state: State, now: float) -> None:
        """An event came into the log, and `state` has taken it."""
        match event:
            case ev.KillRequested(state=None):
                of = event.scope if event.job is None else JobId(*event.scope, event.job)
                self._killed.setdefault(of, now)
            case ev.RetryRequested():
                self._killed.pop(event.scope, None)
            case ev.MoveRequested() if _is_moved(event, state):
                self._moved.setdefault(AttemptId(*event.scope, event.job, event.attempt), now)
            case _:
                pass

    def gone(self, process: Process, job: JobId, now: float) -> None:
        """The process of a job is gone: soon enough, if people asked for that while it ran."""
        unit = process.unit
        killed_at = max(self._killed.get(of, -inf) for of in (job, job.batch_id))
        moved_at = self._moved.get(AttemptId(*job, unit.attempt), -inf)
        for asked_at, what in ((killed_at, "killed"), (moved_at, "moved")):
            if process.started_at < asked_at:
                require(now < asked_at + ENDED_WITHIN_S, f"{unit} runs on, although it was {what}")


def _is_moved(event: ev.MoveRequested, state: State) -> bool:
    """Does the fold have the attempt given back? Not if it ended, or its batch gave up, just before."""
    batch = state.batches.get(event.scope)
    row = batch.rows.get(event.job) if batch is not None else None
    attempt = batch.active.get(row) if batch is not None and row is not None else None
    return attempt is not None and attempt.number == event.attempt and attempt.moved_by is not None
