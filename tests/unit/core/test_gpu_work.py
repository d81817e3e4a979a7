"""Nodes with GPUs keep for waiting GPU work what that work needs, and nothing more."""

from __future__ import annotations

from collections import Counter

from core_kit import Lab, of
from distribute.core.explaining.explain import explain
from distribute.core.log import events as ev
from distribute.core.scheduling.matching import Obstacle
from distribute.core.spec.specs import Resources
from distribute.testing import builders as make
from distribute.testing.builders import GIB

GPU = frozenset({"gpu"})


def batches(lab: Lab) -> dict[str, int]:
    """Decide, append, and return how many jobs of each batch were assigned."""
    made = lab.decide()
    lab.happen(*made)
    return dict(Counter(event.batch for event in made if isinstance(event, ev.Assigned)))


def busy_with(lab: Lab, cpus: int, node: str = "gpu", **resources: int) -> None:
    """A job of so many cpus that runs at the node."""
    spec = make.batch(1, batch="before", resources=Resources(cpus=cpus, **resources))
    lab.happen(make.submitted(spec), make.assigned(of("before"), node, cpus=cpus, **resources))
    lab.run(of("before"), node)


def submit(lab: Lab, name: str, jobs: int = 20, user: str = "bob", priority: int = 0, **fields: int) -> None:
    resources = Resources(**{"cpus": 1} | fields)
    lab.happen(make.submitted(make.batch(jobs, batch=name, resources=resources, priority=priority), user))


def test_an_idle_gpu_keeps_the_cpus_that_work_waiting_for_it_needs() -> None:
    """Two cpus are free and the work needs four. Both stay free, or it would never begin."""
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a",)))
    busy_with(lab, 6)
    submit(lab, "cpus")
    submit(lab, "gpus", 1, "jane", cpus=4, gpus=1)
    assert batches(lab) == {}
    lab.succeed(of("before"), "gpu")
    assert batches(lab) == {"gpus": 1, "cpus": 4}


def test_a_node_keeps_no_more_than_the_work_needs() -> None:
    lab = Lab(make.joined("gpu", cpus=16, memory_bytes=16 * GIB, gpus=("a",)))
    busy_with(lab, 1, memory_bytes=13 * GIB)
    submit(lab, "cpus")
    submit(lab, "gpus", 1, "jane", cpus=4, memory_bytes=4 * GIB, gpus=1)
    assert batches(lab) == {"cpus": 11}, "16 cpus, less the one in use and the four that are kept"


def test_a_node_keeps_memory_as_it_keeps_cpus() -> None:
    lab = Lab(make.joined("gpu", cpus=16, memory_bytes=16 * GIB, gpus=("a",)))
    busy_with(lab, 13)
    submit(lab, "cpus", memory_bytes=5 * GIB)
    submit(lab, "gpus", 1, "jane", cpus=4, memory_bytes=8 * GIB, gpus=1)
    assert batches(lab) == {}
    lab.succeed(of("before"), "gpu")
    assert batches(lab) == {"gpus": 1, "cpus": 1}


def test_a_node_keeps_the_needs_of_as_many_jobs_as_it_has_idle_gpus() -> None:
    lab = Lab(make.joined("gpu", cpus=16, gpus=("a", "b")))
    busy_with(lab, 14)
    submit(lab, "gpus", 9, "jane", cpus=3, gpus=1)
    submit(lab, "cpus")
    assert batches(lab) == {}
    lab.succeed(of("before"), "gpu")
    assert batches(lab) == {"gpus": 2, "cpus": 7}, "three cpus stay for the next of the GPU jobs"


def test_gpus_in_use_do_not_keep_cpus() -> None:
    """One job holds the only GPU for days; 31 of 32 cpus must not stay idle for that."""
    lab = Lab(make.joined("gpu", cpus=32, gpus=("a",)))
    submit(lab, "gpus", 100, "jane", gpus=1, priority=-100)
    assert batches(lab) == {"gpus": 1}
    submit(lab, "cpus", 50, priority=100)
    assert batches(lab) == {"cpus": 31}


def test_nothing_is_kept_from_work_of_a_higher_priority() -> None:
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a",)))
    busy_with(lab, 6)
    submit(lab, "gpus", 1, "jane", cpus=4, gpus=1)
    submit(lab, "cpus", priority=1)
    assert batches(lab) == {"cpus": 2}


def test_nothing_is_kept_for_gpu_work_of_a_lower_priority_that_came_first() -> None:
    lab = Lab(make.joined("gpu", cpus=4, gpus=("a",)))
    submit(lab, "gpus", 1, "jane", gpus=1)
    submit(lab, "cpus", priority=1)
    assert batches(lab) == {"cpus": 4}


def test_gpu_work_of_a_higher_priority_keeps_what_it_needs_from_all_below() -> None:
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a",)))
    busy_with(lab, 6)
    submit(lab, "gpus", 1, "jane", cpus=4, gpus=1, priority=1)
    submit(lab, "cpus")
    assert batches(lab) == {}


