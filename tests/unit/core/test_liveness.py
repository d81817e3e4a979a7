"""Who is silent, and for how long, as far as the listener could hear."""

from distribute.core.liveness import MAX_GAP_S, Lease, Liveness

LEASE = Lease(out_of_touch_s=15.0, lost_s=60.0)


def listening(until: float, *, heard_at: float = 0.0) -> Liveness:
    """A listener that looks every second from 0 on, and heard `ws1` once."""
    liveness = Liveness(LEASE, 0.0)
    for second in range(int(until) + 1):
        if second == heard_at:
            liveness.heard("ws1", float(second))
        liveness.look(["ws1"], float(second))
    return liveness


def test_a_node_that_beats_is_in_touch() -> None:
    liveness = listening(100.0)
    liveness.heard("ws1", 100.0)
    assert liveness.look(["ws1"], 101.0) == (frozenset(), {})


def test_silence_puts_a_node_out_of_touch_and_then_beyond_its_lease() -> None:
    assert listening(15.0).look(["ws1"], 15.0) == (frozenset(), {})
    assert listening(16.0).look(["ws1"], 16.0) == ({"ws1"}, {})
    assert listening(60.0).look(["ws1"], 60.0) == ({"ws1"}, {})
    assert listening(61.0).look(["ws1"], 61.0) == ({"ws1"}, {"ws1": 61.0})


def test_a_node_never_heard_has_a_lease_from_when_somebody_listened() -> None:
    liveness = Liveness(LEASE, 1000.0)
    assert liveness.silent_s("ws1", 1010.0) == 10.0


def test_what_the_listener_slept_through_counts_for_nobody() -> None:
    liveness = listening(50.0)
    assert liveness.look(["ws1"], 50.0 + MAX_GAP_S + 0.1) == (frozenset(), {})
    assert liveness.silent_s("ws1", 60.0) < 5.0


def test_a_gap_that_is_no_longer_than_usual_counts() -> None:
    liveness = listening(58.0)
    assert liveness.look(["ws1"], 58.0 + MAX_GAP_S) == ({"ws1"}, {"ws1": 63.0})


def test_after_an_outage_everybody_has_a_new_lease() -> None:
    liveness = listening(70.0)
    liveness.deaf_until(70.0)
    assert liveness.look(["ws1"], 70.0) == (frozenset(), {})
    assert liveness.silent_s("ws1", 75.0) == 5.0


def test_only_the_nodes_asked_for_are_told() -> None:
    assert listening(100.0).look([], 100.0) == (frozenset(), {})
