"""The silence of nodes, as far as the listener could hear."""

import pytest

from core_kit import Lab
from distribute.core.ids import AttemptId, BatchId
from distribute.core.scheduling.liveness import ABSENT_AFTER_S, CLAIM_WITHIN_S, MAX_GAP_S, Lease, Liveness
from distribute.core.state.state import JobKey, NodeState
from distribute.testing import builders as make

NODE = make.happen(make.joined()).nodes["ws1"]
KEY = JobKey(BatchId("lab", "sweep"), 0)
ATTEMPT = AttemptId("lab", "sweep", "job1", 1)


def listening(until: float, *, heard_at: float = 0.0) -> Liveness:
    """A listener that ticks every second from 0 on, and heard `ws1` once."""
    liveness = Liveness(Lease(), 0.0)
    for second in range(int(until) + 1):
        if second == heard_at:
            liveness.heard("ws1", float(second))
        liveness.tick(float(second))
    return liveness


def silent_s(liveness: Liveness, now: float, node: NodeState = NODE) -> float:
    return now - liveness.silent_since(node, now)


def test_silence_puts_a_node_out_of_touch() -> None:
    liveness = listening(15.0)
    assert not liveness.is_silent(NODE, 14.9)
    assert liveness.is_silent(NODE, 15.0)
    liveness.heard("ws1", 15.0)
    assert not liveness.is_silent(NODE, 16.0)


def test_a_node_that_was_never_heard_has_a_lease_from_the_listeners_start() -> None:
    assert silent_s(Liveness(Lease(), 1000.0), 1010.0) == 10.0


def test_silence_while_the_listener_slept_does_not_count() -> None:
    liveness = listening(50.0)
    assert liveness.tick(50.0 + MAX_GAP_S + 0.1)
    assert silent_s(liveness, 60.0) < 5.0


def test_a_gap_that_is_no_longer_than_usual_counts() -> None:
    liveness = listening(58.0)
    assert not liveness.tick(58.0 + MAX_GAP_S)
    assert silent_s(liveness, 58.0 + MAX_GAP_S) == 63.0


@pytest.mark.parametrize("jump_s", [-3600.0, 3 * 365 * 86_400.0], ids=["back", "ahead"])
def test_a_clock_that_jumps_gives_everybody_a_new_lease(jump_s: float) -> None:
    liveness = listening(50.0)
    assert liveness.tick(50.0 + jump_s)
    assert not liveness.is_silent(NODE, 50.0 + jump_s)


def test_a_paused_node_is_not_silent_until_its_pause_is_over() -> None:
    liveness = listening(50.0)
    node = make.happen(make.joined()).nodes["ws1"]
    node.paused_until = 40.0
    assert silent_s(liveness, 30.0, node) == 0.0
    assert silent_s(liveness, 50.0, node) == 10.0


@pytest.mark.parametrize(
    ("ran_s", "patience_s"),
    [(0.0, 60.0), (600.0, 60.0), (3600.0, 360.0), (3 * 86_400.0, 1800.0)],
)
def test_patience_grows_with_what_would_be_lost(ran_s: float, patience_s: float) -> None:
    assert Lease().patience_s(ran_s) == patience_s


def test_a_lease_that_is_longer_than_the_longest_patience_counts() -> None:
    assert Lease(lost_after_s=7200.0).patience_s(1e9) == 7200.0


def test_an_attempt_that_beats_do_not_name_for_a_minute_is_gone() -> None:
    liveness = listening(10.0)
    liveness.named([], [(KEY, ATTEMPT)], 10.0)
    liveness.named([], [(KEY, ATTEMPT)], 15.0)
    assert liveness.gone_at(KEY) == 10.0 + ABSENT_AFTER_S
    liveness.named([ATTEMPT], [(KEY, ATTEMPT)], 20.0)
    assert liveness.gone_at(KEY) is None


def test_a_job_that_its_node_does_not_claim_goes_elsewhere() -> None:
    lab = Lab(make.joined(), make.submitted())
    lab.assign()
    lab.happen(make.joined("ws2"))
    lab.wait(CLAIM_WITHIN_S - 5)
    assert lab.decide() == []
    lab.wait(10)
    (released,) = lab.decide()
    assert (released.type, released.reason) == ("released", "unclaimed")  # type: ignore[union-attr]


def test_a_job_that_its_node_does_not_have_is_released() -> None:
    lab = Lab(make.joined(), make.submitted())
    lab.assign()
    lab.run("job1")
    lab.quiet.add("ws1")
    for _ in range(int(ABSENT_AFTER_S)):
        lab.wait(1)
        lab.beat("ws1", running=[])
        assert lab.decide() == []
    lab.wait(1)
    (released,) = lab.decide()
    assert (released.type, released.reason) == ("released", "not_there")  # type: ignore[union-attr]
