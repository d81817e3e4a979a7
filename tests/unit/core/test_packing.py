"""A packed batch has the same digest as a whole one, folds the same events, and looks the same to people."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from core_kit import Lab, of, unpacked
from distribute.core.log.events import Event
from distribute.core.slices import at_once
from distribute.core.spec.specs import Resources
from distribute.core.state.batch_record import Damaged, load_packed, loading, seal, unseal, unsealing
from distribute.core.state.packed import Record
from distribute.core.state.packing import packable
from distribute.core.views.views import batch_view, batches_view, whole_batch
from distribute.core.views.why_view import why_view
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make

JOBS = [make.job("a"), make.job("b", resources=Resources(cpus=2)), make.job("c")]
SWEEP = make.batch(JOBS, build="make")


def lab_with_ended_batch() -> Lab:
    """A lab with a batch that is over: one job succeeded, one failed, one was killed. All is archived."""
    lab = Lab(make.joined("ws1"), make.joined("ws2"), make.submitted(SWEEP))
    failed_build = make.build_finished("ws2", succeeded=False, last_lines=("cc", "no main"))
    lab.happen(failed_build, make.assigned("a"), make.assigned("b"))
    lab.succeed("a")
    lab.run("b")
    failed: dict[str, Any] = {
        "succeeded": False,
        "wall_s": 60.0,
        "reason": "out of memory",
        "last_lines": ("in f", "no room"),
    }
    lab.happen(make.finished("b", **failed))
    lab.happen(make.job_archived("b", missing="no chunks"), make.kill_requested(job="c"))
    lab.happen(make.completed(SWEEP, state="failed"), make.batch_archived(SWEEP))
    return lab


def packed_lab() -> Lab:
    return both()[1]


def both() -> tuple[Lab, Lab]:
    """The same lab twice: with its batch whole, and with it packed."""
    whole = lab_with_ended_batch()
    packed = deepcopy(whole)
    assert packed.pack() == {"sweep"}
    return whole, packed


def test_packing_loses_nothing_and_keeps_the_digest() -> None:
    lab, packed = both()
    assert not packed.state.batches
    assert SWEEP.id not in packed.agenda.waiting
    assert digest(packed.state) == digest(lab.state)
    whole = unpacked(packed.state)
    assert whole.batches[SWEEP.id].names == lab.batch().names
    assert digest(whole) == digest(lab.state)


@pytest.mark.parametrize(
    "event",
    [
        make.retry_requested(SWEEP),
        make.retry_requested(SWEEP, failed_only=True),
        make.deleted(SWEEP),
        make.reprioritized(3, SWEEP),
        make.build_started("ws1", SWEEP),
        make.build_finished("ws1", SWEEP),
        make.job_archived("b"),
        make.excused("b"),
        # events that do not fit:
        make.submitted(SWEEP),
        make.kill_requested(SWEEP),
        make.completed(SWEEP),
        make.finished("b"),
        make.claimed("nobody"),
        make.assigned("a", attempt=2),
    ],
    ids=lambda event: event.type,
)
def test_every_event_has_the_same_effect_on_a_packed_batch_as_on_a_whole_one(event: Event) -> None:
    whole, packed = both()
    for lab in (whole, packed):
        lab.happen(event)  # the invariants hold, too
        assert not lab.state.packed
    assert digest(packed.state) == digest(whole.state)
    assert packed.state.misfits == whole.state.misfits
    assert [made.type for made in packed.decide()] == [made.type for made in whole.decide()]


def test_events_about_other_batches_leave_a_batch_packed() -> None:
    lab = packed_lab()
    lab.happen(make.left("ws1"), make.joined("ws1"), make.submitted(make.batch(1, batch="next")))
    lab.assign()
    lab.succeed(of("next"))
    assert lab.state.packed.keys() == {SWEEP.id}


def test_a_packed_batch_looks_the_same_to_people() -> None:
    lab, packed = both()
    for one in (lab, packed):
        one.happen(make.submitted(make.batch(1, batch="next")))
    assert batches_view(packed.state) == batches_view(lab.state)
    assert batch_view(packed.state, SWEEP.id) == batch_view(lab.state, SWEEP.id)
    for job in ("a", "b", "c"):
        whole = at_once(whole_batch(packed.state, SWEEP.id))
        assert at_once(why_view(packed.agenda, whole, job)) == at_once(why_view(lab.agenda, lab.batch(), job))
    assert packed.state.packed, "queries unpack nothing"


def test_a_batch_that_does_not_exist_is_not_found() -> None:
    state = packed_lab().state
    with pytest.raises(KeyError):
        at_once(whole_batch(state, make.batch(batch="none").id))
    assert state.find(make.batch(batch="none").id) is None


def test_a_batch_is_packed_only_when_it_is_over_and_archived() -> None:
    lab = Lab(make.joined("ws1"), make.submitted(SWEEP), make.assigned("a"))
    assert lab.pack() == set()
    lab.run("a")
    lab.happen(make.finished("a"), make.kill_requested(SWEEP), make.completed(SWEEP, state="killed"))
    assert lab.pack() == set()
    lab.happen(make.job_archived("a"))
    assert lab.pack() == set()
    lab.happen(make.batch_archived(SWEEP))
    assert packable(lab.state, over_before=lab.now - 60) == []
    assert lab.pack() == {"sweep"}


def test_a_batch_with_an_active_job_is_not_packed() -> None:
    lab = lab_with_ended_batch()
    lab.happen(make.assigned("c"))
    assert lab.batch().active, "the job was killed while its assignment was pending"
    assert lab.pack() == set()
    lab.happen(make.released("c", reason="killed"))
    assert lab.pack() == {"sweep"}


def test_a_batch_in_a_nodes_record_of_failures_is_not_packed_even_after_a_restart() -> None:
    lab = Lab(make.joined("ws1"), make.submitted(make.batch(1)), make.assigned())
    lab.fail_fast("job1")
    lab.happen(make.completed(state="failed"), make.batch_archived())
    assert lab.pack() == set()
    assert not load(dump(lab.state)).packed
    lab.happen(make.submitted(make.batch(1, batch="next")), make.assigned(of("next")))
    lab.succeed(of("next"))
    assert lab.pack() == {"sweep"}
    assert load(dump(lab.state)).packed.keys() == {make.batch().id}


def test_a_batch_with_a_pending_event_is_not_packed() -> None:
    lab = lab_with_ended_batch()
    lab.agenda.plan(make.excused("b"))
    assert lab.pack() == set()


def test_after_a_restart_all_packable_batches_are_packed() -> None:
    lab = packed_lab()
    lab.happen(make.submitted(make.batch(1, batch="next")))
    assert load(dump(lab.state)) == lab.state
    whole, packed = both()
    assert load(dump(whole.state)) == packed.state


def records() -> tuple[Record, Record]:
    [packed] = packed_lab().state.packed.values()
    return packed.fixed, packed.changing


def test_reading_a_damaged_record_raises_damaged() -> None:
    fixed, changing = records()
    other = seal([b"something else"])
    for damaged in (
        Record(changing.digest, other.data),
        Record(changing.digest, changing.data[:-5]),
        Record(changing.digest, b""),
        Record(changing.digest, b"no zlib"),
    ):
        for work in (load_packed, lambda *pair: at_once(loading(*pair))):
            with pytest.raises(Damaged):
                work(fixed, damaged)


def test_columns_of_different_lengths_are_refused() -> None:
    fixed, changing = records()
    pieces = unseal(changing)
    pieces[2] += b"\0"
    with pytest.raises(ValueError, match="not of one length"):
        load_packed(fixed, seal(pieces))


def test_a_large_record_is_read_in_slices() -> None:
    pieces = [bytes(3 << 20), b"", b"x"]
    slices = 0
    for _ in unsealing(seal(pieces)):
        slices += 1
    assert slices > 2
    assert unseal(seal(pieces)) == pieces
