"""Make batches that are over."""

from __future__ import annotations

import os
from array import array

from distribute.core.folding.fold import apply
from distribute.core.log import events as ev
from distribute.core.state.state import BatchState, Outcomes, State, Status

from .streams import Writer, sweep


def ended_batches(batches: int, jobs: int) -> State:
    """A state with `batches` batches of `jobs` jobs each, all over and archived."""
    state, writer = State(), Writer()
    for number in range(batches):
        spec = sweep(number, jobs)
        event = ev.Submitted(**writer.stamp("jane"), **spec.id._asdict(), user="jane", spec=spec)
        apply(state, writer.record(event))
        batch = state.batches[event.scope]
        end_all(batch)
        batch.end, batch.finished_at, batch.archived = "completed", state.time, True
    return state


def end_all(batch: BatchState) -> None:
    """End every job of a batch, with figures that compress badly."""
    jobs = len(batch.names)
    batch.status = bytearray([Status.SUCCEEDED]) * jobs
    batch.counts = [0] * len(Status)
    batch.counts[Status.SUCCEEDED] = jobs
    batch.job_seq = array("Q", range(batch.seq, batch.seq + jobs))
    batch.attempts = array("I", [1]) * jobs
    batch.node_names = ["ws1"]
    batch.node_numbers = {"ws1": 0}
    batch.outcomes = Outcomes()
    batch.outcomes.allocate(jobs)
    for name in ("wall_s", "cpu_s", "started_at", "finished_at"):
        numbers = array("I", os.urandom(4 * jobs))
        setattr(batch.outcomes, name, array("d", [1.7e9 + number / 1e3 for number in numbers]))
