"""A job, a node and a batch may have the same name: what happens to one changes nothing of the others."""

import pytest

from core_kit import Lab, told
from distribute.core.ids import BatchId, BuildId, JobId, NodeId
from distribute.core.log.events import Event
from distribute.testing import builders as make

NAME = "ws1"
BATCH = BatchId("lab", NAME)


def lab_of_one_name() -> Lab:
    """A job `ws1` of the batch `lab/ws1`, and the node `ws1`. The job's assignment is under way."""
    jobs = [make.job(NAME), make.job("job2")]
    lab = Lab(make.joined(NAME, cpus=1), make.submitted(make.batch(jobs, batch=NAME)))
    assert told(lab.decide()) == [("assigned", NAME, NAME)]
    return lab


@pytest.mark.parametrize(
    "event",
    [make.build_started(NAME, BATCH), make.build_finished(NAME, BATCH), make.drain_requested(NAME)],
    ids=["build_started", "build_finished", "drain_requested"],
)
def test_events_of_a_build_or_a_node_settle_nothing_of_a_job_of_that_name(event: Event) -> None:
    lab = lab_of_one_name()
    lab.happen(event)
    assert JobId(*BATCH, NAME) in lab.agenda.pending
    assert BuildId(BATCH, NAME) not in lab.agenda.pending
    assert NodeId(NAME) not in lab.agenda.pending
    assert lab.decide() == [], "the assignment is still under way"


def test_an_assignment_is_settled_by_an_event_of_its_own_job() -> None:
    lab = lab_of_one_name()
    lab.happen(make.assigned(JobId(*BATCH, NAME), "ws2"))
    assert not lab.agenda.pending
