"""Folding events about nodes: joining, pauses, drains, builds."""

from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from distribute.core.folding import fold_batch
from distribute.core.ids import BatchId
from distribute.core.log.events import Event
from distribute.core.state.state import MAX_BUILDS_QUOTED, Building, JobKey, NodeState, State
from distribute.core.views.views import batches_view
from distribute.testing import builders as make

SWEEP = BatchId("lab", "sweep")


def node_after(*events: Event) -> NodeState:
    state = make.happen(make.joined(), *events)
    return state.nodes["ws1"]


def test_joined_sets_what_the_node_has() -> None:
    node = node_after(make.joined(cpus=8, memory_bytes=64, gpus=("a",), capabilities=frozenset({"gcc"})))
    assert (node.cpus, node.memory_bytes, node.gpus, node.capabilities) == (8, 64, ("a",), frozenset({"gcc"}))
    assert (node.joined_seq, node.last_seq, node.presence) == (2, 2, "here")


@pytest.mark.parametrize(("event", "presence"), [(make.left(), "left"), (make.lost(), "lost")])
def test_a_node_that_was_gone_is_present_after_it_joins(event: Event, presence: str) -> None:
    assert node_after(event).presence == presence
    assert node_after(event, make.joined()).presence == "here"


def test_a_rejoined_nodes_attempts_hold_their_share_until_each_is_released() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(2)), make.assigned(cpus=3))
    make.happen(make.joined(), state=state)
    assert state.nodes["ws1"].used_cpus == 3
    make.happen(make.released(reason="node_restarted"), state=state)
    assert (state.nodes["ws1"].used_cpus, state.nodes["ws1"].attempts) == (0, set())


def test_pauses_drains_and_quarantines_outlive_the_node_runner() -> None:
    node = node_after(make.paused(), make.drain_requested(reason="disk"), make.quarantined(), make.joined())
    assert (node.pause_reason, node.draining) == ("its owner works", "disk")
    assert node.quarantined is not None
    assert node.paused_until is not None


def test_the_record_of_fast_failures_outlives_the_node_runner() -> None:
    state = make.happen(make.joined(), make.submitted(), make.assigned(), make.claimed())
    make.happen(make.finished(succeeded=False, wall_s=1.0), make.joined(), state=state)
    assert list(state.nodes["ws1"].record.fast_failures) == [JobKey(SWEEP, 0)]


def test_a_pause_has_an_end_and_can_be_resumed() -> None:
    in_an_hour = make.EPOCH + timedelta(hours=1)
    assert node_after(make.paused(until=in_an_hour)).paused_until == make.EPOCH.timestamp() + 2 + 3600
    assert node_after(make.paused(), make.resumed()).paused_until is None


def test_a_pause_has_an_owner_until_it_is_resumed() -> None:
    assert node_after(make.paused(by="jane"), make.joined()).paused_by == "jane"
    assert node_after(make.paused(by="jane"), make.resumed()).paused_by is None
    node = node_after(make.paused(by="jane"), make.paused(reason="the computer is in use"))
    assert (node.paused_by, node.pause_reason) == (None, "the computer is in use")


@pytest.mark.parametrize("request_of_jane", [make.pause_requested(), make.resume_requested()])
def test_what_a_person_wants_of_a_pause_holds_only_when_the_node_says_so(request_of_jane: Event) -> None:
    before, after = node_after(make.paused()), node_after(make.paused(), request_of_jane)
    assert (after.paused_until, after.pauses) == (before.paused_until, before.pauses)
    assert node_after(request_of_jane).paused_until is None


def test_the_end_of_a_pause_names_its_time_zone() -> None:
    """Otherwise it would be another moment on each machine."""
    with pytest.raises(ValidationError, match="timezone"):
        make.paused(until=datetime(2026, 1, 2))  # noqa: DTZ001


def test_undrained_also_ends_a_quarantine() -> None:
    node = node_after(make.drain_requested(), make.quarantined(), make.undrained())
    assert (node.draining, node.quarantined) == (None, None)


def built() -> State:
    return make.happen(
        make.joined(), make.submitted(make.batch(build="make")), make.build_started(), make.build_finished()
    )


