"""A node that pauses by itself: rules for all that an owner and other people may do."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from distribute.core.spec.hours import parse_hours
from distribute_services.node_runner.owner.own_pauses import (
    EARLY_S,
    FOLLOWS_S,
    RENEWED_S,
    SETTLED_S,
    TOLERANCE_S,
    Terms,
)
from unit.services.own_pauses_kit import Desk, local_time

TICK_S = 1.0

terms = st.builds(
    Terms,
    pause_when_active_s=st.none() | st.sampled_from([5.0, 60.0, 900.0]),
    lend=st.none() | st.sampled_from(["12:10-12:00", "12:00-12:05, 12:20-11:50"]).map(parse_hours),
)
deeds = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["away", "work"]), st.integers(1, 2000)),
        st.tuples(st.just("pause"), st.integers(2, 1200)),
        st.tuples(st.just("resume"), st.just(0)),
        st.tuples(st.just("jump"), st.integers(-3600, 3600)),
    ),
    max_size=8,
)


def is_wanted(at: Desk, of: Terms) -> bool:
    """Do the terms demand a pause, by the words of the documentation?"""
    active = of.pause_when_active_s
    if active is not None and at.used_at is not None and at.now - at.used_at < active:
        return True
    return of.lend is not None and not of.lend.include(local_time(at.time))


@settings(max_examples=60)
@given(terms, deeds)
def test_whoever_does_what_the_node_is_paused_when_the_terms_say_so(
    of: Terms, done: list[tuple[str, int]]
) -> None:
    at = Desk(of)
    at.wait(SETTLED_S + 1)
    is_overruled, unwanted_s, before = False, 0.0, len(at.steps)
    began = at.now
    for deed, seconds in done:
        if deed == "pause":
            at.begin(seconds, "jane")
        elif deed == "resume" and at.pause is not None and at.left_s > EARLY_S + TICK_S:
            at.resume()
            is_overruled = True
        elif deed == "jump":
            at.offset += seconds
        for _ in range(seconds if deed in {"away", "work"} else 1):
            persons = at.pause if at.pause is not None and at.pause.by is not None else None
            persons_left_s = at.left_s
            at.wait(TICK_S, used=deed == "work")
            if persons is not None and persons_left_s > FOLLOWS_S + TICK_S:
                assert at.pause == persons, "a person's pause stays as it is"
            wanted = is_wanted(at, of)
            is_overruled &= wanted
            unwanted_s = 0.0 if wanted else unwanted_s + TICK_S
            if wanted and not is_overruled and not ends_at_once(at, of):
                assert at.pause is not None
            if unwanted_s > TOLERANCE_S + TICK_S and at.pause is not None:
                assert at.pause.by is not None, "it hardly outlasts its cause"
    shortest_s = min(of.pause_when_active_s or 900.0, 2 * RENEWED_S) / 2
    assert len(at.steps) - before <= (at.now - began) / shortest_s + 3 * len(done) + 1, "each is an event"


def ends_at_once(at: Desk, of: Terms) -> bool:
    """Is the cause over so soon that a pause is not worth it?"""
    active, used_at = of.pause_when_active_s, at.used_at
    left_s = active - (at.now - used_at) if active is not None and used_at is not None else 0.0
    opens = of.lend.next_change(at.time, local_time) if of.lend is not None else None
    is_closed = of.lend is not None and not of.lend.include(local_time(at.time))
    closed_s = opens - at.time if opens is not None and is_closed else 0.0
    return max(left_s, closed_s) <= EARLY_S
