"""The attempts of one job, one after another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from distribute.core.files.manifest import Outputs
from distribute.core.folding.outcomes import process_end, process_start, written_at
from distribute.core.folding.replacing import is_kept
from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import Attempt


@dataclass(slots=True)
class AttemptRecord:
    """One attempt. Times are the log's, in seconds since 1970; `ended_at` None: it is not over.

    `assigned_at` None: it ran elsewhere, and nobody here assigned it.

    An attempt is over when it finished, when its node gave it back, or when it was taken from its node.
    """

    number: int
    node: str
    assigned_at: float | None
    started_at: float | None = None
    ended_at: float | None = None
    finished: ev.Ending | None = None
    outputs: Outputs | None = None
    """What it left, if its node ended it."""
    taken_back: str | None = None
    """Why its node gave it back, or the scheduler took it from its node, if one of them did."""
    was_excused: bool = False
    """It failed, and that does not count."""


class JobAttempts:
    """A job's attempts by number, by what its batch accepted."""

    def __init__(self, job: JobId) -> None:
        self.job = job
        self.story = BatchStory(job.batch_id)
        self.attempts: dict[int, AttemptRecord] = {}
        self.spec: BatchSpec | None = None
        """The batch's specification, with only this job; without jobs if the batch lacks it."""

    def fold(self, recorded: Recorded) -> None:
        """Fold the next event under the job's batch."""
        held = self._held()
        if not self.story.fold(recorded):
            return
        event = recorded.event
        if isinstance(event, ev.Submitted | ev.Deleted):
            if not is_kept(self.story.state, self.job.job):
                self.attempts.clear()
            self.spec = None if isinstance(event, ev.Deleted) else with_only_job(event, self.job.job).spec
        elif isinstance(event, ev.JobEvent) and event.scope == self.job:
            self._fold_own(recorded.time, event, held)

    def _held(self) -> Attempt | None:
        """The attempt that a node has, if one has the job."""
        batch = self.story.state
        row = batch.rows.get(self.job.job) if batch is not None else None
        return batch.active.get(row) if batch is not None and row is not None else None

    def _fold_own(self, time: float, event: ev.JobEvent, held: Attempt | None) -> None:
        """Fold an event of the job. `held`: the attempt that a node had until then."""
        if isinstance(event, ev.Assigned):
            self.attempts[event.attempt] = AttemptRecord(event.attempt, event.node, time)
            return
        if isinstance(event, ev.Collected):
            started_at, ended_at = process_start(time, event, 0.0, None), process_end(time, event)
            self.attempts[event.attempt] = AttemptRecord(
                event.attempt, event.node, None, started_at, ended_at, event, event.outputs
            )
            return
        attempt = self.attempts.get(event.attempt)
        if attempt is not None and isinstance(event, ev.Excused):
            attempt.was_excused = True
        if attempt is None or attempt.ended_at is not None:
            return
        match event:
            case ev.Started() if held is not None:
                attempt.started_at = held.started_at
            case ev.Finished() if held is not None:
                reported_at = written_at(time, event, held.lag_s, held.assigned_at)
                attempt.finished, attempt.outputs = event, event.outputs
                attempt.ended_at = process_end(reported_at, event, held.assigned_at)
                attempt.started_at = process_start(reported_at, event, held.assigned_at, held.started_at)
            case ev.Yielded() if held is not None:
                attempt.ended_at = written_at(time, event, held.lag_s, held.assigned_at)
                attempt.taken_back, attempt.outputs = event.reason, event.outputs
            case ev.Released():
                attempt.ended_at, attempt.taken_back = time, event.reason
            case _:
                pass


def attempts_alone(job: JobId, events: Iterable[Recorded], course: Course) -> JobAttempts | None:
    """A job's attempts, from its own events and those of its batch's own scope alone. None: we can't tell.

    Arguments as `alone` takes them.
    """
    told = alone(job, events, course)
    if told is None:
        return None
    attempts = JobAttempts(job)
    for recorded in told:
        attempts.fold(recorded)
    return attempts


def alone(job: JobId, events: Iterable[Recorded], course: Course) -> list[Recorded] | None:
    """What to fold to learn of one job from few events, in order. None: these do not tell.

    This is the batch as if it had only this job. It gives the same attempts, for what happens to a job
    depends on other jobs in one way only: they decide whether the batch accepts a `completed`.

    Args:
        job: which.
        events: all of the job and of its batch's own scope, in any order, from the batch's submission on.
            There may be others, as of nodes.
        course: how the batch stands, which says which `completed` ended it.
    """
    ordered = sorted(events, key=lambda recorded: recorded.seq)
    batch = job.batch_id
    ends = [
        recorded.time
        for recorded in ordered
        if isinstance(recorded.event, ev.Completed) and recorded.event.scope == batch
    ]
    if ends != ([] if course.end is None else [course.finished_at]):
        return None  # some were refused, or the batch ended more than once
    return [
        recorded._replace(event=with_only_job(event, job.job))
        if isinstance(event := recorded.event, ev.Submitted)
        else recorded
        for recorded in ordered
        if not _was_refused(recorded.event, batch, course)
    ]


def _was_refused(event: ev.Event, batch: BatchId, course: Course) -> bool:
    """Did the batch refuse this? It is there by this submission, so it accepted no end of it behind that."""
    if isinstance(event, ev.Submitted):
        return event.scope == batch and event.id != course.submission
    return isinstance(event, ev.Deleted) and event.scope == batch


def with_only_job(event: ev.Submitted, name: str | None) -> ev.Submitted:
    """A submission without the other jobs. None: without any."""
    spec = event.spec
    jobs = tuple(job for job in spec.work.jobs if job.name == name)
    last_job = spec.last_job if spec.last_job == name else None
    work = spec.work.model_copy(update={"jobs": jobs})
    spec = spec.model_copy(update={"work": work, "last_job": last_job})
    return event.model_copy(update={"spec": spec})
