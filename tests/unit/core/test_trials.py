"""Trials: a broken node is found by its own jobs, and no other node is blamed."""

from __future__ import annotations

from core_kit import Lab, of, told
from distribute.core.log import events as ev
from distribute.core.scheduling.trials import LONGEST_QUARANTINE_S, QUARANTINE_S, quarantine_s
from distribute.core.state.state import Status
from distribute.testing import builders as make
from trials_kit import events_of, failing, on_trial, run_all


def in_quarantine() -> Lab:
    """Two of the probes have succeeded elsewhere, and the scheduler has decided."""
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


def test_four_failures_do_not_make_a_suspect() -> None:
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


def test_a_node_that_is_about_to_be_put_in_quarantine_gets_nothing() -> None:
    lab = on_trial()
    lab.succeed("job1", "other", attempt=2)
    lab.succeed("job2", "other", attempt=2)
    lab.happen(make.submitted(make.batch(9, batch="more")))
    made = lab.decide()
    assert told(made)[0] == ("quarantined", "broken")
    assert {event.node for event in made if isinstance(event, ev.Assigned)} == {"other"}


def test_jobs_that_failed_at_a_quarantined_node_run_again_elsewhere() -> None:
    lab = in_quarantine()
    excused = lab.decide()
    assert told(excused) == [("excused", "job4", "broken"), ("excused", "job5", "broken")]
    lab.happen(*excused)
    assert lab.assign() == {"job4": "other", "job5": "other"}


def test_a_sweep_whose_jobs_all_fail_blames_no_node() -> None:
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


# --- what is no proof ------------------------------------------------------------------------------


def bad_sweeps() -> Lab:
    """Two good nodes. Three people's batches, each of a mistyped program, run one after another."""
    lab = Lab(make.joined("big", cpus=8), make.joined("small", cpus=2))
    for name in ("a", "b", "c"):
        lab.happen(make.submitted(make.batch(20, batch=name), user=name))
        run_all(lab)
    return lab


def test_sweeps_that_fail_everywhere_put_no_good_node_in_quarantine() -> None:
    lab = bad_sweeps()
    assert events_of(lab, ev.Quarantined) == []
    assert [batch.end for batch in lab.state.batches.values()] == ["failed"] * 3
    again = len(events_of(lab, ev.Excused)) / len(events_of(lab, ev.Assigned))
    assert again < 0.5, "few of them run twice"


def test_a_sweep_whose_first_parameters_are_bad_blames_no_node() -> None:
    """The other jobs succeed on the small node; those jobs prove nothing about the failed ones."""
    lab = Lab(make.joined("big", cpus=8), make.joined("small", cpus=1), make.submitted(make.batch(20)))
    given = lab.assign()
    on_big = [job for job, node in given.items() if node == "big"]
    (on_small,) = (job for job, node in given.items() if node == "small")
    lab.succeed(on_small, "small")
    for job in on_big[:5]:
        lab.fail_fast(job, "big")
    assert not [line for line in told(lab.decide()) if line[0] == "quarantined"]


def test_batches_of_two_jobs_that_can_succeed_nowhere_put_no_node_in_quarantine() -> None:
    lab = Lab(make.joined("n1", cpus=2), make.joined("n2", cpus=2))
    for name in ("b1", "b2", "b3"):
        lab.happen(make.submitted(make.batch(2, batch=name)))
        run_all(lab, frozenset({"n1", "n2"}))
    assert events_of(lab, ev.Quarantined) == []
    assert [batch.end for batch in lab.state.batches.values()] == ["failed"] * 3


def test_each_of_two_nodes_that_lack_something_for_one_batch_is_never_in_quarantine_with_the_other() -> None:
    """`a` can't run x, `b` can't run y."""
    lab = Lab(
        make.joined("a", cpus=8),
        make.joined("b", cpus=8),
        make.submitted(make.batch(40, batch="x")),
        make.submitted(make.batch(40, batch="y"), user="bob"),
    )
    for _ in range(200):
        made = lab.decide()
        lab.happen(*made)
        there = [node for node in lab.state.nodes.values() if node.quarantined is None]
        assert there, "one node is left"
        for event in made:
            if isinstance(event, ev.Assigned):
                is_broken = (event.batch, event.node) in {("x", "a"), ("y", "b")}
                (lab.fail_fast if is_broken else lab.succeed)(event.scope, event.node, event.attempt)
        if all(batch.archived for batch in lab.state.batches.values()):
            break
    assert all(batch.end is not None for batch in lab.state.batches.values()), "nothing waits for ever"


