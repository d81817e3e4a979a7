"""Whose fault a fast failure is: a broken node is found out by its own jobs, and no other node is blamed."""

from __future__ import annotations

from core_kit import Lab, of, told
from distribute.core import events as ev
from distribute.core.specs import BatchSpec
from distribute.core.state import Status
from distribute.core.trials import QUARANTINE_S, SUSPECT_AFTER
from distribute.testing import builders as make


def failing(*specs: BatchSpec, jobs: int = SUSPECT_AFTER) -> Lab:
    """So many jobs, of the batches in turn, failed fast, one after another, at the only node."""
    lab = Lab(make.joined("broken"), *(make.submitted(spec) for spec in specs))
    for number in range(jobs):
        spec = specs[number % len(specs)]
        job = of(spec.batch, f"job{number // len(specs) + 1}")
        lab.happen(make.assigned(job, "broken"))
        lab.fail_fast(job, "broken")
    return lab


def on_trial(*specs: BatchSpec, jobs: int = SUSPECT_AFTER) -> Lab:
    """The same, and another node has come: the first few of the jobs run again there."""
    lab = failing(*(specs or (make.batch(5),)), jobs=jobs)
    lab.happen(make.joined("other"))
    lab.happen(*lab.decide())
    lab.happen(*lab.decide())
    return lab


def in_quarantine() -> Lab:
    """Two of the probes have succeeded elsewhere, and the scheduler has said what follows."""
    lab = on_trial()
    lab.succeed("job1", "other", attempt=2)
    lab.succeed("job2", "other", attempt=2)
    lab.happen(*lab.decide())
    return lab


def test_a_few_of_the_jobs_that_failed_on_a_suspect_run_again_elsewhere() -> None:
    lab = failing(make.batch(5))
    lab.happen(make.joined("other"))
    excused = lab.decide()
    assert told(excused) == [("excused", f"job{number}", "broken") for number in (1, 2, 3)]
    lab.happen(*excused)
    assert lab.assign() == {"job1": "other", "job2": "other", "job3": "other"}
    assert lab.status("job4") is Status.FAILED


def test_four_failures_make_no_suspect() -> None:
    lab = failing(make.batch(4), jobs=4)
    lab.happen(make.joined("other"))
    assert told(lab.decide()) == [("completed", "sweep", "failed")]


def test_a_long_run_or_a_success_between_clears_the_node() -> None:
    for fields in ({"succeeded": False, "wall_s": 600.0}, {"succeeded": True}):
        lab = failing(make.batch(9), jobs=4)
        lab.happen(make.assigned("job5", "broken"))
        lab.run("job5", "broken")
        lab.happen(make.finished("job5", "broken", **fields), make.assigned("job6", "broken"))
        lab.fail_fast("job6", "broken")
        lab.happen(make.joined("other"))
        assert not [line for line in told(lab.decide()) if line[0] == "excused"]


def test_a_node_whose_failed_jobs_succeed_elsewhere_is_put_in_quarantine() -> None:
    lab = on_trial()
    lab.succeed("job1", "other", attempt=2)
    assert lab.decide() == [], "one is no proof"
    lab.succeed("job2", "other", attempt=2)
    (event,) = lab.decide()
    assert isinstance(event, ev.Quarantined)
    assert event.node == "broken"
    assert event.reason == "2 jobs that failed here within seconds succeeded elsewhere"
    assert event.until.timestamp() == lab.now + QUARANTINE_S


def test_what_failed_at_a_node_in_quarantine_runs_again_elsewhere() -> None:
    lab = in_quarantine()
    excused = lab.decide()
    assert told(excused) == [("excused", "job4", "broken"), ("excused", "job5", "broken")]
    lab.happen(*excused)
    assert lab.assign() == {"job4": "other", "job5": "other"}


def test_a_sweep_whose_every_job_fails_speaks_against_no_node() -> None:
    """Its jobs fail elsewhere, too."""
    lab = on_trial()
    for job in ("job1", "job2", "job3"):
        lab.fail_fast(job, "other", attempt=2)
    assert told(lab.decide()) == [("completed", "sweep", "failed")]
    assert lab.state.nodes["broken"].quarantined is None


def test_the_only_node_is_never_put_in_quarantine() -> None:
    lab = failing(*(make.batch(4, batch=name) for name in ("a", "b", "c")), jobs=6)
    assert {line[0] for line in told(lab.decide())} == {"assigned"}


def test_a_person_lifts_the_quarantine() -> None:
    lab = in_quarantine()
    lab.happen(make.undrained("broken"), make.submitted(make.batch(9, batch="more")))
    assert "broken" in lab.assign().values()