def test_a_build_is_known_to_its_batch_and_its_node() -> None:
    state = built()
    assert state.nodes["ws1"].builds == {SWEEP}
    assert state.batches[SWEEP].built_on == {"ws1"}
    assert state.batches[SWEEP].building == {}


def test_a_build_under_way_is_known_to_its_batch() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(build="make")), make.build_started())
    assert state.batches[SWEEP].building == {"ws1": Building(state.time, state.cause)}
    assert state.nodes["ws1"].builds == set()


def test_a_restarted_runner_has_no_builds() -> None:
    state = make.happen(make.joined(), state=built())
    assert state.nodes["ws1"].builds == set()
    assert state.batches[SWEEP].built_on == {"ws1"}, "what a batch is depends on no event of a node"


def test_a_runner_that_was_out_of_touch_still_has_its_builds() -> None:
    lab = make.happen(make.joined(incarnation="1"), make.submitted(make.batch(build="make")))
    make.happen(make.build_finished(), make.lost(), make.joined(incarnation="1"), state=lab)
    assert lab.nodes["ws1"].builds == {SWEEP}


def test_a_build_that_failed_can_succeed_later() -> None:
    failed = make.build_finished(succeeded=False, last_lines=("cc", "no main"))
    state = make.happen(make.joined(), make.submitted(), failed)
    assert state.batches[SWEEP].build_failed == {"ws1": "exit code 2"}
    assert state.batches[SWEEP].build_lines == {"ws1": ["cc", "no main"]}
    make.happen(make.build_finished(), state=state)
    assert (state.batches[SWEEP].build_failed, state.batches[SWEEP].build_lines) == ({}, {})


def test_a_batch_quotes_the_builds_of_a_few_nodes() -> None:
    state = make.happen(make.submitted())
    for n in range(MAX_BUILDS_QUOTED + 2):
        failed = make.build_finished(f"ws{n}", succeeded=False, last_lines=(f"line of ws{n}",))
        make.happen(make.build_started(f"ws{n}"), failed, state=state)
    batch = state.batches[SWEEP]
    assert len(batch.build_failed) == MAX_BUILDS_QUOTED + 2
    assert batch.build_lines == {f"ws{n}": [f"line of ws{n}"] for n in range(MAX_BUILDS_QUOTED)}
    (view,) = batches_view(state)["batches"]
    assert view["build_last_lines"] == batch.build_lines


def test_a_batch_notes_no_more_builds_than_a_lab_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of nodes can be invented."""
    monkeypatch.setattr(fold_batch, "MAX_BUILDS_NOTED", 3)
    state = make.happen(make.submitted())
    make.happen(*(make.build_started(f"ws{number}") for number in range(5)), state=state)
    assert state.batches[SWEEP].building.keys() == {"ws0", "ws1", "ws2"}
    assert state.last_misfit.endswith("3 builds of the batch are noted already")
    make.happen(make.build_finished("ws0"), make.build_finished("ws1", succeeded=False), state=state)
    make.happen(make.build_finished("ws7"), state=state)
    assert (state.batches[SWEEP].built_on, state.misfits) == ({"ws0"}, 3)


def test_a_build_of_a_deleted_batch_changes_nothing() -> None:
    state = make.happen(make.joined(), make.build_started(), make.build_finished())
    assert (state.nodes["ws1"].builds, state.misfits) == (set(), 0)


def test_a_batch_knows_of_which_batch_its_build_was_kept() -> None:
    kept = make.build_finished(kept_from="lab/before")
    state = make.happen(make.joined(), make.submitted(make.batch(build="make")), make.build_started(), kept)
    assert state.batches[SWEEP].built_on == {"ws1"}
    assert batches_view(state)["batches"][0]["build_kept"] == {"ws1": "lab/before"}
    make.happen(make.build_finished(), state=state)
    assert state.batches[SWEEP].build_kept == {}
    for n in range(MAX_BUILDS_QUOTED + 2):
        make.happen(make.build_finished(f"ws{n}", kept_from="lab/before"), state=state)
    assert len(state.batches[SWEEP].build_kept) == MAX_BUILDS_QUOTED