# --- a broken node ---------------------------------------------------------------------------------


def test_a_broken_node_is_found_and_its_jobs_succeed_elsewhere() -> None:
    lab = Lab(make.joined("broken", cpus=2), make.joined("sound", cpus=2), make.submitted(make.batch(60)))
    run_all(lab, frozenset({"broken"}))
    (event,) = events_of(lab, ev.Quarantined)
    assert event.node == "broken"  # type: ignore[union-attr]
    assert lab.batch().end == "completed", "none of its jobs failed for good"


def test_a_node_that_breaks_after_a_bad_sweep_is_found() -> None:
    """The failures of the sweep do not count in its favour any more."""
    lab = bad_sweeps()
    lab.happen(make.submitted(make.batch(60, batch="good"), user="dora"))
    run_all(lab, frozenset({"big"}))
    (event,) = events_of(lab, ev.Quarantined)
    assert event.node == "big"  # type: ignore[union-attr]
    assert lab.batch("good").end == "completed"


def test_a_quarantine_ends_by_itself() -> None:
    lab = in_quarantine()
    lab.happen(make.submitted(make.batch(9, batch="more")))
    lab.wait(QUARANTINE_S - 5)
    assert "broken" not in lab.assign().values()
    lab.wait(5)
    assert "broken" in lab.assign().values()


def test_after_a_quarantine_only_new_failures_count() -> None:
    """The old failures do not count any more, so a single new one proves nothing."""
    lab = in_quarantine()
    lab.happen(*lab.decide())
    lab.wait(QUARANTINE_S)
    lab.happen(make.submitted(make.batch(9, batch="more")))
    lab.happen(make.assigned(of("more"), "broken"))
    lab.fail_fast(of("more"), "broken")
    for _ in range(3):
        made = lab.decide()
        assert not [line for line in told(made) if line[0] in {"quarantined", "excused"}]
        lab.happen(*made)


def test_each_quarantine_of_a_broken_node_is_twice_as_long() -> None:
    lab = Lab(make.joined("broken", cpus=2), make.joined("sound", cpus=2))
    lengths = []
    for name in ("a", "b", "c"):
        lab.happen(make.submitted(make.batch(60, batch=name)))
        run_all(lab, frozenset({"broken"}))
        event = events_of(lab, ev.Quarantined)[-1]
        assert isinstance(event, ev.Quarantined)
        lengths.append((event.until - event.time).total_seconds())
        lab.now = event.until.timestamp()
        lab.look()
    assert lengths == [QUARANTINE_S, 2 * QUARANTINE_S, 4 * QUARANTINE_S]


def test_after_a_success_the_next_quarantine_is_short_again() -> None:
    lab = in_quarantine()
    assert quarantine_s(lab.state.nodes["broken"].record) == 2 * QUARANTINE_S
    lab.wait(QUARANTINE_S)
    lab.happen(make.submitted(make.batch(1, batch="more")), make.assigned(of("more"), "broken"))
    lab.succeed(of("more"), "broken")
    assert quarantine_s(lab.state.nodes["broken"].record) == QUARANTINE_S


def test_no_quarantine_is_longer_than_a_day() -> None:
    node = in_quarantine().state.nodes["broken"]
    node.record.quarantines = 10_000
    assert quarantine_s(node.record) == LONGEST_QUARANTINE_S


def test_a_restart_of_the_node_does_not_end_the_quarantine() -> None:
    lab = in_quarantine()
    lab.happen(make.joined("broken"), make.submitted(make.batch(9, batch="more")))
    assert "broken" not in lab.assign().values()


def test_other_jobs_do_not_end_a_quarantine_early() -> None:
    """Its end is in its event, so whoever reads the node's events knows whether it took jobs."""
    lab = in_quarantine()
    for job in ("job3", "job4", "job5"):
        lab.happen(*lab.decide())
        lab.happen(*lab.decide())
        lab.fail_fast(job, "other", attempt=2)
    assert lab.state.nodes["broken"].quarantined is not None
    lab.happen(make.submitted(make.batch(9, batch="more")))
    lab.wait(QUARANTINE_S)
    assert "broken" in lab.assign().values()
