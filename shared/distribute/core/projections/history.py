"""What happened to a batch, a job or a node: each event in a sentence, and whether it counts.

Only what the fold accepts counts. So these fold what they tell, by the functions that `apply` uses.
"""

from __future__ import annotations

from typing import NamedTuple

from distribute.core.folding.fold import apply
from distribute.core.folding.fold_batch import BatchEvent
from distribute.core.folding.fold_node import NodeEvent
from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.attempts import with_only_job
from distribute.core.projections.story import BatchStory
from distribute.core.state.state import FAILED, KILLED, RUNNING, SUCCEEDED, BatchState, State
from distribute.core.telling.sentences import sentence
from distribute.core.telling.wording import NOTHING, Known, Wording


class Told(NamedTuple):
    """An event of the log as people are told of it. `misfit`: why the fold refused it, None if it counts.

    `of_one`: a submission with only the job that this is told of; None: this is told of all jobs.
    """

    recorded: Recorded
    wording: Wording
    misfit: str | None = None
    known: Known = NOTHING
    of_one: ev.Submitted | None = None

    @property
    def sentence(self) -> str:
        """The event in a sentence, made anew each time: of a large batch, most are never read."""
        return sentence(self.of_one or self.recorded.event, self.wording, self.known)


class BatchHistory:
    """The history of a batch, and of all earlier ones of its name."""

    def __init__(self, batch: BatchId, wording: Wording) -> None:
        self.story = BatchStory(batch)
        self._wording = wording

    def tell(self, recorded: Recorded) -> Told:
        """Fold the next event under the batch, and tell it."""
        misfit = self.story.misfit_of(recorded)
        known = NOTHING if misfit is not None else known_of(self.story.state, recorded.event)
        return Told(recorded, self._wording, misfit, known)

    def is_concerned_by(self, event: NodeEvent) -> bool:
        """Does what happens to a node now matter to the batch: has it a job there?"""
        batch = self.story.state
        if batch is None:
            return False
        if isinstance(event, ev.Superseded):
            return event.attempt.job_id.batch_id == batch.id and event.submission in {None, batch.submission}
        return any(attempt.node == event.node for attempt in batch.active.values())


def known_of(batch: BatchState | None, event: ev.Event) -> Known:
    """What the batch, which has accepted the event, adds to its words."""
    if batch is None:
        return NOTHING
    match event.type:
        case "completed":
            succeeded, failed, killed = (batch.counts[end] for end in (SUCCEEDED, FAILED, KILLED))
            return Known(ends=(succeeded, failed, killed))
        case "finished":
            return Known(was_killed=batch.status[batch.rows[event.job]] == KILLED)
        case "submitted" if event.replaces is not None:
            return Known(stays=(batch.counts[SUCCEEDED], batch.counts[RUNNING]))
        case _:
            return NOTHING


class JobHistory:
    """The history of one job: its own events, and those of its batch and of builds that concern it."""

    def __init__(self, job: JobId, wording: Wording) -> None:
        self.job = job
        self.story = BatchStory(job.batch_id)
        self.is_sure = True
        """False: without the events of other jobs, it can't be told which end of the batch was accepted."""
        self._wording = wording

    def tell(self, recorded: Recorded, jobs: int | None = None) -> Told | None:
        """Fold the next event under the job's batch, and tell it. None: it does not concern the job.

        The events of other jobs may be left out, and the submission may have only this job; `jobs` is how
        many there are. This gives the same, but for the ends of the batch, which other jobs decide, too
        (`attempts_alone` says more). Of ends, only forged ones are refused: their guard sees to that.
        """
        event = recorded.event
        node = self._node()
        if event.type == "completed" and self.story.state is not None and self.story.state.end is not None:
            self.is_sure = False  # one of the two was refused because of another job
        had_job = self._has_job()
        misfit = self.story.misfit_of(recorded)
        if not self._concerns(event, node) or (event.about == "batch" and not (had_job or self._has_job())):
            return None
        if event.type == "submitted":
            stays = self._stays() if misfit is None else None
            known = Known(jobs=jobs or len(event.spec.work.jobs), stays=stays)
            return Told(recorded, self._wording, misfit, known, with_only_job(event, self.job.job))
        is_end = event.type == "finished" and misfit is None
        known = known_of(self.story.state, event) if is_end else Known(jobs=jobs)
        return Told(recorded, self._wording, misfit, known)

    def is_concerned_by(self, event: NodeEvent) -> bool:
        """Does what happens to a node now matter to the job: is it there?"""
        batch = self.story.state
        if isinstance(event, ev.Superseded) and batch is not None:
            return event.attempt.job_id == self.job and event.submission in {None, batch.submission}
        return event.node == self._node()

    def _stays(self) -> tuple[int, int]:
        """Has the batch, which was just submitted, kept this job, or does it go on?"""
        batch = self.story.state
        row = batch.rows.get(self.job.job) if batch is not None else None
        status = batch.status[row] if batch is not None and row is not None else None
        return int(status == SUCCEEDED), int(status == RUNNING)

    def _has_job(self) -> bool:
        """Has the batch that is there now this job? An earlier or later one of its name may lack it."""
        return self.story.state is not None and self.job.job in self.story.state.rows

    def _node(self) -> str | None:
        """The node that has the job now."""
        batch = self.story.state
        row = batch.rows.get(self.job.job) if batch is not None else None
        attempt = batch.active.get(row) if batch is not None and row is not None else None
        return attempt.node if attempt is not None else None

    def _concerns(self, event: ev.Event, node: str | None) -> bool:
        match event.about:
            case "job":
                return event.scope == self.job
            case "build":
                return event.node == node  # another node's build, or one before the job came, is not its
            case "batch":
                return _names(event, self.job.job)
            case "node":
                return False


def _names(event: BatchEvent, job: str) -> bool:
    """Is this about the whole batch, or about this job of it?"""
    match event:
        case ev.KillRequested() | ev.MoveRequested():
            return event.job in {None, job}
        case ev.RetryRequested() | ev.Edited():
            return event.jobs is None or job in event.jobs
        case _:
            return True


class NodeHistory:
    """The history of a node, from the events of its own scope.

    These alone decide what the fold accepts, but for two events that persons have checked before: whether a
    node that is forgotten still had jobs, and whether too many are listed.
    """

    def __init__(self, node: str, wording: Wording) -> None:
        self.node = node
        self._state = State()
        self._wording = wording

    def tell(self, recorded: Recorded) -> Told:
        """Fold the node's next event, and tell it."""
        known = self._known_before(recorded)
        misfit = apply(self._state, recorded)
        return Told(recorded, self._wording, misfit, known)

    def _known_before(self, recorded: Recorded) -> Known:
        node = self._state.nodes.get(self.node)
        if recorded.event.type != "joined" or node is None:
            return NOTHING
        match node.presence:
            case "here":
                return Known(before=node.incarnation)
            case "lost":
                return Known(silent_s=recorded.time - (node.silent_from or recorded.time))
            case _:
                return NOTHING
