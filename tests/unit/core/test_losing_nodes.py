"""Losing and finding nodes: how long the scheduler waits for a silent node, and what becomes of its jobs."""

from __future__ import annotations

from core_kit import Lab, told
from distribute.core import events as ev
from distribute.core.state import Status
from distribute.testing import builders as make


def running(**fields: object) -> Lab:
    """One job runs at ws1, and no other node is there."""
    lab = Lab(make.joined(), make.submitted(make.batch(1, **fields)))
    lab.assign()
    lab.run("job1")
    return lab


def fall_silent(lab: Lab, seconds: float, node: str = "ws1") -> None:
    """The node says nothing for so long; what the scheduler decides meanwhile happens."""
    lab.quiet.add(node)
    for _ in range(int(seconds)):
        lab.wait(1)
        lab.happen(*lab.decide(), apart_s=0.0)


def test_a_node_silent_for_longer_than_its_lease_is_lost_once_and_keeps_its_job() -> None:
    lab = running()
    lab.quiet.add("ws1")
    lab.wait(59)
    assert lab.decide() == []
    lab.wait(1)
    (event,) = lab.decide()
    assert isinstance(event, ev.Lost)
    assert (event.node, event.silent_s) == ("ws1", 60.0)
    lab.wait(1)
    assert lab.decide() == []
    lab.happen(event)
    lab.wait(3600)
    assert lab.decide() == []
    assert lab.status() is Status.RUNNING


def test_a_node_that_is_not_there_is_not_given_up() -> None:
    lab = Lab(make.joined(), make.left())
    lab.wait(99)
    assert lab.decide() == []


def test_a_lost_nodes_job_is_taken_and_given_away_in_one_decision() -> None:
    lab = running()
    fall_silent(lab, 61)
    lab.happen(make.joined("ws2"))
    made = lab.decide()
    assert told(made) == [("released", "job1", "ws1", "node_lost"), ("assigned", "job1", "ws2")]
