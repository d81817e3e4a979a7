"""Jobs to release are checked once each, in a fixed order, and some at a time if they are many."""

from __future__ import annotations

import pytest

from core_kit import Lab
from distribute.core.ids import BatchId
from distribute.core.scheduling import decide as core_decide
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decide import decide
from distribute.core.scheduling.releases import Releases
from distribute.core.spec.specs import Resources
from distribute.core.state.state import JobKey
from distribute.testing import builders as make

A, B = BatchId("lab", "a"), BatchId("lab", "b")


def test_added_attempts_are_taken_once_and_in_order() -> None:
    releases = Releases()
    releases.add(JobKey(B, 3))
    releases.add(JobKey(A, 9))
    releases.add_all(A, [5, 9, 7])
    releases.add(JobKey(A, 5))
    releases.add(JobKey(A, 6))
    assert list(releases.take()) == [JobKey(A, 5), JobKey(A, 6), JobKey(A, 7), JobKey(A, 9), JobKey(B, 3)]
    assert list(releases.take()) == []


def test_attempts_that_were_not_taken_stay() -> None:
    releases = Releases()
    releases.add_all(A, range(4))
    taking = releases.take()
    assert [next(taking), next(taking)] == [JobKey(A, 0), JobKey(A, 1)]
    taking.close()
    releases.add(JobKey(A, 1))
    assert [key.row for key in releases.take()] == [1, 2, 3]


def test_the_attempts_of_a_deleted_batch_are_dropped() -> None:
    releases = Releases()
    releases.add_all(A, range(4))
    releases.add(JobKey(B, 1))
    releases.forget(A)
    assert list(releases.take()) == [JobKey(B, 1)]


def test_the_jobs_of_a_killed_batch_are_released_some_at_a_time() -> None:
    spec = make.batch(10, resources=Resources(cpus=1))
    lab = Lab(make.joined("ws1", cpus=16), make.submitted(spec))
    assert len(lab.assign()) == 10
    lab.happen(make.kill_requested(spec))
    told = []
    for _ in range(4):
        made = decide(lab.agenda, lab.now, make.new_id, most=4)
        told.append([append.event.job for append in made if append.event.type == "released"])
    assert told == [["job1", "job2", "job3", "job4"], ["job5", "job6", "job7", "job8"], ["job9", "job10"], []]


def test_jobs_that_stay_with_their_nodes_are_checked_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_decide, "MOST_LOOKED_AT", 4)
    spec = make.batch(10, resources=Resources(cpus=1))
    lab = Lab(make.joined("ws1", cpus=16), make.submitted(spec))
    lab.assign()
    restarted = Agenda(lab.state, lab.agenda.liveness, now=lab.now)
    for _ in range(3):
        assert restarted.to_release
        assert decide(restarted, lab.now, make.new_id, most=4) == []
    assert not restarted.to_release


def test_a_failed_build_releases_only_the_jobs_of_its_node() -> None:
    spec = make.batch(2, resources=Resources(cpus=1), build="make")
    lab = Lab(make.joined("ws1", cpus=1), make.joined("ws2", cpus=1), make.submitted(spec))
    nodes = lab.assign()
    lab.happen(make.build_finished("ws1", spec, succeeded=False))
    [released] = [event for event in lab.decide() if event.type == "released"]
    assert (released.node, nodes[released.job]) == ("ws1", "ws1")
