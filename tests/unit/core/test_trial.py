"""The trial of a suspect: a few of its failed jobs run elsewhere, and what it takes meanwhile."""

from __future__ import annotations

import pytest

from core_kit import Lab, of, told
from distribute.core.log.events import Event
from distribute.core.scheduling.trials import TRIAL_S
from distribute.core.state.state import Status
from distribute.testing import builders as make
from trials_kit import failing, on_trial, run_all


def test_a_node_on_trial_takes_only_jobs_of_other_batches() -> None:
    lab = failing(make.batch(9))
    lab.happen(make.joined("other", cpus=1))
    assert lab.assign() == {"job6": "other"}, "in the decision that excuses the probes, too"
    lab.succeed("job6", "other")
    assert lab.assign() == {"job1": "other"}
    assert lab.decide() == [], "job7 to job9 wait"
    lab.happen(make.submitted(make.batch(4, batch="more")))
    assert set(lab.assign().values()) == {"broken"}


def test_a_trial_ends_by_itself_if_no_node_has_room_for_the_probes() -> None:
    lab = failing(make.batch(9))
    lab.happen(make.submitted(make.batch(1, batch="long", resources=None)))
    lab.happen(make.joined("other"), make.assigned(of("long"), "other", cpus=4))
    lab.run(of("long"), "other")
    lab.happen(*lab.decide())
    assert lab.decide() == []
    lab.wait(TRIAL_S)
    assert lab.assign() == {f"job{number}": "broken" for number in (6, 7, 8, 9)}


def test_a_probe_never_goes_back_to_its_suspect_while_another_node_could_run_it() -> None:
    """However long that is busy."""
    lab = failing(make.batch(5))
    lab.happen(make.submitted(make.batch(1, batch="long", resources=None)))
    lab.happen(make.joined("other"), make.assigned(of("long"), "other", cpus=4))
    lab.run(of("long"), "other")
    lab.happen(*lab.decide())
    lab.wait(2 * TRIAL_S)
    assert lab.decide() == []
    lab.happen(make.finished(of("long"), "other"))
    assert set(lab.assign().values()) == {"other"}


def test_a_person_who_clears_the_node_lets_it_run_the_probes() -> None:
    lab = failing(make.batch(5))
    lab.happen(make.joined("other", cpus=1))
    lab.happen(*lab.decide())
    assert lab.assign() == {"job1": "other"}
    lab.happen(make.undrained("broken"))
    assert lab.assign() == {"job2": "broken", "job3": "broken"}


@pytest.mark.parametrize(
    "gone",
    [
        make.left("other"),
        make.lost("other"),
        make.drain_requested("other"),
        make.paused("other"),
        make.build_finished("other", succeeded=False),
    ],
    ids=["left", "lost", "drained", "paused", "can't build"],
)
def test_a_probe_goes_back_to_its_suspect_where_no_other_node_is_left(gone: Event) -> None:
    """Or it would wait for ever."""
    lab = failing(make.batch(5, build="make"))
    lab.happen(make.joined("other"))
    lab.happen(*lab.decide(), gone)
    assert lab.assign() == {"job1": "broken", "job2": "broken", "job3": "broken"}


def test_a_probe_that_a_person_moves_goes_back_to_its_suspect() -> None:
    """Where no third node can run it, the two would leave it to each other for ever."""
    lab = failing(make.batch(5))
    lab.happen(make.joined("other", cpus=1))
    lab.happen(*lab.decide())
    assert lab.assign() == {"job1": "other"}
    lab.run("job1", "other", attempt=2)
    lab.happen(make.move_requested("job1", attempt=2), make.yielded("job1", "other", attempt=2))
    assert lab.assign() == {"job2": "other", "job1": "broken"}


def test_a_job_is_excused_once() -> None:
    """So no job goes from node to node, fails on each, and never ends."""
    lab = on_trial()
    lab.happen(make.joined("third"))
    for job in ("job1", "job2", "job3"):
        lab.fail_fast(job, "other", attempt=2)
    run_all(lab, frozenset({"broken", "other", "third"}))
    assert lab.batch().end == "failed"
    assert max(lab.batch().attempts) == 2


def test_a_job_that_a_person_killed_is_not_excused() -> None:
    lab = failing(make.batch(5))
    lab.happen(make.kill_requested(), make.joined("other"))
    assert told(lab.decide()) == [("completed", "sweep", "failed")]


def test_a_failure_with_retries_left_is_excused_too_and_keeps_its_retries() -> None:
    lab = Lab(make.joined("broken"), make.submitted(make.batch(5, retries=1)))
    for number in range(1, 6):
        lab.happen(make.assigned(f"job{number}", "broken"))
        lab.run(f"job{number}", "broken")
        lab.happen(make.finished(f"job{number}", "broken", succeeded=False, wall_s=0.5))
    lab.happen(make.joined("other"))
    lab.happen(*lab.decide())
    assert [lab.status(f"job{number}") for number in (1, 2, 3)] == [Status.QUEUED] * 3
    assert lab.batch().failures[0] == 0
