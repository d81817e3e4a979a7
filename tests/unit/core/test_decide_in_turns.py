"""Decisions made some at a time equal those made all at once."""

from __future__ import annotations

import pytest

from core_kit import Lab
from distribute.core.log import events as ev
from distribute.core.scheduling.decide import decide
from distribute.core.spec.specs import Resources
from distribute.testing import builders as make


def a_lab() -> Lab:
    lab = Lab(*(make.joined(f"ws{n:02}", cpus=4) for n in range(20)))
    for n, cpus in enumerate((1, 2, 4)):
        batch = make.batch(30, batch=f"b{n}", resources=Resources(cpus=cpus))
        lab.happen(make.submitted(batch, user=f"user{n % 2}"))
    return lab


def assigned(lab: Lab, most: int | None) -> list[tuple[str, str, str]]:
    found = []
    while True:
        made = decide(lab.agenda, lab.now, make.new_id, most=most)
        found += [
            (append.event.batch, append.event.job, append.event.node)
            for append in made
            if isinstance(append.event, ev.Assigned)
        ]
        if most is None or len(made) < most:
            return found
        assert len(made) == most


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_decisions_in_turns_equal_those_made_at_once(most: int) -> None:
    at_once, in_turns = assigned(a_lab(), None), assigned(a_lab(), most)
    assert len(at_once) == len(in_turns) > 20
    assert in_turns == at_once
