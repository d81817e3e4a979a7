"""Which batches the archiver compacts."""

from __future__ import annotations

from math import inf

import pytest

from core_kit import Lab
from distribute.core.errors import Refused
from distribute.core.ids import BatchId
from distribute.core.specs import After
from distribute.testing import builders as make
from distribute_services.archiver.compacting import Wish, closed_batch
from distribute_services.archiver.logic import Backlog
from unit.core.test_packing import lab_with_ended_batch

SWEEP = BatchId("lab", "sweep")
ANY_TIME = Wish(SWEEP, inf, "jane")


def test_a_batch_that_is_over_and_archived_is_compacted_packed_or_not() -> None:
    lab = lab_with_ended_batch()
    assert closed_batch(lab.state, ANY_TIME).id == SWEEP
    lab.pack()
    assert closed_batch(lab.state, ANY_TIME).id == SWEEP


def test_a_batch_that_is_gone_or_goes_on_is_refused() -> None:
    with pytest.raises(Refused, match=r"^lab/sweep was deleted meanwhile$"):
        closed_batch(Lab().state, ANY_TIME)
    lab = lab_with_ended_batch()
    lab.happen(make.retry_requested())
    with pytest.raises(Refused, match="lab/sweep runs again: only a batch that is over"):
        closed_batch(lab.state, ANY_TIME)


def test_a_batch_that_ended_later_is_refused() -> None:
    lab = lab_with_ended_batch()
    ended = lab.state.batches[SWEEP].finished_at
    assert ended is not None
    with pytest.raises(Refused, match="lab/sweep ended again meanwhile, at "):
        closed_batch(lab.state, ANY_TIME._replace(over_before=ended))
    assert closed_batch(lab.state, ANY_TIME._replace(over_before=ended + 0.001)).id == SWEEP


def test_a_compacted_batch_is_refused() -> None:
    lab = lab_with_ended_batch()
    lab.happen(make.compacted(lab.state.seq))
    with pytest.raises(Refused, match="lab/sweep was compacted at "):
        closed_batch(lab.state, ANY_TIME)


def test_a_batch_that_another_one_waits_for_is_refused() -> None:
    lab = lab_with_ended_batch()
    submission = lab.state.batches[SWEEP].submission
    after = After(**SWEEP._asdict(), submission=submission)
    lab.happen(make.submitted(make.batch(batch="plot", after=(after,))))
    with pytest.raises(Refused, match="lab/sweep can't be compacted yet: lab/plot waits for it"):
        closed_batch(lab.state, ANY_TIME)
    lab.happen(*lab.decide())
    assert lab.state.batches[BatchId("lab", "plot")].end == "failed", "as the one it was to run after"
    assert closed_batch(lab.state, ANY_TIME).id == SWEEP


@pytest.mark.parametrize("is_accepted", [True, False], ids=["accepted", "refused"])
def test_after_a_restart_only_an_accepted_compaction_removes_events(*, is_accepted: bool) -> None:
    """Else events would be removed that no archive may have. Anybody could write a refused one."""
    lab = lab_with_ended_batch()
    lab.happen(make.compacted(lab.state.seq if is_accepted else 1))
    backlog = Backlog(lab.state)
    backlog.recall(lab.log[-1])
    assert backlog.next() == (lab.state.seq if is_accepted else None)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"namespace":"","batch":"x"}'])
def test_what_is_no_question_is_refused(payload: bytes) -> None:
    with pytest.raises(Refused, match="not a question"):
        Wish.read(payload)
