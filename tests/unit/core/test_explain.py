"""The explanations of a job's status, which agree with `decide`."""

from datetime import timedelta
from typing import Any

import pytest

from core_kit import Lab, of
from distribute.core.explaining.explain import Verdict, explain, obstacle_at
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.scheduling.matching import Obstacle
from distribute.core.spec.specs import Resources
from distribute.testing import builders as make
from distribute.testing.builders import GIB

FAILED_BUILD = make.build_finished(succeeded=False)
QUARANTINED = "2 jobs that failed here within seconds succeeded elsewhere"
SOON = make.EPOCH + timedelta(minutes=90)
LARGE = Resources(cpus=8, memory_bytes=32 * GIB, gpus=2)


def why(lab: Lab, job: str = "job1", batch: str = "sweep") -> str:
    """The explanation in one sentence."""
    found = lab.batch(batch)
    return explain(lab.agenda, found, found.rows[job]).summary


def verdict(lab: Lab, node: str = "ws1", batch: str = "sweep") -> Verdict:
    """The verdict of a node on the batch's first job."""
    (found,) = [one for one in explain(lab.agenda, lab.batch(batch), 0).nodes if one.node == node]
    return found


@pytest.mark.parametrize(
    ("node", "events", "obstacle", "text"),
    [
        ({}, (), Obstacle.CAPABILITIES, "lacks capabilities: gcc, mpi"),
        ({"cpus": 4}, (), Obstacle.CPUS, "has too few cpus: 4, of 8 needed"),
        ({"memory_bytes": 5}, (), Obstacle.MEMORY, "has too little memory: 5B, of 32G needed"),
        ({"gpus": ("a",)}, (), Obstacle.GPUS, "has too few GPUs: 1, of 2 needed"),
        ({}, (make.left(),), Obstacle.GONE, "is not there: it left"),
        ({}, (make.lost(),), Obstacle.GONE, "is not there: it was lost"),
        (
            {}, (make.leaving(),), Obstacle.LEAVING,
            "is ending: its node-runner ends, once it has stored what its last jobs left",
        ),
        ({}, (make.paused(until=SOON),), Obstacle.PAUSED, "is paused: for 1h30m more: its owner works"),
        (
            {}, (make.paused(until=SOON, by="jane", reason="a talk"),), Obstacle.PAUSED,
            "is paused: for 1h30m more, by jane: a talk",
        ),
        (
            {}, (make.paused(until=SOON, by="jane", reason=""),), Obstacle.PAUSED,
            "is paused: for 1h30m more, by jane",
        ),
        ({}, (make.drain_requested(),), Obstacle.DRAINING, "is draining: for repair"),
        ({}, (make.drain_requested(reason=""),), Obstacle.DRAINING, "is draining"),
        ({}, (make.quarantined(),), Obstacle.QUARANTINED, f"is in quarantine: {QUARANTINED}"),
        ({}, (FAILED_BUILD,), Obstacle.BUILD_FAILED, "could not build this batch: exit code 2"),
        ({}, (), None, "could take it now"),
    ],
    ids=lambda value: value.name if isinstance(value, Obstacle) else None,
)  # fmt: skip
def test_each_obstacle_is_named_with_its_figures(
    node: dict[str, Any], events: tuple[Event, ...], obstacle: Obstacle | None, text: str
) -> None:
    needed = frozenset({"gcc", "mpi"})
    has: dict[str, Any] = {"cpus": 16, "memory_bytes": 64 * GIB, "gpus": ("a", "b"), "capabilities": needed}
    if obstacle is Obstacle.CAPABILITIES:
        has["capabilities"] = frozenset({"python"})
    spec = make.batch(1, build="make", capabilities=needed, resources=LARGE)
    lab = Lab(make.joined(**has | node), make.submitted(spec), *events)
    assert verdict(lab) == Verdict("ws1", obstacle, text)


def test_a_node_out_of_touch_is_named() -> None:
    lab = Lab(make.joined(), make.submitted())
    lab.quiet.add("ws1")
    lab.wait(14)
    assert verdict(lab).obstacle is None
    lab.wait(1)
    assert verdict(lab) == Verdict("ws1", Obstacle.OUT_OF_TOUCH, "is out of touch")


def test_a_busy_node_is_explained_with_free_and_needed_resources() -> None:
    lab = Lab(make.joined(cpus=4), make.submitted(make.batch(2, resources=Resources(cpus=3))))
    lab.assign()
    row = lab.batch().rows["job2"]
    (found,) = explain(lab.agenda, lab.batch(), row).nodes
    assert found == Verdict("ws1", Obstacle.BUSY, "is busy: 1 job, 1 of 4 cpus free, 3 cpus, 0 GPUs needed")


