"""Assigning jobs to nodes: needs, free resources, and what is kept for other jobs."""

from typing import Any

import pytest

from core_kit import Lab, of
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.spec.specs import Resources
from distribute.core.state.state import Status
from distribute.testing import builders as make
from distribute.testing.builders import GIB


def given(lab: Lab) -> dict[str, ev.Assigned]:
    """The next assignments, by name of job."""
    return {event.job: event for event in lab.decide() if isinstance(event, ev.Assigned)}


def test_a_job_that_names_no_resources_gets_a_whole_node() -> None:
    lab = Lab(make.joined(cpus=8, memory_bytes=64 * GIB, gpus=("a", "b")))
    lab.happen(make.submitted(make.batch(2, resources=None)))
    (event,) = lab.decide()
    assert isinstance(event, ev.Assigned)
    assert (event.cpus, event.memory_bytes, event.gpus) == (8, 64 * GIB, (0, 1))


def test_a_job_that_needs_a_whole_node_waits_for_an_idle_one() -> None:
    lab = Lab(make.joined("ws1", cpus=8), make.submitted(make.batch(1)))
    lab.assign()
    lab.happen(make.submitted(make.batch(1, batch="whole", resources=None)))
    assert lab.decide() == []
    lab.succeed("job1")
    assert lab.assign() == {"job1": "ws1"}


def test_no_job_runs_beside_one_that_has_the_whole_node() -> None:
    lab = Lab(make.joined(cpus=8), make.submitted(make.batch(1, resources=None)))
    lab.assign()
    lab.happen(make.submitted(make.batch(1, batch="small")))
    assert lab.decide() == []


def test_cpus_are_filled_and_not_overfilled() -> None:
    lab = Lab(make.joined(cpus=5), make.submitted(make.batch(9, resources=Resources(cpus=2))))
    assert lab.assign() == {"job1": "ws1", "job2": "ws1"}


def test_memory_is_filled_and_not_overfilled() -> None:
    lab = Lab(make.joined(cpus=16, memory_bytes=8 * GIB))
    lab.happen(make.submitted(make.batch(9, resources=Resources(cpus=1, memory_bytes=3 * GIB))))
    assert lab.assign() == {"job1": "ws1", "job2": "ws1"}


def test_each_gpu_goes_to_one_job() -> None:
    lab = Lab(make.joined(cpus=16, gpus=("a", "b", "c", "d", "e")))
    lab.happen(make.submitted(make.batch(9, resources=Resources(cpus=1, gpus=2))))
    assert {job: event.gpus for job, event in given(lab).items()} == {"job1": (0, 1), "job2": (2, 3)}


def test_a_gpu_that_is_free_again_is_assigned_again() -> None:
    lab = Lab(make.joined(cpus=16, gpus=("a", "b")))
    lab.happen(make.submitted(make.batch(9, resources=Resources(cpus=1, gpus=1))))
    lab.assign()
    lab.succeed("job1")
    assert given(lab)["job3"].gpus == (0,)


@pytest.mark.parametrize(
    "needs",
    [
        {"capabilities": frozenset({"gcc", "mpi"})},
        {"resources": Resources(cpus=5)},
        {"resources": Resources(memory_bytes=8 * GIB + 1)},
        {"resources": Resources(gpus=1)},
    ],
    ids=["capabilities", "cpus", "memory", "gpus"],
)
def test_a_node_never_gets_a_job_that_needs_more_than_it_has(needs: dict[str, Any]) -> None:
    lab = Lab(make.joined("small", capabilities=frozenset({"gcc"})), make.submitted(make.batch(**needs)))
    assert lab.decide() == []
    able = make.joined(
        "able", cpus=64, memory_bytes=64 * GIB, gpus=("a",), capabilities=frozenset({"gcc", "mpi", "python"})
    )
    lab.happen(able)
    assert lab.assign() == {"job1": "able"}


def test_the_fullest_node_that_fits_is_filled_first() -> None:
    """So that large gaps stay whole."""
    lab = Lab(make.joined("a", cpus=8), make.joined("b", cpus=3), make.joined("c", cpus=4))
    lab.happen(make.submitted(make.batch(3, resources=Resources(cpus=2))))
    assert lab.assign() == {"job1": "b", "job2": "c", "job3": "c"}


