"""A packed batch is the same batch: in its digest, in what people see of it, in what events do to it."""

from __future__ import annotations

from copy import deepcopy

import pytest

from core_kit import Lab, of, unpacked
from distribute.core.batch_record import Damaged, Record, load_packed, loading, seal, unseal, unsealing
from distribute.core.events import Event
from distribute.core.packing import packable
from distribute.core.slices import at_once
from distribute.core.specs import Resources
from distribute.core.views import batch_view, batches_view, whole_batch, why_view
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make

JOBS = [make.job("a"), make.job("b", resources=Resources(cpus=2)), make.job("c")]
SWEEP = make.batch(JOBS, build="make")


def lab_of_one_that_is_over() -> Lab:
    """One job succeeded, one failed, one was killed; all is archived."""
    lab = Lab(make.joined("ws1"), make.joined("ws2"), make.submitted(SWEEP))
    lab.happen(make.build_finished("ws2", succeeded=False), make.assigned("a"), make.assigned("b"))
    lab.succeed("a")
    lab.run("b")
    lab.happen(make.finished("b", succeeded=False, wall_s=60.0, reason="out of memory"))
    lab.happen(make.job_archived("b", missing="no chunks"), make.kill_requested(job="c"))
    lab.happen(make.completed(SWEEP, state="failed"), make.batch_archived(SWEEP))
    return lab


def packed_lab() -> Lab:
    return both()[1]


def both() -> tuple[Lab, Lab]:
    """The same lab twice: its batch is whole, and packed."""
    whole = lab_of_one_that_is_over()
    packed = deepcopy(whole)
    assert packed.pack() == {"sweep"}
    return whole, packed


def test_nothing_of_it_is_lost_and_its_digest_is_the_same() -> None:
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
        # what does not fit:
        make.submitted(SWEEP),
        make.kill_requested(SWEEP),
        make.completed(SWEEP),
        make.finished("b"),
        make.claimed("nobody"),
        make.assigned("a", attempt=2),
    ],
    ids=lambda event: event.type,
)
def test_every_event_does_to_it_what_it_does_to_one_that_is_whole(event: Event) -> None:
    whole, packed = both()
    for lab in (whole, packed):
        lab.happen(event)  # the invariants hold, too
        assert not lab.state.packed
    assert digest(packed.state) == digest(whole.state)
    assert packed.state.misfits == whole.state.misfits
    assert [made.type for made in packed.decide()] == [made.type for made in whole.decide()]


def test_what_happens_elsewhere_leaves_it_packed() -> None:
    lab = packed_lab()
    lab.happen(make.left("ws1"), make.joined("ws1"), make.submitted(make.batch(1, batch="next")))
    lab.assign()
    lab.succeed(of("next"))
    assert lab.state.packed.keys() == {SWEEP.id}


def test_people_see_it_as_before() -> None:
    lab, packed = both()
    for one in (lab, packed):
        one.happen(make.submitted(make.batch(1, batch="next")))
    assert batches_view(packed.state) == batches_view(lab.state)
    assert batch_view(packed.state, SWEEP.id) == batch_view(lab.state, SWEEP.id)
    for job in ("a", "b", "c"):
        whole = at_once(whole_batch(packed.state, SWEEP.id))
        assert why_view(packed.agenda, whole, job) == why_view(lab.agenda, lab.batch(), job)
    assert packed.state.packed, "who only looks unpacks nothing"


def test_a_batch_of_which_there_is_none_is_found_nowhere() -> None:
    state = packed_lab().state
    with pytest.raises(KeyError):
        at_once(whole_batch(state, make.batch(batch="none").id))
    assert state.find(make.batch(batch="none").id) is None


def test_a_batch_that_goes_on_or_is_not_archived_is_not_packed() -> None:
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


def test_a_batch_with_a_job_that_was_assigned_too_late_is_not_packed() -> None:
    lab = lab_of_one_that_is_over()
    lab.happen(make.assigned("c"))
    assert lab.batch().active, "its assignment was under way when it was killed"
    assert lab.pack() == set()
    lab.happen(make.released("c", reason="killed"))
    assert lab.pack() == {"sweep"}


def test_a_batch_that_a_nodes_record_of_failures_names_is_not_packed_not_even_by_a_restart() -> None:
    lab = Lab(make.joined("ws1"), make.submitted(make.batch(1)), make.assigned())
    lab.fail_fast("job1")
    lab.happen(make.completed(state="failed"), make.batch_archived())
    assert lab.pack() == set()
    assert not load(dump(lab.state)).packed
    lab.happen(make.submitted(make.batch(1, batch="next")), make.assigned(of("next")))
    lab.succeed(of("next"))
    assert lab.pack() == {"sweep"}
    assert load(dump(lab.state)).packed.keys() == {make.batch().id}


def test_a_batch_about_which_something_is_under_way_is_not_packed() -> None:
    lab = lab_of_one_that_is_over()
    lab.agenda.plan(make.excused("b"))
    assert lab.pack() == set()


def test_a_restart_leaves_packed_what_can_be() -> None:
    lab = packed_lab()
    lab.happen(make.submitted(make.batch(1, batch="next")))
    assert load(dump(lab.state)) == lab.state
    whole, packed = both()
    assert load(dump(whole.state)) == packed.state


def records() -> tuple[Record, Record]:
    [packed] = packed_lab().state.packed.values()
    return packed.fixed, packed.changing


def test_damaged_records_are_noticed_before_anybody_relies_on_them() -> None:
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


def test_columns_of_another_length_are_noticed() -> None:
    fixed, changing = records()
    pieces = unseal(changing)
    pieces[2] += b"\0"
    with pytest.raises(ValueError, match="not of one length"):
        load_packed(fixed, seal(pieces))


def test_a_large_record_comes_back_in_slices() -> None:
    pieces = [bytes(3 << 20), b"", b"x"]
    slices = 0
    for _ in unsealing(seal(pieces)):
        slices += 1
    assert slices > 2
    assert unseal(seal(pieces)) == pieces
