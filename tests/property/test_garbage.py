"""Whatever a peer writes, fold and policy never fail, and the state satisfies the invariants."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from distribute.codec import decode, encode
from distribute.core.checking.invariants import check, check_agenda
from distribute.core.explaining.explain import explain
from distribute.core.folding.fold import apply
from distribute.core.log.events import KINDS, Event
from distribute.core.log.recorded import Guard, Recorded, time_of
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decide import decide
from distribute.core.state.packing import is_packable, unpack
from distribute.core.state.state import State
from distribute.core.views.views import batch_view, batches_view, nodes_view
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make
from property.arbitrary import any_names, events, events_of, rightly_written

SETTING: list[Event] = [
    make.joined("n1"),
    make.joined("n2"),
    make.submitted(make.batch([make.job("j1")], batch="a")),
]
"""Real events that the garbage can refer to."""


def check_snapshot(state: State) -> None:
    """A snapshot restores the state, but for batches that it packs because they are over and archived."""
    restored = load(dump(state))
    assert digest(restored) == digest(state)
    for batch_id in restored.packed.keys() & state.batches.keys():
        assert is_packable(state.batches[batch_id])
        unpack(restored, batch_id)
    assert restored == state


def test_a_batch_that_is_archived_at_the_end_is_packed_by_a_snapshot() -> None:
    """Hypothesis finds these events once in some hundred thousand examples."""
    batch, state = make.batch([make.job("j1")], batch="a"), State()
    ended: list[Event] = [
        make.kill_requested(batch),
        make.completed(batch, state="killed"),
        make.batch_archived(batch),
    ]
    for number, event in enumerate([*SETTING, *ended], start=1):
        apply(state, Recorded(number, float(number), event))
    assert state.batches[batch.id].archived
    check_snapshot(state)


@given(written=st.lists(events, max_size=50).map(lambda written: SETTING + written), data=st.data())
def test_fold_and_policy_survive_whatever_is_written(written: list[Event], data: st.DataObject) -> None:
    agenda, ids = Agenda(State()), count()
    for number, event in enumerate(written, start=1):
        agenda.fold(Recorded(number, float(number), event))
        check(agenda.state)
        if data.draw(st.integers(0, 4)) == 0:
            decide(agenda, float(number), lambda: f"id{next(ids)}")
            check_agenda(agenda)
    check_agenda(agenda)
    check_snapshot(agenda.state)
    for view in (batches_view(agenda.state), nodes_view(agenda, {})):
        assert view.keys() <= {"batches", "nodes"}
    for batch in agenda.state.batches.values():
        assert len(batch_view(agenda.state, batch.id)["job_list"]) == len(batch.names)
        assert all(explain(agenda, batch, row).summary for row in range(len(batch.names)))


STRANGE_TIMES = (float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 253_402_300_799.0, 1e300)
"""Extreme times: before 1970, the last second of the year 9999, and values that are not times."""

clocks = st.one_of(
    st.sampled_from(STRANGE_TIMES),
    st.floats(0, 4e9),
    st.integers(0, 3600).map(lambda seconds: make.EPOCH.timestamp() + seconds),
)


@given(
    written=st.lists(st.tuples(events, clocks, st.integers(-2, 3), clocks), max_size=50),
    is_live=st.booleans(),
)
def test_fold_and_views_survive_any_clocks_and_order(
    written: list[tuple[Event, float, int, float]], is_live: bool
) -> None:
    """Clocks and sequences jump back and forth. `is_live`: the state has batches and nodes for the events."""
    agenda, seq = Agenda(State(), now=make.EPOCH.timestamp()), 0
    before = [(event, make.EPOCH.timestamp(), 1, make.EPOCH.timestamp()) for event in SETTING]
    for event, time, step, now in (before if is_live else []) + written:
        seq = max(0, seq + step)
        agenda.tick(time_of(now).timestamp() if now == now else make.EPOCH.timestamp())
        agenda.fold(Recorded(seq, time, event))
        check(agenda.state)
        check_agenda(agenda)
        decide(agenda, agenda.now, make.new_id)
    check_snapshot(agenda.state)
    batches_view(agenda.state)
    nodes_view(agenda, {})
    for batch in agenda.state.batches.values():
        batch_view(agenda.state, batch.id)
        assert all(explain(agenda, batch, row).summary for row in range(len(batch.names)))


@given(written=st.lists(events, max_size=30), cut=st.integers(0, 30), again=st.integers(0, 30))
def test_a_snapshot_and_the_tail_of_the_log_give_the_whole_state(
    written: list[Event], cut: int, again: int
) -> None:
    """The tail may begin before the snapshot: events that are delivered again change nothing."""
    log = [Recorded(number, float(number), event) for number, event in enumerate(written, start=1)]
    whole, part = State(), State()
    for recorded in log:
        apply(whole, recorded)
    for recorded in log[:cut]:
        apply(part, recorded)
    restored = load(dump(part))
    for recorded in log[max(0, cut - again) :]:
        apply(restored, recorded)
    assert digest(restored) == digest(whole)


ANY = dict.fromkeys(["author", "namespace", "batch", "job", "node"], any_names)


@given(event=st.one_of([events_of(kind, **ANY) for kind in KINDS]).map(rightly_written))
def test_every_event_survives_the_codec(event: Event) -> None:
    again = decode(encode(event))
    assert encode(again) == encode(event)
    assert again.scope == event.scope


@given(
    seqs=st.lists(st.integers(1, 50), unique=True).map(sorted),
    since=st.integers(0, 50),
    seen=st.integers(0, 50),
)
def test_a_guard_holds_exactly_if_its_author_has_read_the_whole_scope(
    seqs: list[int], since: int, seen: int
) -> None:
    """`seqs` are a scope's events; those up to `since` are of a deleted batch. The author read to `seen`."""
    known = [seq for seq in seqs if since < seq <= seen]
    unseen = [seq for seq in seqs if seq > max(since, seen)]
    guard = Guard(known[-1] if known else 0, since)
    assert guard.holds(seqs[-1] if seqs else 0) is (not unseen)
