"""What a history says of an event (does it count, and if not, why?) is what the whole state says of it."""

from __future__ import annotations

from copy import deepcopy
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from distribute.core.folding.fold import apply
from distribute.core.ids import JobId, Under
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded, guard_scope
from distribute.core.projections.attempts import with_only_job
from distribute.core.projections.bursts import Bursts
from distribute.core.projections.course import Course
from distribute.core.projections.history import BatchHistory, JobHistory, NodeHistory, Told
from distribute.core.state.state import State
from distribute.core.telling.wording import Wording
from distribute.testing import builders as make
from property.test_projections import JOBS, NODES, SPECS, anything, batch_of, batches, sensible

WORDING = Wording(lambda time: f"{time:%H:%M}")


class Histories:
    """The whole state, and the histories of each batch and node, which get only their own events."""

    def __init__(self) -> None:
        self.truth = State()
        self.log: list[Recorded] = []
        self.batches = {spec.id: BatchHistory(spec.id, WORDING) for spec in SPECS}
        self.nodes = {node: NodeHistory(node, WORDING) for node in NODES}
        self.told: dict[int, Told] = {}
        """What was told of events under batches."""

    def read(self, event: Event) -> None:
        """Let an event happen. Its history must say of it what the state says.

        What ends a batch comes only if it fits: its guard covers everything under the batch and sees to that.
        Without it, the history of a job can't tell from a few events.
        """
        recorded = Recorded(self.truth.seq + 1, 1000.0 + 300.0 * self.truth.seq, event)
        ends = isinstance(guard_scope(event), Under)
        if ends and apply(deepcopy(self.truth), recorded) is not None:
            return
        misfit = apply(self.truth, recorded)
        self.log.append(recorded)
        batch = batch_of(event)
        if batch in self.batches:
            told = self.told[recorded.seq] = self.batches[batch].tell(recorded)
            assert told.misfit == misfit
        elif isinstance(event, ev.NodeEvent) and event.node in self.nodes:
            assert self.nodes[event.node].tell(recorded).misfit == misfit

    def check_job(self, job: JobId) -> bool:
        """Check the history of a job, read from all events under its batch, and from a few alone.

        Returns whether the few sufficed.
        """
        everything, alone = JobHistory(job, WORDING), JobHistory(job, WORDING)
        told_by_all, told_alone = [], []
        for recorded in self.log:
            event = recorded.event
            if batch_of(event) != job.batch_id:
                continue
            told_by_all.append(everything.tell(recorded))
            if isinstance(event, ev.JobEvent) and event.scope != job:
                continue
            jobs = len(event.spec.work.jobs) if isinstance(event, ev.Submitted) else None
            if isinstance(event, ev.Submitted):
                recorded = recorded._replace(event=with_only_job(event, job.job))
            told_alone.append(alone.tell(recorded, jobs))
        found = [told for told in told_by_all if told is not None]
        for told in found:
            assert told.misfit == self.told[told.recorded.seq].misfit
        truth = Course.of(self.truth.batches.get(job.batch_id))
        if not alone.is_sure or Course.of(alone.story.state)[:4] != truth[:4]:
            return False
        assert [(one.sentence, one.misfit) for one in told_alone if one is not None] == [
            (one.sentence, one.misfit) for one in found
        ]
        return True

    def check_bursts(self) -> None:
        """Check that the lines of a batch tell each of its events once, in order of their beginnings."""
        for spec in SPECS:
            bursts = Bursts()
            told = [one for one in self.told.values() if batch_of(one.recorded.event) == spec.id]
            lines = [*(line for one in told for line in bursts.take(one)), *bursts.rest()]
            assert sum(line.events for line in lines) == len(told)
            assert [line.seq for line in lines] == sorted(line.seq for line in lines)


@given(data=st.data(), forged=st.lists(st.none() | st.none() | anything, min_size=30, max_size=60))
def test_histories_say_of_each_event_what_the_state_says(
    data: st.DataObject, forged: list[Event | None]
) -> None:
    histories = Histories()
    for node in NODES:
        histories.read(make.joined(node))
    for event in forged:
        spec = data.draw(batches)
        histories.read(event or data.draw(st.sampled_from(sensible(histories.truth, spec))))
    histories.check_bursts()
    for job in JOBS:
        histories.check_job(job)


def test_a_few_events_mostly_suffice_for_the_history_of_a_job() -> None:
    histories, random = Histories(), Random(1)
    sufficed = 0
    for _ in range(600):
        histories.read(random.choice(sensible(histories.truth, random.choice(SPECS))))
        if histories.truth.seq % 20 == 0:
            sufficed += sum(histories.check_job(job) for job in JOBS)
    assert any(isinstance(recorded.event, ev.Deleted) for recorded in histories.log)
    assert sufficed > 60
