"""Messages of strangers can't fill the scheduler's memory."""

from __future__ import annotations

import pytest

from distribute.core.log.beats import Beat
from distribute.core.log.recorded import Recorded
from distribute.core.scheduling.liveness import Lease
from distribute.core.state.state import State
from distribute.testing import builders as make
from distribute_services.scheduler import logic
from distribute_services.scheduler.logic import Scheduler


def beat(node: str) -> Beat:
    return Beat(node=node, incarnation="1", load=0.5)


def test_heartbeats_of_made_up_nodes_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logic, "MAX_UNKNOWN", 3)
    scheduler = Scheduler(State(), lease=Lease(), new_id=lambda: "", now=0.0, catch_up_to=0)
    for number in range(10):
        scheduler.hear(beat(f"no-node-{number}"), 1.0)
    assert len(scheduler.beats) == 3
    joined = make.joined("ws1")
    scheduler.deliver([Recorded(1, 1.0, joined)], 1.0)
    own = Beat(node="ws1", incarnation=joined.incarnation, load=0.5)
    scheduler.hear(own, 2.0)
    assert scheduler.beats["ws1"] == own


def test_a_forgotten_node_leaves_nothing_in_memory() -> None:
    scheduler = Scheduler(State(), lease=Lease(), new_id=lambda: "", now=0.0, catch_up_to=0)
    events = [make.joined("ws1"), make.left("ws1"), make.forgotten("ws1")]
    for seq, event in enumerate(events, start=1):
        scheduler.deliver([Recorded(seq, float(seq), event)], float(seq))
    assert scheduler.state.nodes == {}
    assert scheduler.agenda.liveness.heard_at("ws1") is None
