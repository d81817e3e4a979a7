"""A job whose nodes went down too often fails, and is not assigned again. The simulation found this."""

from __future__ import annotations

from core_kit import Lab, told
from distribute.core.state.state import Status
from distribute.testing import builders as make


def on_its_last_node() -> Lab:
    """The job's first node was lost while it ran; now it runs on the second one, which falls silent."""
    lab = Lab(make.joined("ws1"), make.joined("ws2"), make.submitted(make.batch(1)))
    lab.happen(make.assigned("job1", "ws1"))
    lab.run("job1", "ws1")
    lab.happen(make.released("job1", "ws1", reason="node_lost"), make.assigned("job1", "ws2", 2))
    lab.run("job1", "ws2", 2)
    lab.quiet.add("ws2")
    return lab


def test_the_job_is_released_and_not_assigned() -> None:
    lab = on_its_last_node()
    lab.wait(61)
    lost = lab.decide()
    assert told(lost) == [("lost", "ws2")], "the log says first that it is lost"
    lab.happen(*lost)
    decided = lab.decide()
    assert ("released", "job1", "ws2", "node_lost") in told(decided)
    assert not [line for line in told(decided) if line[0] == "assigned"]
    lab.happen(*decided)
    assert lab.status() is Status.FAILED


def test_its_node_has_the_usual_time_to_return() -> None:
    lab = on_its_last_node()
    lab.wait(50)
    assert not [line for line in told(lab.decide()) if line[0] == "released"]
