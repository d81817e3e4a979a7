"""Nodes that the head lists: they have the capabilities of the nodes file beside their own."""

from __future__ import annotations

from typing import Any

import pytest

from core_kit import Lab
from distribute.core.folding import fold_node
from distribute.core.log.events import Event
from distribute.core.scheduling.agenda import Agenda
from distribute.core.views.views import match_view, node_view, nodes_view
from distribute.snapshot import dump, load
from distribute.testing import builders as make

FFTW = frozenset({"fftw"})
NEEDS_FFTW: dict[str, Any] = {"capabilities": FFTW}


def capabilities(lab: Lab) -> frozenset[str]:
    return lab.state.nodes["ws1"].capabilities


@pytest.mark.parametrize("is_first", [True, False])
def test_a_listed_node_has_the_capabilities_whether_it_joins_before_or_after(is_first: bool) -> None:
    joined = make.joined(capabilities=frozenset({"gcc"}))
    events: list[Event] = [make.listed(), joined] if is_first else [joined, make.listed()]
    lab = Lab(*events)
    assert capabilities(lab) == {"gcc", "fftw"}
    assert lab.state.misfits == 0


def test_a_job_waits_until_a_node_is_listed_with_what_it_needs() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(1, **NEEDS_FFTW)))
    assert lab.decide() == []
    lab.happen(make.listed())
    assert [event.type for event in lab.decide()] == ["assigned"]


def test_a_new_list_replaces_the_one_before_and_the_end_of_it_leaves_the_nodes_own() -> None:
    lab = Lab(make.joined(capabilities=frozenset({"gcc"})), make.listed())
    lab.happen(make.listed(capabilities=frozenset({"mpi"})))
    assert capabilities(lab) == {"gcc", "mpi"}
    lab.happen(make.listed(capabilities=None))
    assert capabilities(lab) == {"gcc"}
    assert lab.state.listed == {}


def test_of_what_a_node_tries_out_only_its_own_word_counts() -> None:
    lab = Lab(make.listed(capabilities=frozenset({"python3", "apptainer", "gpu"})), make.joined())
    assert capabilities(lab) == {"gpu"}


def test_a_node_that_joins_again_is_still_listed() -> None:
    lab = Lab(make.listed(), make.joined(), make.left(), make.joined())
    assert capabilities(lab) == FFTW


def test_a_node_that_never_joined_is_expected_and_takes_no_jobs() -> None:
    lab = Lab(make.joined(), make.listed("ws2"), make.submitted(make.batch(1, **NEEDS_FFTW)))
    assert lab.decide() == []
    agenda = Agenda(lab.state)
    joined, expected = nodes_view(agenda, {})["nodes"]
    assert (joined["node"], joined["listed"]) == ("ws1", None)
    assert (expected["state"], expected["capabilities"], expected["listed"]) == (
        "expected",
        ["fftw"],
        ["fftw"],
    )
    assert joined.keys() == expected.keys()
    assert node_view(agenda, "ws1", None).keys() == node_view(agenda, "ws2", None).keys()


@pytest.mark.parametrize("events", [(make.joined(), make.left()), ()])
def test_a_node_that_is_forgotten_is_not_expected(events: tuple[Event, ...]) -> None:
    lab = Lab(make.listed(), *events, make.forgotten())
    assert (lab.state.nodes, lab.state.listed, lab.state.misfits) == ({}, {}, 0)


def test_other_words_about_a_node_that_never_joined_do_not_fit() -> None:
    lab = Lab(make.listed(), make.left())
    assert lab.state.last_misfit.endswith("there is no such node")


def test_no_more_nodes_are_listed_than_a_lab_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_node, "MAX_LISTED", 2)
    lab = Lab(*(make.listed(f"ws{number}") for number in range(3)), make.listed("ws1", frozenset()))
    assert lab.state.listed == {"ws0": FFTW, "ws1": frozenset()}
    assert lab.state.misfits == 1


def test_a_snapshot_has_who_is_listed() -> None:
    lab = Lab(make.listed(), make.joined(capabilities=frozenset({"gcc"})), make.listed("ws2"))
    restored = load(dump(lab.state))
    assert restored == lab.state
    assert restored.listed == {"ws1": FFTW, "ws2": FFTW}


@pytest.mark.parametrize(
    ("needs", "away", "problem"),
    [
        ({"fftw"}, ["ws2"], None),
        ({"mpi"}, [], "no node has the capability mpi; there are: fftw, gcc"),
        ({"gcc", "fftw"}, [], "no single node has all of: fftw, gcc"),
    ],
)
@pytest.mark.parametrize("is_here", [True, False])
def test_a_batch_may_wait_for_a_node_that_is_expected(
    needs: set[str], away: list[str], problem: str | None, is_here: bool
) -> None:
    lab = Lab(make.joined(capabilities=frozenset({"gcc"})), make.listed("ws2"))
    if not is_here:
        lab.happen(make.left())
    view = match_view(lab.state, frozenset(needs), [None])
    assert (view["nodes"], view["fit"]) == (int(is_here), [0])
    assert (view["away"], view["problem"]) == (away, problem)


def test_before_any_node_has_joined_a_batch_waits_for_those_that_are_expected() -> None:
    lab = Lab(make.listed("ws2"))
    assert match_view(lab.state, FFTW, [None])["away"] == ["ws2"]
    refused = match_view(lab.state, frozenset({"gcc"}), [None])["problem"]
    assert refused == "no node has the capability gcc; there are: fftw"


def test_what_an_expected_node_finds_out_by_itself_it_may_have() -> None:
    lab = Lab(make.listed("ws2"))
    for needs in ({"python3", "fftw"}, {"python3.12"}, {"apptainer"}, {"gpu"}):
        view = match_view(lab.state, frozenset(needs), [None])
        assert (view["away"], view["problem"]) == (["ws2"], None)
    refused = match_view(lab.state, frozenset({"python3", "gcc"}), [None])["problem"]
    assert refused == "no node has the capability gcc; there are: fftw"
