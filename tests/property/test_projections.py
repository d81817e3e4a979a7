"""What projections derive from one batch's events equals the whole state, after every event.

The events are those of a lab, mixed with forged, late, repeated and misordered ones. A projection gets only
the events of its batch, as a reader of one batch does; `apply` gets all of them.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from distribute.core.files.manifest import Outputs
from distribute.core.folding.fold import apply
from distribute.core.folding.work import marked
from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.projections.attempts import JobAttempts, attempts_alone
from distribute.core.projections.course import Course
from distribute.core.projections.results import BatchResults
from distribute.core.projections.story import BatchStory
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import BatchState, State, Status
from distribute.core.state.statuses import rows_with
from distribute.testing import builders as make

SPECS = [make.batch(2, batch="a", retries=1), make.batch(1, batch="b", build="make")]
NODES = ("n1", "n2")
JOBS = [JobId(*spec.id, job.name) for spec in SPECS for job in spec.work.jobs]

batches = st.sampled_from(SPECS)
jobs = st.sampled_from([*JOBS, JobId("lab", "a", "no such job"), JobId("lab", "none", "job1")])
nodes = st.sampled_from([*NODES, "nobody"])
attempts = st.integers(1, 3)
seconds = st.sampled_from([0.5, 600.0])
outputs = st.none() | st.just(Outputs())
ends = st.sampled_from(["completed", "failed", "killed"])

anything = st.one_of(
    st.builds(make.submitted, batches),
    st.builds(make.submitted, batches, replaces=st.just("another")),
    st.builds(make.kill_requested, batches, st.none() | st.just("job1"), st.sampled_from(["jane", "bob"])),
    st.builds(make.kill_requested, batches, state=st.just("queued")),
    st.builds(make.stop_ordered, jobs, nodes, attempts),
    st.builds(make.retry_requested, batches),
    st.builds(make.retry_requested, batches, jobs=st.just(("job1",))),
    st.builds(make.held, batches),
    st.builds(make.hold_released, batches),
    st.builds(make.completed, batches, state=ends, reason=st.none() | st.just("a reason")),
    st.builds(make.batch_archived, batches),
    st.builds(make.deleted, batches),
    st.builds(make.assigned, jobs, nodes, attempts),
    st.builds(make.claimed, jobs, nodes, attempts),
    st.builds(make.started, jobs, nodes, attempts),
    st.builds(make.finished, jobs, nodes, attempts, succeeded=st.booleans(), wall_s=seconds, outputs=outputs),
    st.builds(make.released, jobs, nodes, attempts),
    st.builds(make.yielded, jobs, nodes, attempts, outputs=outputs),
    st.builds(make.collected, jobs, nodes, attempts, submission=st.just("another"), outputs=outputs),
    st.builds(make.excused, jobs, nodes, attempts),
    st.builds(make.job_archived, jobs, nodes, attempts, st.none() | st.just("the disk is gone")),
    st.builds(make.build_started, nodes, batches),
    st.builds(make.build_finished, nodes, batches, succeeded=st.booleans(), killed=st.booleans()),
    st.builds(make.left, nodes),
    st.builds(make.lost, nodes),
    st.builds(make.joined, st.sampled_from(NODES)),
)
"""Any event of this small lab, whether it fits or not."""


def sensible(state: State, spec: BatchSpec) -> list[Event]:
    """Events that fit a batch in its current state."""
    batch = state.batches.get(spec.id)
    if batch is None:
        return [make.submitted(spec), make.submitted(spec, ran_at=make.RAN_AT)]
    said: list[Event] = [
        make.kill_requested(spec),
        (make.held if batch.holding is None else make.hold_released)(spec),
        make.build_started("n1", spec),
        make.build_finished("n1", spec),
        make.notified(spec),
    ]
    if batch.ran_at is not None:
        said.append(make.build_collected("n1", spec, submission=batch.submission))
        said.append(make.build_collected("n2", spec, submission=batch.submission, succeeded=False))
    if batch.end is not None:
        said += [make.deleted(spec), make.retry_requested(spec), make.batch_archived(spec)]
    if batch.end is not None or batch.holding is not None:
        kept = marked(spec, frozenset(batch.names[batch.under_seq % 2 :]))
        said += [make.submitted(one, replaces=batch.submission) for one in (spec, kept)]
    if batch.end is None:
        said += [
            make.edited(spec, retries=batch.attempts[0], jobs=(batch.names[0],)),
            make.edited(spec, cpus=2),
        ]
    if batch.end is None and not batch.active:
        said += [make.completed(spec, state=end) for end in ("completed", "failed", "killed")]
    for row in range(len(batch.names)):
        said += sensible_of_job(batch, row)
    return said


def sensible_of_job(batch: BatchState, row: int) -> list[Event]:
    job, number = batch.job_id(row), batch.attempts[row]
    if row in batch.unarchived:
        last = batch.node_names[batch.outcomes.node[row]] if batch.outcomes.finished_at[row] else NODES[0]
        return [
            make.job_archived(job, last, number),
            make.job_archived(job, last, number, "the disk is gone"),
        ]
    if batch.status[row] == Status.QUEUED and batch.ran_at is not None:
        ends: tuple[dict[str, Any], ...] = (
            {"state": "succeeded"},
            {"state": "failed", "last_lines": ("no room",)},
            {"state": "killed", "outputs": None},
        )
        return [make.collected(job, submission=batch.submission, **end) for end in ends]
    if batch.status[row] == Status.QUEUED:
        return [make.assigned(job, node, number + 1) for node in NODES]
    attempt = batch.active.get(row)
    if attempt is None:
        return (
            [make.excused(job, batch.node_names[batch.outcomes.node[row]], number)]
            if row in batch.failures
            else []
        )
    at = (job, attempt.node, number)
    said: list[Event] = [make.released(*at), make.yielded(*at), make.yielded(*at, outputs=Outputs())]
    if batch.status[row] == Status.ASSIGNED:
        return [*said, make.claimed(*at)]
    said += [make.stop_ordered(*at), make.move_requested(job.job, number, job.batch_id)]
    if batch.status[row] == Status.CLAIMED:
        said.append(make.started(*at))
    return [*said, make.finished(*at), make.finished(*at, succeeded=False), make.finished(*at, outputs=None)]


class Readers:
    """The whole state, and for each batch a reader of that batch alone."""

    def __init__(self) -> None:
        self.truth = State()
        self.accepted: set[str] = set()
        self.stories = {spec.id: BatchStory(spec.id) for spec in SPECS}
        self.results = {spec.id: BatchResults(spec.id) for spec in SPECS}
        self.attempts = {job: JobAttempts(job) for job in JOBS}
        self.log: list[Recorded] = []
        self.told_alone = 0
        self.finished: dict[JobId, int] = {}
        """The last `finished` that the state accepted of each job."""
        self.can_be_pulled: dict[JobId, int] = {}

    def read(self, event: Event) -> None:
        recorded = Recorded(self.truth.seq + 1, 1000.0 + 300.0 * self.truth.seq, event)
        misfits = self.truth.misfits
        unarchived = {id_: set(batch.unarchived) for id_, batch in self.truth.batches.items()}
        stopped = self.is_stopped(event)
        apply(self.truth, recorded)
        self.log.append(recorded)
        for id_, story in self.stories.items():
            accepted = story.fold(recorded)
            if batch_of(event) == id_:
                assert accepted == (self.truth.misfits == misfits), self.truth.last_misfit
                if accepted:
                    self.accepted.add(event.type)
            self.results[id_].fold(recorded)
        for attempts in self.attempts.values():
            attempts.fold(recorded)
        if self.truth.misfits == misfits:
            self.note_results(recorded, unarchived, stopped)
        self.check()

    def check(self) -> None:
        for id_, story in self.stories.items():
            assert story.state == self.truth.batches.get(id_)
            assert Course.of(story.state) == self.results[id_].course
            self.check_results(self.results[id_])
        for job, attempts in self.attempts.items():
            self.check_attempts(job, attempts)
            self.told_alone += self.check_alone(job)

    def check_results(self, results: BatchResults) -> None:
        batch = self.truth.batches.get(results.story.id)
        if batch is None:
            assert not results.seqs
            assert not results.missing
            return
        assert results.missing == {batch.names[row]: what for row, what in batch.missing.items()}
        expected = {job: seq for job, seq in self.can_be_pulled.items() if job.batch_id == batch.id}
        assert results.seqs == sorted(expected.values())
        assert results.missing.keys().isdisjoint(job.job for job in expected)

    def is_stopped(self, event: Event) -> bool:
        """Was the attempt that has finished killed, or told to stop?"""
        batch = self.truth.batches.get(event.batch_id) if isinstance(event, ev.Finished) else None
        row = batch.rows.get(event.job) if batch is not None and isinstance(event, ev.Finished) else None
        attempt = batch.active.get(row) if batch is not None and row is not None else None
        if batch is None or row is None or attempt is None:
            return False
        return attempt.stop_at is not None or batch.kill_of(row) is not None

    def is_killed_unbegun(self, event: ev.Finished, stopped: bool) -> bool:
        """Was an attempt killed before it began? Then what is in the archive stays there."""
        return stopped and event.started_at is None

    def note_results(self, recorded: Recorded, unarchived: dict[BatchId, set[int]], stopped: bool) -> None:
        """What can be pulled of a job changes when an attempt is archived, or ends and has left nothing."""
        event = recorded.event
        match event:
            case ev.Submitted() | ev.Deleted():
                kept = self.kept_by(event)
                for seqs in (self.finished, self.can_be_pulled):
                    for job in [job for job in seqs if job.batch_id == event.scope and job not in kept]:
                        del seqs[job]
            case ev.Finished():
                self.finished[event.scope] = recorded.seq
                if event.outputs is None and not self.is_killed_unbegun(event, stopped):
                    self.can_be_pulled[event.scope] = recorded.seq
            case ev.Collected():
                self.finished[event.scope] = recorded.seq
                if event.outputs is None:
                    self.can_be_pulled[event.scope] = recorded.seq
            case ev.Yielded() if event.outputs is not None:
                self.finished[event.scope] = recorded.seq
            case ev.JobArchived() if (batch := self.truth.batches.get(event.batch_id)) is not None:
                row = batch.rows.get(event.job)
                if row in unarchived[batch.id] - batch.unarchived.keys():
                    self.can_be_pulled.pop(event.scope, None)
                    if event.missing is None:
                        self.can_be_pulled[event.scope] = self.finished[event.scope]
            case _:
                pass

    def kept_by(self, event: ev.Submitted | ev.Deleted) -> set[JobId]:
        """The jobs that a submission keeps: those that have succeeded already, or run."""
        batch = self.truth.batches.get(event.scope)
        if batch is None:
            return set()
        return {batch.job_id(row) for row in (*rows_with(batch, Status.SUCCEEDED), *batch.taken_over)}

    def is_marked(self, job: JobId, course: Course) -> bool:
        """Does the submission say that it keeps the job?"""
        said = next(one.event for one in self.log if one.event.id == course.submission)
        assert isinstance(said, ev.Submitted)
        return any(one.name == job.job and one.kept for one in said.spec.work.jobs)

    def check_alone(self, job: JobId) -> bool:
        """Check that a job's own events and its batch's tell its attempts, if they say that they do."""
        course = Course.of(self.truth.batches.get(job.batch_id))
        if not course.exists or self.is_marked(job, course):
            return False
        scopes = (job, job.batch_id)
        events = [said for said in self.log if said.seq >= course.seq and said.event.scope in scopes]
        alone = attempts_alone(job, events, course)
        assert alone is None or alone.attempts == self.attempts[job].attempts
        return alone is not None

    def check_attempts(self, job: JobId, attempts: JobAttempts) -> None:
        batch = self.truth.batches.get(job.batch_id)
        if batch is None:
            assert not attempts.attempts
            return
        row = batch.rows[job.job]
        assert sorted(attempts.attempts) == list(range(1, batch.attempts[row] + 1))
        running = {number: found for number, found in attempts.attempts.items() if found.ended_at is None}
        active = batch.active.get(row)
        expected = (
            {} if active is None else {active.number: (active.node, active.assigned_at, active.started_at)}
        )
        assert {
            number: (found.node, found.assigned_at, found.started_at) for number, found in running.items()
        } == expected


def batch_of(event: Event) -> BatchId | None:
    if isinstance(event, ev.BatchEvent):
        return event.scope
    if isinstance(event, ev.JobEvent | ev.BuildStarted | ev.BuildFinished | ev.BuildCollected):
        return BatchId(event.namespace, event.batch)
    return None


@given(data=st.data(), forged=st.lists(st.none() | st.none() | anything, min_size=30, max_size=60))
def test_a_reader_of_one_batch_counts_what_the_state_counts(
    data: st.DataObject, forged: list[Event | None]
) -> None:
    readers = Readers()
    for node in NODES:
        readers.read(make.joined(node))
    for event in forged:
        spec = data.draw(batches)
        readers.read(event or data.draw(st.sampled_from(sensible(readers.truth, spec))))


def test_events_of_every_kind_are_accepted() -> None:
    """Without this, the property above could compare empty states."""
    readers, random = Readers(), Random(1)
    for node in NODES:
        readers.read(make.joined(node))
    for _ in range(6000):
        readers.read(random.choice(sensible(readers.truth, random.choice(SPECS))))
    under_a_batch = set(map(ev.type_of, ev.KINDS)) - ev.types_of(ev.NodeEvent)
    assert readers.told_alone
    # Of a compacted batch, the state keeps no jobs to compare: see `unit/core/test_compacted.py`.
    assert readers.accepted == under_a_batch - {"reprioritized", "compacted"}