@pytest.mark.parametrize(
    "state",
    [
        (make.paused(),),
        (make.drain_requested(),),
        (make.quarantined(),),
        (make.leaving(),),
        (make.left(),),
        (make.lost(),),
    ],
    ids=["paused", "draining", "quarantined", "leaving", "left", "lost"],
)
def test_a_node_that_takes_no_jobs_gets_none(state: tuple[Event, ...]) -> None:
    lab = Lab(make.joined(), *state, make.submitted())
    assert lab.decide() == []
    lab.happen(make.resumed(), make.undrained(), make.joined())
    assert lab.assign() == {"job1": "ws1"}


def test_a_node_out_of_touch_gets_no_jobs_and_keeps_its_own() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(1, resources=Resources(cpus=3))))
    lab.assign()
    lab.run("job1")
    lab.quiet.add("ws1")
    lab.wait(lab.agenda.liveness.lease.out_of_touch_s)
    lab.happen(make.submitted(make.batch(1, batch="other")))
    assert lab.decide() == []
    assert lab.status("job1") is Status.RUNNING
    lab.beat("ws1")
    assert lab.assign() == {"job1": "ws1"}


# --- GPU nodes -------------------------------------------------------------------------------------


def test_other_work_prefers_nodes_without_gpus() -> None:
    lab = Lab(make.joined("gpu", cpus=2, gpus=("a",)), make.joined("plain", cpus=64))
    lab.happen(make.submitted(make.batch(1)))
    assert lab.assign() == {"job1": "plain"}


def test_other_work_uses_gpu_nodes_while_no_gpu_work_waits() -> None:
    lab = Lab(make.joined("gpu", gpus=("a",)), make.submitted())
    assert lab.assign() == {"job1": "gpu"}


def test_other_work_runs_beside_gpus_that_are_all_in_use() -> None:
    """More GPU work waits for a GPU and one cpu. Only that cpu is kept."""
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a", "b")))
    lab.happen(make.submitted(make.batch(3, batch="gpus", resources=Resources(cpus=1, gpus=1))))
    assert lab.assign() == {"job1": "gpu", "job2": "gpu"}
    lab.happen(make.submitted(make.batch(9, batch="cpus"), user="bob"))
    made = [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)]
    assert made == ["cpus"] * 5


def test_gpu_work_that_could_never_use_a_node_does_not_keep_it() -> None:
    lab = Lab(make.joined("gpu", gpus=("a",)))
    lab.happen(make.submitted(make.batch(1, batch="gpus", resources=Resources(cpus=1, gpus=2))))
    lab.happen(make.submitted(make.batch(1, batch="cpus")))
    assert lab.assign() == {"job1": "gpu"}


def test_a_job_that_may_not_use_a_kept_node_does_not_reserve_it_either() -> None:
    """Otherwise both would wait for ever: one because the node is kept, the other because it is reserved."""
    lab = Lab(make.joined("gpu", cpus=4, gpus=("a",)))
    lab.happen(make.submitted(make.batch(1, batch="cpus", resources=Resources(cpus=4))))
    lab.happen(make.submitted(make.batch(1, batch="gpus", resources=Resources(cpus=1, gpus=1))))
    made = lab.decide()
    assert [event.batch for event in made if isinstance(event, ev.Assigned)] == ["gpus"]
    lab.happen(*made)
    lab.succeed(of("gpus"), "gpu")
    assert [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)] == ["cpus"]


# --- builds ----------------------------------------------------------------------------------------


def test_a_node_that_has_built_the_batch_is_preferred() -> None:
    lab = Lab(
        make.joined("a", cpus=1), make.joined("b", cpus=64), make.submitted(make.batch(1, build="make"))
    )
    lab.happen(make.build_started("b"), make.build_finished("b"))
    assert lab.assign() == {"job1": "b"}


def test_a_node_takes_first_the_batch_it_has_built() -> None:
    early, late = make.batch(1, batch="early", build="make"), make.batch(1, batch="late", build="make")
    lab = Lab(make.joined(cpus=1), make.submitted(early), make.submitted(late), make.build_finished(of=late))
    (event,) = lab.decide()
    assert isinstance(event, ev.Assigned)
    assert event.batch == "late"