def test_a_node_kept_for_gpu_work_is_named() -> None:
    lab = Lab(make.joined(cpus=8, gpus=("a",)))
    lab.happen(make.submitted(make.batch(1, batch="before", resources=Resources(cpus=6))))
    lab.assign()
    lab.happen(make.submitted(make.batch(1, batch="gpus", resources=Resources(cpus=4, gpus=1))))
    lab.happen(make.submitted(make.batch(1)))
    assert verdict(lab, batch="gpus").obstacle is Obstacle.BUSY
    kept = "keeps what GPU work that waits needs"
    assert verdict(lab) == Verdict("ws1", Obstacle.KEPT_FOR_GPU_WORK, kept)


def test_a_waiting_job_is_explained() -> None:
    lab = Lab(make.submitted(make.batch(2, resources=Resources(cpus=2))))
    assert why(lab) == "waits: no node has joined yet"
    lab.happen(make.joined("small", cpus=1))
    assert why(lab) == "waits: no node could ever run it"
    lab.happen(make.joined("ws1", cpus=2))
    assert why(lab) == "waits for its turn: jobs before it take the free nodes first"
    lab.assign()
    assert why(lab, "job2") == "waits: 1 of 2 nodes could run it, none can now"


def test_every_other_status_has_its_sentence() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(3, retries=1)))
    lab.assign()
    assert why(lab) == "assigned: attempt 1 at ws1"
    lab.happen(make.claimed())
    assert why(lab) == "claimed: attempt 1 at ws1"
    lab.happen(make.started())
    assert why(lab) == "running: attempt 1 at ws1"
    lab.happen(make.finished(succeeded=False))
    assert why(lab) == "failed, and runs again as soon as what it left is archived"
    lab.happen(make.job_archived(), make.assigned(attempt=2))
    lab.run("job1", attempt=2)
    lab.happen(make.finished(attempt=2, succeeded=False, reason="signal 9"))
    assert why(lab) == "failed: signal 9"
    lab.run("job2")
    lab.happen(make.finished("job2"))
    assert why(lab, "job2") == "succeeded, not archived yet"
    lab.happen(
        make.job_archived("job2"), make.kill_requested(job="job3"), make.released("job3", reason="killed")
    )
    assert why(lab, "job2") == "succeeded"
    lab.batch().missing[lab.batch().rows["job2"]] = "no chunks"
    assert why(lab, "job2") == "succeeded, and its results are gone: no chunks"
    assert why(lab, "job3") == "killed by jane"


def test_a_job_that_failed_by_itself_names_its_exit_code() -> None:
    lab = Lab(make.joined(), make.submitted())
    lab.happen(make.assigned("job1"))
    lab.run("job1")
    lab.happen(make.finished("job1", succeeded=False, exit_code=3, reason=None))
    assert why(lab) == "failed: exit code 3"


def test_a_job_that_never_ran_failed_for_its_batchs_reason() -> None:
    lab = Lab(make.submitted(), make.completed(state="failed", reason="the build failed"))
    assert why(lab) == "failed: the build failed"


def test_explain_finds_no_obstacle_where_decide_assigns_a_job() -> None:
    """A mixed lab, filled to the last slot: before each assignment, its node had no obstacle."""
    lab = Lab(
        make.joined("a", cpus=3),
        make.joined("b", cpus=8, gpus=("x", "y")),
        make.joined("c", cpus=8, capabilities=frozenset({"gcc"})),
        make.joined("d", cpus=2),
        make.drain_requested("d"),
        make.joined("e", cpus=4),
        make.joined("f", cpus=4),
        make.submitted(make.batch(4, batch="gpus", resources=Resources(cpus=1, gpus=1))),
        make.submitted(make.batch(9, batch="small"), user="bob"),
        make.submitted(make.batch(2, batch="whole", resources=None, priority=1)),
        make.submitted(make.batch(2, batch="gcc", build="make", capabilities=frozenset({"gcc"}))),
        make.build_finished("a", BatchId("lab", "small"), succeeded=False),
    )
    given = [event for event in lab.decide() if isinstance(event, ev.Assigned)]
    assert len(given) > 6
    for event in given:
        lab.agenda.drop(event.scope)
    for event in given:
        batch = lab.state.batches[event.batch_id]
        row = batch.rows[event.job]
        assert obstacle_at(lab.agenda, batch, row, lab.state.nodes[event.node]) is None, event
        lab.agenda.plan(event)


def test_decide_assigns_the_first_job_where_explain_finds_no_obstacle() -> None:
    lab = Lab(make.joined("a"), make.joined("b", gpus=("x",)), make.submitted(make.batch(1, batch="only")))
    assert [one.obstacle for one in explain(lab.agenda, lab.batch("only"), 0).nodes] == [None, None]
    assert lab.assign() == {"job1": "a"}
    assert why(lab, batch="only") == f"assigned: attempt 1 at {lab.batch('only').active[0].node}"
    assert of("only").job == "job1"
