"""What nodes report of jobs hours later, because they could not reach the log."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.codec import decode, encode
from distribute.core.folding.fold import apply
from distribute.core.folding.outcomes import lag_s
from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.event_base import EARLIEST, LATEST
from distribute.core.log.recorded import Recorded
from distribute.core.projections.attempts import JobAttempts
from distribute.core.state.state import State
from distribute.testing import builders as make

SWEEP = BatchId("lab", "sweep")
HOUR_S = 3600.0


@pytest.mark.parametrize("clock_off_s", [0.0, -400 * 24 * HOUR_S])
@pytest.mark.parametrize("stored_late", [("finished",), ("started", "finished")])
def test_an_outage_of_the_log_does_not_move_the_start_and_end_of_a_job(
    clock_off_s: float, stored_late: tuple[str, ...]
) -> None:
    """Its node runs the job from 1 s to 61 s after it has claimed it, and reaches the log hours later."""
    log = make.record([make.submitted(), make.assigned()])
    claimed_at, clock = log[-1].time + 1, make.EPOCH + timedelta(seconds=clock_off_s)
    reports: list[tuple[float, ev.Claimed | ev.Started | ev.Finished]] = [
        (0.0, make.claimed()),
        (1.0, make.started()),
        (61.0, make.finished(outputs=None)),
    ]
    for after_s, event in reports:
        written = event.model_copy(update={"time": clock + timedelta(seconds=after_s)})
        if isinstance(written, ev.Finished):
            written = written.model_copy(update={"started_at": clock + timedelta(seconds=1)})
        stored_at = claimed_at + after_s + (5 * HOUR_S if event.type in stored_late else 0.0)
        log.append(Recorded(len(log) + 1, stored_at, written))
    state, attempts = State(), JobAttempts(JobId(*SWEEP, "job1"))
    for recorded in log:
        assert apply(state, recorded) is None
        attempts.fold(recorded)
    outcomes, attempt = state.batches[SWEEP].outcomes, attempts.attempts[1]
    times = (outcomes.started_at[0], outcomes.finished_at[0])
    assert times == pytest.approx((claimed_at + 1, claimed_at + 61))
    assert (attempt.started_at, attempt.ended_at) == times


def test_an_attempt_that_was_given_back_while_the_log_was_away_ended_then() -> None:
    log = make.record([make.submitted(), make.assigned(), make.claimed()])
    back = make.yielded().model_copy(update={"time": log[-1].event.time + timedelta(seconds=9)})
    attempts = JobAttempts(JobId(*SWEEP, "job1"))
    for recorded in [*log, Recorded(4, log[-1].time + HOUR_S, back)]:
        attempts.fold(recorded)
    assert attempts.attempts[1].ended_at == pytest.approx(log[-1].time + 9)


def test_a_job_whose_nodes_clock_is_set_back_ends_no_earlier_than_it_can_have() -> None:
    state = make.happen(make.joined(), make.submitted())
    make.happen(make.assigned(), make.claimed(), make.started(), state=state)
    assigned_at = state.time - 2
    back = make.finished().model_copy(update={"time": make.EPOCH - timedelta(days=1)})
    apply(state, Recorded(state.seq + 1, state.time + 70, back))
    assert state.batches[SWEEP].outcomes.finished_at[0] == pytest.approx(assigned_at + 60)


@given(
    st.timedeltas(timedelta(0), LATEST - EARLIEST),
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_a_lag_is_to_the_last_bit_the_same_in_every_time_zone_and_process(
    after: timedelta, zone: timezone
) -> None:
    """It is in the state, whose digests are compared."""
    event = make.claimed().model_copy(update={"time": (EARLIEST + after).astimezone(zone)})
    read = decode(encode(event))
    assert isinstance(read, ev.Claimed)
    assert lag_s(1e9, event) == lag_s(1e9, read) == 1e9 - event.time.timestamp()
