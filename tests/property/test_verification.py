"""To verify a log is to fold it; and where the fold is wrong, the event after which it is wrong is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.core.checking import verification
from distribute.core.checking.verification import FirstBreak, Verification, broken
from distribute.core.folding.fold import apply
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import State
from distribute.testing import builders as make
from property.arbitrary import events

SETTING: list[Event] = [
    make.joined("n1"),
    make.submitted(make.batch([make.job("j1")], namespace="lab", batch="a")),
    make.submitted(make.batch([make.job("j1")], namespace="lab", batch="b")),
]
logs = st.lists(events, max_size=40).map(
    lambda written: [Recorded(seq, float(seq), one) for seq, one in enumerate(SETTING + written, start=1)]
)


def in_pieces(log: list[Recorded], length: int) -> list[list[Recorded]]:
    return [log[at : at + length] for at in range(0, len(log), length)]


@given(log=logs, length=st.integers(1, 20), every=st.integers(1, 20))
def test_a_log_of_whatever_events_keeps_the_invariants(log: list[Recorded], length: int, every: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(verification, "CHECK_EVERY", every)
        verifying, state = Verification(), State()
        for some in in_pieces(log, length):
            verifying.fold(some)
        verifying.finish()
    for recorded in log:
        apply(state, recorded)
    assert verifying.broken_in is None
    assert verifying.state == state
    assert (verifying.events, verifying.first_seq) == (len(log), 1)
    assert bool(verifying.first_misfit) == bool(state.misfits)


@given(log=logs, length=st.integers(1, 20), every=st.integers(1, 20), data=st.data())
def test_the_first_event_after_which_a_state_is_wrong_is_named(
    log: list[Recorded], length: int, every: int, data: st.DataObject
) -> None:
    wrong_from = data.draw(st.integers(len(SETTING), len(log)), label="wrong from")

    def wrong_apply(state: State, recorded: Recorded) -> str | None:
        misfit = apply(state, recorded)
        if recorded.seq == wrong_from:
            for node in state.nodes.values():
                node.used_cpus += 1
        return misfit

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(verification, "apply", wrong_apply)
        patched.setattr(verification, "CHECK_EVERY", every)
        verifying = Verification()
        for some in in_pieces(log, length):
            verifying.fold(some)
        verifying.finish()
        if verifying.broken_in is None:
            assert broken(verifying.state, None) is None  # a node that joined again is counted anew
            return
        good, bad = verifying.broken_in
        assert good < wrong_from <= bad
        found = FirstBreak(verifying.broken_in).fold(log)
    assert found is not None
    assert found.recorded.seq == wrong_from
    assert "cpus in use" in found.what