def test_nodes_without_gpus_keep_nothing() -> None:
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a",)), make.joined("plain", cpus=3))
    busy_with(lab, 6)
    submit(lab, "gpus", 1, "jane", cpus=4, gpus=1)
    submit(lab, "cpus")
    made = lab.decide()
    assert {event.node for event in made if isinstance(event, ev.Assigned)} == {"plain"}


def test_why_explains_that_the_node_is_kept() -> None:
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a",)))
    busy_with(lab, 6)
    submit(lab, "cpus")
    submit(lab, "gpus", 1, "jane", cpus=4, gpus=1)
    (verdict,) = explain(lab.agenda, lab.batch("cpus"), 0).nodes
    assert verdict.obstacle is Obstacle.KEPT_FOR_GPU_WORK


def test_a_file_of_the_first_distribute_goes_first_on_a_gpu_node() -> None:
    """It asks for the capability `gpu` and names no resources: a whole node."""
    lab = Lab(make.joined("gpu", cpus=8, capabilities=GPU), make.joined("plain", cpus=8))
    lab.happen(make.submitted(make.batch(40, batch="cpus"), user="bob"))
    old = make.batch(1, batch="old", capabilities=GPU, resources=None)
    lab.happen(make.submitted(old, user="jane"))
    made = lab.decide()
    at_gpu = {event.batch for event in made if isinstance(event, ev.Assigned) and event.node == "gpu"}
    assert at_gpu == {"old"}


def test_a_node_with_the_capability_is_kept_whole_for_work_that_wants_it_whole() -> None:
    lab = Lab(make.joined("gpu", cpus=8, capabilities=GPU))
    busy_with(lab, 1)
    lab.happen(make.submitted(make.batch(40, batch="cpus"), user="bob"))
    lab.happen(make.submitted(make.batch(1, batch="old", capabilities=GPU, resources=None), user="jane"))
    assert batches(lab) == {}
    lab.succeed(of("before"), "gpu")
    assert batches(lab) == {"old": 1}


def test_overdue_jobs_may_use_resources_kept_for_gpu_work() -> None:
    """So that nothing starves."""
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a",)))
    busy_with(lab, 6)
    submit(lab, "cpus", 1)
    submit(lab, "gpus", 1, "jane", cpus=4, gpus=1)
    assert batches(lab) == {}
    lab.happen(make.undrained("gpu"), apart_s=1801)
    lab.look()
    assert batches(lab) == {"cpus": 1}


def test_beside_an_overdue_job_small_ones_leave_what_gpu_work_needs() -> None:
    """The node is kept for Jane's job, which waits for memory. Only that job may take from the GPU work."""
    lab = Lab(make.joined("gpu", cpus=8, memory_bytes=16 * GIB, gpus=("a",)))
    busy_with(lab, 4, memory_bytes=13 * GIB)
    submit(lab, "wide", 1, "jane", memory_bytes=8 * GIB)
    lab.happen(make.undrained("gpu"), apart_s=1801)
    submit(lab, "gpus", 1, "ann", cpus=5, gpus=1)
    submit(lab, "cpus")
    lab.look()
    assert batches(lab) == {}
    (verdict,) = explain(lab.agenda, lab.batch("cpus"), 0).nodes
    assert verdict.obstacle is Obstacle.KEPT_FOR_GPU_WORK


def test_small_jobs_leave_what_gpu_work_needs_beside_an_overdue_job_even_if_they_go_first() -> None:
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a",)))
    busy_with(lab, 2)
    lab.happen(make.drain_requested("gpu"))
    submit(lab, "wide", 1, "jane", cpus=4)
    lab.happen(make.drain_requested("gpu"), apart_s=1801)
    submit(lab, "gpus", 1, "ann", cpus=4, gpus=1)
    submit(lab, "cpus")
    lab.happen(make.undrained("gpu"))
    lab.look()
    assert batches(lab) == {"wide": 1}, "the two cpus that are left are half of what the GPU work needs"


def test_only_the_person_whose_jobs_are_overdue_may_take_from_gpu_work() -> None:
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a",)))
    busy_with(lab, 6)
    submit(lab, "overdue", 2, "jane")
    submit(lab, "gpus", 1, "ann", cpus=4, gpus=1)
    lab.happen(make.undrained("gpu"), apart_s=1801)
    submit(lab, "alike", 2)
    lab.look()
    assert batches(lab) == {"overdue": 1}


def test_overdue_jobs_take_nothing_from_gpu_work_of_a_higher_priority() -> None:
    lab = Lab(make.joined("gpu", cpus=8, gpus=("a",)))
    busy_with(lab, 6)
    submit(lab, "overdue", 1, "jane")
    submit(lab, "gpus", 1, "ann", cpus=4, gpus=1, priority=1)
    lab.happen(make.undrained("gpu"), apart_s=1801)
    lab.look()
    assert batches(lab) == {}
    lab.succeed(of("before"), "gpu")
    assert batches(lab) == {"gpus": 1, "overdue": 1}
