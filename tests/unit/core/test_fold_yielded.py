"""A node gives a job back: what becomes of the job, and of what it left."""

from typing import Any

from core_kit import status_of
from distribute.core.files.manifest import Outputs
from distribute.core.ids import BatchId
from distribute.core.projections.results import result_seqs
from distribute.core.state.state import State, Status
from distribute.testing import builders as make

SWEEP = BatchId("lab", "sweep")
ATTEMPT = (make.assigned(), make.claimed(), make.started())


def with_nodes(**fields: Any) -> State:
    return make.happen(make.joined("ws1"), make.joined("ws2"), make.submitted(make.batch(2, **fields)))


def test_a_yielded_job_waits_until_what_it_left_is_archived() -> None:
    state = with_nodes()
    given_back = make.yielded(outputs=Outputs(files=1))
    make.happen(*ATTEMPT, given_back, state=state)
    batch = state.batches[SWEEP]
    assert (status_of(state), batch.unarchived[0].id, batch.failures) == (Status.RETRYING, given_back.id, {})
    seq = batch.unarchived[0].seq
    make.happen(make.job_archived(), state=state)
    assert (status_of(state), batch.unarchived) == (Status.QUEUED, {})
    assert result_seqs(batch) == [seq]
    make.happen(make.assigned(attempt=2), make.claimed(attempt=2), state=state)
    make.happen(make.finished(attempt=2), make.job_archived(attempt=2), state=state)
    assert len(result_seqs(batch)) == 1
    assert result_seqs(batch) != [seq], "what the job left in the end counts"


def test_what_a_yielded_job_left_counts_if_a_person_kills_it() -> None:
    state = with_nodes()
    make.happen(*ATTEMPT, make.kill_requested(), make.yielded(outputs=Outputs(files=1)), state=state)
    assert status_of(state) is Status.KILLED
    make.happen(make.job_archived(), state=state)
    assert len(result_seqs(state.batches[SWEEP])) == 1


def test_a_yielded_job_is_queued_again_without_a_failure() -> None:
    state = with_nodes()
    make.happen(*ATTEMPT, make.yielded(), state=state)
    assert status_of(state) is Status.QUEUED
    batch = state.batches[SWEEP]
    assert (batch.failures, batch.deaths, batch.active) == ({}, {}, {})
    assert state.nodes["ws1"].attempts == set()
