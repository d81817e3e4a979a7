"""A waiting job's place in the queue, and the estimate of its start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core_kit import Lab
from distribute.core.explaining import start_estimate
from distribute.core.explaining.queue_place import Place, place_of
from distribute.core.explaining.start_estimate import MOST_PLACED, Estimate, estimate_start
from distribute.core.ids import JobId
from distribute.core.slices import at_once
from distribute.core.spec.specs import BatchSpec, Resources
from distribute.core.views.why_view import why_view
from distribute.testing import builders as make


def place(lab: Lab, batch: str, job: str = "job1") -> Place | None:
    found = lab.batch(batch)
    return place_of(lab.agenda, found, found.rows[job])


def ahead(lab: Lab, batch: str, job: str = "job1") -> tuple[int, list[tuple[str, int, str]]]:
    """The place, and how many jobs of whose batches come first, and why."""
    found = place(lab, batch, job)
    assert found is not None
    return found.place, [(one.waiting.batch.id.batch, one.jobs, one.why) for one in found.ahead]


def start(lab: Lab, batch: str, job: str = "job1") -> Estimate | None:
    found = lab.batch(batch)
    where = place(lab, batch, job)
    assert where is not None
    return at_once(estimate_start(lab.agenda, found, found.rows[job], where))


def of(batch: str, jobs: int = 1, cpus: int = 1, **fields: Any) -> BatchSpec:
    return make.batch(jobs, batch=batch, resources=Resources(cpus=cpus), **fields)


def test_jobs_of_higher_priority_and_of_its_own_person_come_first() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(of("first", 5)), make.submitted(of("mine", 3)))
    lab.happen(make.submitted(of("urgent", 2, priority=1), user="bob"), make.submitted(of("later", 9)))
    assert ahead(lab, "urgent") == (1, [])
    assert ahead(lab, "urgent", "job2") == (2, [("urgent", 1, "submission")])
    assert ahead(lab, "mine", "job3") == (
        10,
        [("urgent", 2, "priority"), ("first", 5, "submission"), ("mine", 2, "submission")],
    )


def test_people_take_turns_by_their_share() -> None:
    lab = Lab(
        make.joined(cpus=4), make.submitted(of("hers", 10)), make.submitted(of("his", 10, 2), user="bob")
    )
    assert ahead(lab, "hers") == (1, [])
    assert ahead(lab, "his") == (2, [("hers", 1, "share")])
    # Jane's fourth job begins when she has three cores: bob has four by then, by two jobs.
    assert ahead(lab, "hers", "job4") == (6, [("his", 2, "share"), ("hers", 3, "submission")])


@pytest.mark.parametrize("jobs", [1, 4, 9])
def test_its_place_is_when_decide_gives_it_a_node(jobs: int) -> None:
    lab = Lab(
        make.joined(cpus=100), make.submitted(of("hers", jobs)), make.submitted(of("his", 7, 2), user="bob")
    )
    lab.happen(make.submitted(of("urgent", 2, priority=3), user="eve"))
    places = {
        (batch.id.batch, job): place(lab, batch.id.batch, job)
        for batch in lab.state.batches.values()
        for job in batch.names
    }
    given = [(event.batch, event.job) for event in lab.decide() if event.type == "assigned"]
    assert len(given) == len(places)
    for number, job in enumerate(given, start=1):
        found = places[job]
        assert found is not None
        assert found.place == number


def test_jobs_for_other_nodes_are_not_ahead() -> None:
    lab = Lab(make.joined("a", cpus=1), make.joined("b", cpus=8, capabilities=frozenset({"gcc"})))
    lab.happen(make.submitted(of("gcc", 9, 2, capabilities=frozenset({"gcc"}), priority=9)))
    lab.happen(make.submitted(of("any", 1)))
    assert ahead(lab, "any") == (10, [("gcc", 9, "priority")])
    lab.happen(make.left("b"))
    assert ahead(lab, "any")[0] == 10, "b may be back"


def test_a_job_that_its_batch_holds_or_no_node_could_run_has_no_place() -> None:
    begin = make.EPOCH + timedelta(hours=1)
    lab = Lab(
        make.joined(cpus=1), make.submitted(of("early", not_before=begin)), make.submitted(of("big", 1, 9))
    )
    assert place(lab, "early") is None
    assert place(lab, "big") is None


def ended(lab: Lab, jobs: int, wall_s: float) -> None:
    """Have the first jobs of `lab/sweep` end after so many seconds each, one after another."""
    for number in range(1, jobs + 1):
        job = JobId("lab", "sweep", f"job{number}")
        lab.happen(make.assigned(job), make.claimed(job), make.started(job))
        lab.pass_quickly(wall_s)
        lab.happen(make.finished(job, wall_s=wall_s, outputs=None))


def test_a_start_is_estimated_by_the_jobs_that_have_ended() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(of("sweep", 24)))
    ended(lab, 20, 100)
    lab.assign()
    lab.run("job21")
    lab.pass_quickly(40)
    found = start(lab, "sweep", "job22")
    assert found is not None
    assert found.ended == 20
    assert found.earliest_s <= found.likely_s <= found.latest_s
    assert found.likely_s == pytest.approx(60, abs=5)
    third = start(lab, "sweep", "job24")
    assert third is not None
    assert third.likely_s == pytest.approx(260, abs=5)
    assert third.earliest_s == pytest.approx(236, abs=20)
    assert third.latest_s == pytest.approx(286, abs=20)


def test_without_ended_jobs_it_goes_by_how_long_they_run() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(of("sweep", 2)))
    lab.assign()
    lab.run("job1")
    lab.pass_quickly(100)
    found = start(lab, "sweep", "job2")
    assert found is not None
    assert found.ended == 0
    assert found.likely_s == pytest.approx(100, rel=0.1)
    assert found.latest_s > 5 * found.likely_s


def test_of_a_batch_of_which_nothing_is_known_nothing_is_estimated() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(of("sweep", 2)), make.submitted(of("after", 1)))
    assert start(lab, "after") is None


def test_a_paused_node_is_waited_for_and_one_that_is_gone_is_not() -> None:
    until = make.EPOCH + timedelta(minutes=30)
    lab = Lab(make.joined(cpus=1), make.submitted(of("sweep", 1)), make.paused(until=until))
    found = start(lab, "sweep")
    assert found is not None
    assert found.earliest_s == found.latest_s == pytest.approx(1800, abs=5)
    lab.happen(make.left())
    assert start(lab, "sweep") is None


def test_a_long_queue_is_extrapolated() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(of("sweep", 3 * MOST_PLACED)))
    ended(lab, 10, 100)
    lab.assign()
    found = start(lab, "sweep", f"job{3 * MOST_PLACED}")
    assert found is not None
    assert found.likely_s == pytest.approx(100 * 3 * MOST_PLACED, rel=0.02)


def test_a_long_queue_is_extrapolated_by_how_long_jobs_take_and_not_by_when_the_first_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start_estimate, "MOST_PLACED", 20)
    lab = Lab(make.joined(cpus=40), make.submitted(of("sweep", 170)))
    ended(lab, 10, 1000)
    lab.assign()
    for number in range(11, 51):
        lab.run(f"job{number}")
    lab.pass_quickly(900)
    found = start(lab, "sweep", "job170")
    assert found is not None
    assert found.likely_s == pytest.approx(2080, rel=0.3), "the 40 that run end soon, then come three waves"


def test_a_start_beyond_all_measure_is_a_hundred_years_away() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(of("sweep", 40)))
    ended(lab, 1, 1)
    lab.happen(make.assigned("job2"), make.claimed("job2"), make.finished("job2", wall_s=1e10, outputs=None))
    told = at_once(why_view(lab.agenda, lab.batch("sweep"), "job40"))
    assert told["start"]["latest"].startswith("21")