def test_a_batch_the_node_has_built_does_not_go_before_a_higher_priority() -> None:
    urgent = make.batch(1, batch="urgent", build="make", priority=1)
    built = make.batch(1, batch="built", build="make")
    lab = Lab(
        make.joined(cpus=1), make.submitted(built), make.submitted(urgent), make.build_finished(of=built)
    )
    (event,) = lab.decide()
    assert isinstance(event, ev.Assigned)
    assert event.batch == "urgent"


def test_a_batch_avoids_nodes_where_its_build_failed() -> None:
    lab = Lab(
        make.joined("a", cpus=1), make.joined("b", cpus=64), make.submitted(make.batch(1, build="make"))
    )
    lab.happen(make.build_finished("a", succeeded=False))
    assert lab.assign() == {"job1": "b"}


# --- large jobs and small ones ---------------------------------------------------------------------


def test_small_jobs_do_not_starve_a_large_one() -> None:
    """Two nodes are full of small jobs, and more wait. One node must run empty for the large job."""
    lab = Lab(make.joined("a", cpus=2), make.joined("b", cpus=2))
    lab.happen(make.submitted(make.batch(40, batch="small"), user="bob"))
    lab.assign()
    lab.happen(make.submitted(make.batch(1, batch="large", resources=Resources(cpus=2)), user="jane"))
    for _ in range(4):
        row, attempt = min(lab.batch("small").active.items())
        lab.succeed(lab.batch("small").job_id(row), attempt.node)
        made = lab.decide()
        if "large" in [event.batch for event in made if isinstance(event, ev.Assigned)]:
            break
        lab.happen(*made)
    else:
        pytest.fail("four small jobs ended, and the large one waits still")


def test_only_one_node_is_reserved() -> None:
    lab = Lab(
        make.joined("a", cpus=2), make.joined("b", cpus=4), make.submitted(make.batch(6, batch="small"))
    )
    lab.assign()
    lab.happen(make.submitted(make.batch(1, batch="large", resources=Resources(cpus=2), priority=1)))
    lab.happen(make.submitted(make.batch(9, batch="more")))
    nodes = {attempt.node: row for row, attempt in lab.batch("small").active.items()}
    for node in ("a", "b"):
        lab.succeed(lab.batch("small").job_id(nodes[node]), node)
    (event,) = lab.decide()
    assert isinstance(event, ev.Assigned)
    assert (event.batch, event.node) == ("more", "b")


def test_a_node_that_could_not_build_the_batch_is_not_reserved_for_it() -> None:
    lab = Lab(
        make.joined("a", cpus=2), make.joined("b", cpus=2), make.submitted(make.batch(1, batch="first"))
    )
    lab.assign()
    large = make.batch(1, batch="large", build="make", resources=Resources(cpus=2), priority=1)
    lab.happen(make.submitted(large), make.build_finished("b", large, succeeded=False))
    lab.happen(make.submitted(make.batch(2, batch="small")))
    assert lab.assign() == {"job1": "b", "job2": "b"}


def test_the_reservation_follows_the_ranking() -> None:
    """Ann's large job waits for `a`, Bob's for `b`; with each small job of hers, Ann has more of the lab."""
    x, y = frozenset({"x"}), frozenset({"y"})
    lab = Lab(
        make.joined("a", cpus=4, capabilities=x),
        make.joined("b", cpus=8, capabilities=y),
        make.submitted(make.batch(1, batch="at a", capabilities=x, resources=Resources(cpus=2))),
        make.submitted(make.batch(1, batch="at b", capabilities=y, resources=Resources(cpus=6))),
    )
    lab.assign()
    large = [
        make.batch(1, batch="large a", capabilities=x, resources=Resources(cpus=4), priority=1),
        make.batch(1, batch="large b", capabilities=y, resources=Resources(cpus=8), priority=1),
    ]
    lab.happen(make.submitted(large[0], user="ann"), make.submitted(large[1], user="bob"))
    lab.happen(make.submitted(make.batch(9, batch="small", priority=1), user="ann"))
    made = [(event.batch, event.node) for event in lab.decide() if isinstance(event, ev.Assigned)]
    assert made == [("small", "b"), ("small", "a"), ("small", "a")]
    assert lab.decide() == []
