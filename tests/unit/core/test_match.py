"""How many nodes could run a batch's jobs, and why none could."""

from __future__ import annotations

import pytest

from core_kit import Lab
from distribute.core.spec.specs import Resources
from distribute.core.views.views import match_view
from distribute.testing import builders as make


@pytest.mark.parametrize(
    ("capabilities", "resources", "fit", "problem"),
    [
        ((), None, 2, None),
        (("gcc",), Resources(cpus=4), 1, None),
        (("fenics",), None, 0, "no node has the capability fenics; there are: cuda, gcc"),
        (("gcc", "cuda"), None, 0, "no single node has all of: cuda, gcc"),
        (("gcc",), Resources(cpus=9), 0, "no node is large enough"),
    ],
)
def test_match_counts_the_nodes_that_could_run_a_job(
    capabilities: tuple[str, ...], resources: Resources | None, fit: int, problem: str | None
) -> None:
    lab = Lab(
        make.joined("a", capabilities=frozenset({"gcc"})),
        make.joined("b", capabilities=frozenset({"cuda"})),
        make.joined("gone"),
        make.lost("gone"),
    )
    view = match_view(lab.state, frozenset(capabilities), [resources])
    too_large = view.pop("too_large")
    assert view == {
        "nodes": 2,
        "fit": [fit],
        "capabilities": {"cuda": 1, "gcc": 1},
        "problem": problem,
        "away": [],
    }
    assert (too_large is None) == (problem != "no node is large enough")


def test_match_reports_a_shape_that_is_too_large() -> None:
    lab = Lab(
        make.joined("a", cpus=4, memory_bytes=1 << 30),
        make.joined("b", cpus=2, memory_bytes=2 << 30, gpus=("x",)),
    )
    view = match_view(lab.state, frozenset(), [Resources(cpus=4), Resources(cpus=9, memory_bytes=5)])
    assert view["fit"] == [1, 0]
    assert view["too_large"] == {
        "asked": {"cpus": 9, "memory_bytes": 5, "gpus": 0},
        "most": {"cpus": 4, "memory_bytes": 2 << 30, "gpus": 1},
    }


def test_match_finds_no_problem_while_no_node_has_joined() -> None:
    view = match_view(Lab().state, frozenset({"gpu"}), [None])
    assert (view["nodes"], view["fit"], view["problem"], view["away"]) == (0, [0], None, [])


@pytest.mark.parametrize(
    ("cpus", "fit", "away", "problem"),
    [
        ((4,), [1], [], None),
        ((8,), [0], ["left", "lost"], None),
        ((16, 1), [0, 1], ["lost"], None),
        ((1, 16, 32), [1, 0, 0], ["lost"], "no node is large enough"),
        ((32, 16), [0, 0], [], "no node is large enough"),
    ],
)
def test_match_judges_by_the_nodes_that_are_away_what_no_other_could_run(
    cpus: tuple[int, ...], fit: list[int], away: list[str], problem: str | None
) -> None:
    lab = Lab(
        make.joined("here", cpus=4),
        make.joined("lost", cpus=16),
        make.lost("lost"),
        make.joined("left", cpus=8),
        make.left("left"),
        make.joined("forgotten", cpus=64),
        make.lost("forgotten"),
        make.forgotten("forgotten"),
    )
    view = match_view(lab.state, frozenset(), [Resources(cpus=count) for count in cpus])
    assert (view["fit"], view["away"], view["problem"]) == (fit, away, problem)
    if problem is not None:
        assert view["too_large"]["most"]["cpus"] == 16
