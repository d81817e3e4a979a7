"""Each job's story, derived from the events without the fold.

So we also find a fold that is wrong in the same way everywhere.
"""

from __future__ import annotations

from collections.abc import Container
from enum import Enum, auto

from distribute.core.files.manifest import Outputs
from distribute.core.folding.fold_job import FAST_FAILURE_S, why_given_up
from distribute.core.ids import BatchId, BuildId, JobId
from distribute.core.log import events as ev
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import BatchState, State, Status
from distribute.sim.stored_files import StoredFiles

from . import changes, last_jobs, replacing
from .changes import LimitsOf
from .compacting import is_about_compacted
from .lost_words import LostWords
from .requests import run_again
from .story import Broken as Broken
from .story import Story as Story
from .story import require as require


class Verdict(Enum):
    """What the fold has to make of an event."""

    FITS = auto()
    ABOUT_NOTHING = auto()
    """It is about nothing that is still there: it can't do anything, whatever it counts as."""


class Stories:
    """The stories of all jobs. `files` has their results."""

    def __init__(self, files: StoredFiles) -> None:
        self.of: dict[JobId, Story] = {}
        self._files = files
        self.checks = True
        """False: the stories are told again, to come to where they were."""
        self._deleted: set[BatchId] = set()
        self._submissions: dict[BatchId, str] = {}
        """The id of the submission of each batch that is there."""
        self._specs: dict[BatchId, BatchSpec] = {}
        self.limits_of: dict[BatchId, LimitsOf] = {}
        self._builds: dict[BuildId, str] = {}
        """The id of the last start of each build."""
        self._ghosts: dict[JobId, tuple[str, int]] = {}
        """Attempts at jobs of batches that were deleted meanwhile."""
        self.lost_words = LostWords()

    def anew(self) -> Stories:
        """To tell the same stories again, since the log has lost its end."""
        again = Stories(self._files)
        again.checks = False
        again._deleted, again.lost_words = self._deleted, self.lost_words
        return again

    def vanish(self, batch: BatchId) -> None:
        """The log has lost the submission of a batch: it is as if somebody had deleted it."""
        self._deleted.add(batch)

    def _require(self, holds: bool, otherwise: str) -> None:
        if self.checks:
            require(holds, otherwise)

    def spec_of(self, batch: BatchId) -> BatchSpec:
        """The specification of a batch that is there."""
        return self._specs[batch]

    def of_batch(self, batch: BatchId) -> list[tuple[JobId, Story]]:
        return [(job, story) for job, story in self.of.items() if job.batch_id == batch]

    def tell(self, event: ev.Event, before: State) -> Verdict:
        """Go on with the stories, and say whether the event fits them.

        What ends a batch is guarded by everything under it, so it always fits. An event about a job need
        not: if its batch was deleted while the event was on its way.
        """
        if self._is_late(event, before) or is_about_compacted(event, before):
            return Verdict.ABOUT_NOTHING
        match event:
            case ev.Submitted():
                kept = replacing.replaced(self, event, before.find(event.scope))
                self._submissions[event.scope] = event.id
                self._submitted(event.spec)
                self.of |= kept
            case ev.KillRequested() | ev.Edited() | ev.MoveRequested():
                self._asked(event, before.batches[event.scope])
            case ev.RetryRequested():
                again = run_again(event, before.batches[event.scope])
                self._forgive(before.batches[event.scope], again)
                last_jobs.retried(self, before.batches[event.scope], again)
            case ev.Completed():
                self._completed(event, before.batches[event.scope])
            case ev.BatchArchived():
                late = [job for job, story in self.of_batch(event.scope) if story.holder or story.to_archive]
                self._require(not late, f"archived without {late}")
            case ev.Deleted():
                self.end(event.scope)
            case ev.Collected() | ev.BuildEvent():
                return self._tell_of_one(event)
            case ev.JobEvent():
                if self._is_ghostly(event):
                    return Verdict.ABOUT_NOTHING
                self._tell_of_job(self.of[event.scope], event, before)
            case _:
                pass
        return Verdict.FITS

    def end(self, batch: BatchId, but: Container[JobId] = ()) -> None:
        """A batch is gone. What is still said of it is about nothing, `but` of jobs that go on."""
        self._deleted.add(batch)
        self._submissions.pop(batch, None)
        self._builds = {of: id_ for of, id_ in self._builds.items() if of.batch_id != batch}
        for job, story in self.of_batch(batch):
            if story.holder is not None and job not in but:
                self._ghosts[job] = story.holder, story.attempt
            del self.of[job]

    def _is_late(self, event: ev.Event, before: State) -> bool:
        """Is it about a deleted batch, or about a node that has joined again meanwhile?"""
        match event:
            case ev.SubmissionEvent() | ev.Released() | ev.Excused():
                batch = event.batch_id
                is_late = event.submission != replacing.submission_of(self.of, event, self._submissions)
                self._require(not is_late or batch in self._deleted, "it is of another submission")
                return is_late
            case ev.Leaving() | ev.Left():
                node = before.nodes.get(event.node)
                return node is not None and node.incarnation != event.incarnation
            case ev.Lost():
                node = before.nodes.get(event.node)
                return node is not None and node.cause != event.causation
            case _:
                return False

    def _tell_of_one(self, event: ev.Collected | ev.BuildEvent) -> Verdict:
        """Go on with the story of a build, or of a job that ran elsewhere."""
        if isinstance(event, ev.Collected):
            return self._tell_of_collected(event)
        return self._tell_of_build(event)

    def _tell_of_collected(self, event: ev.Collected) -> Verdict:
        """A job that ran elsewhere has ended, unless a person killed it here before that was said."""
        if event.submission != self._submissions.get(event.batch_id):
            self._require(event.batch_id in self._deleted, "it is of another submission")
            return Verdict.ABOUT_NOTHING
        story = self.of[event.scope]
        if story.to_be_killed and not story.attempt:
            return Verdict.ABOUT_NOTHING
        self._require(story.holder is None, f"{story.holder} has it")
        self._require((story.attempt, event.attempt) == (0, 1), "it was collected already")
        story.attempt = event.attempt
        story.succeeded = event.state == "succeeded"
        story.to_be_killed |= event.state == "killed"
        story.failures = story.retries + 1 if event.state == "failed" else 0
        self._leave(story, event.outputs)
        return Verdict.FITS

    def _tell_of_build(self, event: ev.BuildEvent) -> Verdict:
        if isinstance(event, ev.BuildStarted | ev.BuildCollected):
            fits = event.submission == self._submissions.get(event.batch_id)
        else:
            fits = event.causation == self._builds.get(event.scope)
        if fits:
            self._builds[event.scope] = event.id
            return Verdict.FITS
        self._require(event.batch_id in self._deleted, "it is about no build of a batch that is there")
        return Verdict.ABOUT_NOTHING

    def _is_ghostly(self, event: ev.JobEvent) -> bool:
        story = self.of.get(event.scope)
        if isinstance(event, ev.Assigned):
            ghostly = event.submission != self._submissions.get(event.batch_id)
            self._require(not ghostly or event.batch_id in self._deleted, "it is of another submission")
            if ghostly:
                self._ghosts[event.scope] = event.node, event.attempt
            else:
                self._ghosts.pop(event.scope, None)
        elif isinstance(event, ev.JobArchived):
            ghostly = event.batch_id in self._deleted and (story is None or event.attempt != story.attempt)
        else:
            ghostly = self._ghosts.get(event.scope) == (event.node, event.attempt)
            ghostly |= story is None and event.batch_id in self._deleted
        self._require(ghostly or story is not None, "there is no such job")
        return ghostly

    def _completed(self, event: ev.Completed, batch: BatchState) -> None:
        stories = self.of_batch(event.scope)
        held = [job for job, story in stories if story.holder]
        self._require(not held, f"completed, and {held} are with nodes")
        waiting = batch.counts[Status.QUEUED] + batch.counts[Status.RETRYING]
        self._require(not waiting or event.reason is not None, f"completed, and {waiting} jobs wait")
        if self.checks:
            last_jobs.gave_up(self, event, batch)
        for job, story in stories:
            story.given_up |= batch.status[batch.rows[job.job]] == Status.QUEUED
        missing = [job for job, story in stories if event.state == "completed" and not story.succeeded]
        self._require(not missing, f"completed without {missing}")

    def _submitted(self, spec: BatchSpec) -> None:
        self._specs[spec.id] = spec
        self.limits_of[spec.id] = LimitsOf(spec)
        for job in spec.work.jobs:
            retries = spec.retries if job.retries is None else job.retries
            id_ = JobId(spec.namespace, spec.batch, job.name)
            self._require(id_ not in self.of, f"{id_} is submitted twice")
            self.of[id_] = Story(retries)

    def _asked(self, event: ev.KillRequested | ev.Edited | ev.MoveRequested, before: BatchState) -> None:
        """A person wants jobs killed, edited or moved."""
        match event:
            case ev.KillRequested():
                for name in changes.killed(event, before):
                    self.of[JobId(*event.scope, name)].to_be_killed = True
            case ev.Edited():
                self._edited(event, before)
            case ev.MoveRequested():
                self._move(event, before)

    def _edited(self, event: ev.Edited, before: BatchState) -> None:
        last_jobs.edited(self, event, before)
        self.limits_of[event.scope].edit(event)
        for name in changes.edited(event, before):
            story = self.of[JobId(*event.scope, name)]
            if event.retries is not None:
                story.retries, story.runs_again = event.retries, story.failures > event.retries

    def _move(self, event: ev.MoveRequested, before: BatchState) -> None:
        story = self.of[JobId(*event.scope, event.job)]
        is_there = story.holder is not None and story.attempt == event.attempt
        goes_on = not before.kill_wanted(before.rows[event.job]) and last_jobs.may_begin_again(
            self, before, event.job
        )
        story.moved |= is_there and goes_on

    def _forgive(self, batch: BatchState, again: set[str]) -> None:
        for job, story in self.of_batch(batch.id):
            if job.job in again:
                story.failures, story.suspect, story.left_node = 0, None, None
                story.inexcusable = story.given_up = story.to_be_killed = False
            story.forgiven = job.job not in again and batch.status[batch.rows[job.job]] == Status.FAILED

    def _tell_of_job(self, story: Story, event: ev.JobEvent, before: State) -> None:
        match event:
            case ev.Assigned():
                self._has_room(
                    event.batch_id
                )  # first: without its guard, two schedulers may give one job away
                self._require(story.holder is None, f"{story.holder} has it")
                if self.checks:
                    last_jobs.begins(self, event, before.batches[event.batch_id])
                self._require(not story.succeeded, "it has succeeded already")
                may_run = story.failures <= story.retries or story.runs_again
                may_run |= self.lost_words.retries(event.batch_id)
                self._require(may_run, f"it has failed {story.failures} times")
                self._require(event.attempt == story.attempt + 1, f"the attempt before was {story.attempt}")
                self._require(not story.to_archive, "its last attempt is not archived yet")
                story.begin(event)
                last_jobs.runs_again(self, before.batches[event.batch_id], event.job)
            case ev.JobArchived():
                self._require(
                    event.attempt == story.attempt and story.to_archive, "nothing was to be archived"
                )
                story.missing = event.missing is not None
                story.archived = () if story.missing else story.left
                if story.missing:
                    gone = not all(map(self._files.has_chunks, story.left))
                    self._require(gone, "it is there, and said to be gone")
                else:
                    self._require(all(map(self._files.is_committed, story.left)), "it is not in the archive")
                story.to_archive = False
            case ev.Excused():
                self._require(story.holder is None, f"{story.holder} has it")
                self._require(not story.succeeded, "there is no failure to take back")
                waits = self._waits_for_better(before.batches[event.batch_id], event.job)
                if waits and not story.inexcusable:
                    story.to_archive = False
                    # None counts any more if the last job is to run again, because others do.
                    story.failures = max(0, story.failures - 1)
                    story.inexcusable = story.runs_again = True
                    story.forgiven = story.to_be_killed = False
                    last_jobs.excused(self, before.batches[event.batch_id], event.job)
            case _:
                self._require(
                    (story.holder, story.attempt) == (event.node, event.attempt), f"{story.holder} has it"
                )
                self._go_on(story, event, before.batches[event.batch_id])

    def _has_room(self, batch: BatchId) -> None:
        """A job is given to a node: its batch may have one more there."""
        most = self.limits_of[batch].max_running
        if most is not None:
            held = sum(story.holder is not None for _, story in self.of_batch(batch))
            self._require(held < most, f"{held} jobs of {batch} are with nodes, and may be {most}")

    def _waits_for_better(self, batch: BatchState, job: str) -> bool:
        """Does a failure taken back change anything, or did a person, or the batch's end, come first?"""
        row = batch.rows[job]
        if batch.end is not None or batch.kill_wanted(row):
            return False
        return batch.status[row] in {Status.FAILED, Status.RETRYING}

    def _go_on(self, story: Story, event: ev.JobEvent, batch: BatchState) -> None:
        """An event of, or to, the node that has the job."""
        killed = story.ordered or batch.kill_wanted(batch.rows[event.job])
        ends = isinstance(event, ev.Yielded | ev.Released) or (
            isinstance(event, ev.Finished) and story.ordered and not event.succeeded
        )
        if story.moved and ends:
            story.left_node = event.node
        match event:
            case ev.Claimed():
                self._require(not story.claimed, "it was claimed already")
                story.claimed = True
            case ev.Started():
                self._require(story.claimed, "it was not claimed")
                story.started = True
            case ev.StopOrdered():
                self._require(story.claimed, "it was not claimed")
                story.ordered = True
                story.moved &= event.moved is not None  # a kill that came before the order counts more
            case ev.Finished():
                self._require(story.claimed, "it was not claimed")
                self._finish(story, event, killed=killed and not event.succeeded)
            case ev.Yielded():
                story.holder = None
                if event.outputs is not None:
                    self._require(story.claimed, "it was not claimed")
                    self._leave(story, event.outputs)
            case ev.Released(reason="not_there"):
                was_ended = story.ordered and story.launched
                self._require(not was_ended, f"{event.node} ended the killed job, and does not say how")
                story.holder = None
            case ev.Released(reason="killed"):
                is_kept = story.claimed and killed and not batch.discards  # else the log has lost the kill
                is_kept &= not self.lost_words.discards(event.batch_id)
                self._require(not is_kept, f"{event.node} may not say what the killed job left")
                story.holder = None
            case _:
                story.holder = None
        if story.holder is None:
            last_jobs.ended(story, batch, event)

    def _finish(self, story: Story, event: ev.Finished, *, killed: bool) -> None:
        """An attempt has ended, perhaps because a person killed it (`killed`)."""
        story.holder = None
        is_given_back = story.moved and story.ordered and not self.lost_words.ordered(event)
        self._require(
            event.signal is None or not is_given_back, f"{event.node} ended it, and does not give it back"
        )
        was_ordered = killed or self.lost_words.ordered(event)
        self._require(
            event.signal is None or was_ordered, f"{event.node} ended it, and counts that as its failure"
        )
        has_begun = event.started_at is not None
        is_kept = event.outputs is not None or not (killed and has_begun)
        self._require(is_kept, f"what the killed job left at {event.node} is thrown away")
        if event.outputs is not None or has_begun or not killed:
            self._leave(story, event.outputs)
            if not story.to_archive:
                story.archived = ()
        story.succeeded = event.succeeded
        if not killed:
            story.failures += not event.succeeded
            story.runs_again = False
            self._suspect(story, event)

    def _leave(self, story: Story, outputs: Outputs | None) -> None:
        story.to_archive, story.missing = outputs is not None, False
        inline = outputs.inline if outputs is not None else None
        story.left = inline.objects if inline is not None else ()

    def _suspect(self, story: Story, event: ev.Finished) -> None:
        """Note who may be to blame for a failure."""
        if event.succeeded:
            story.suspect = None
        elif story.suspect not in {None, event.node}:
            story.suspect, story.inexcusable = None, True
        elif event.wall_s >= FAST_FAILURE_S:
            story.suspect = None
        elif not story.inexcusable:
            story.suspect = event.node

    def compare(self, batch: BatchState) -> None:
        """Check that the fold agrees with the stories about the jobs of a batch."""
        for row in range(len(batch.names)):
            job, status = batch.job_id(row), Status(batch.status[row])
            story = self.of[job]
            require((status is Status.SUCCEEDED) == story.succeeded, f"{job} is {status.name}: {story}")
            require((row in batch.missing) == story.missing, f"its results are gone, or are not: {story}")
            if status is Status.FAILED and not story.given_up and not why_given_up(batch.deaths.get(row, [])):
                require(story.failures > story.retries, f"{job} failed for no reason: {story}")
            if status is Status.KILLED:
                require(story.to_be_killed, f"{job} was killed, and nobody asked for that: {story}")
