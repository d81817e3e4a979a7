"""When the owner last used the computer: rules for all readings."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from distribute_services.node_runner.owner.activity import Activity, Desktop, Reading

names = st.sampled_from("abc")
values = st.dictionaries(names, st.integers(0, 5), max_size=3)
desktops = st.none() | st.lists(
    st.builds(Desktop, st.booleans(), st.none() | st.floats(0, 2000, allow_nan=False)), max_size=2
)
readings = st.builds(Reading, values, values, st.lists(names, max_size=2), desktops)
steps = st.lists(st.tuples(st.floats(0.01, 300), st.floats(-1e6, 1e6), readings), min_size=1, max_size=20)


@given(steps)
def test_idleness_grows_with_the_clock_and_falls_only_by_use(
    found: list[tuple[float, float, Reading]],
) -> None:
    activity, now, before, last = Activity(), 1000.0, None, None
    for passed_s, wall, reading in found:
        now += passed_s
        presence = activity.read(reading, now=now, time=wall)
        idle_s = presence.idle_s
        assert idle_s is None or idle_s >= 0
        if before is not None:
            changed = any(
                was.get(name) != value
                for was, now_is in ((before.terminals, reading.terminals), (before.inputs, reading.inputs))
                for name, value in now_is.items()
            )
            is_busy = any(not one.idle and one.since is not None for one in reading.desktops or ())
            if changed or is_busy:
                assert idle_s == 0
            elif idle_s is not None and last is not None:
                assert idle_s <= last + passed_s + 1e-6
            if not changed and not any(one.since is not None for one in reading.desktops or ()):
                assert idle_s == last or math.isclose(idle_s or 0, (last or 0) + passed_s, abs_tol=1e-6)
        before, last = reading, idle_s
