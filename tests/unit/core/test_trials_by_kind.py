"""A node whose GPU is broken runs all other work well: each kind of work has a record of its own."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_kit import Lab, of, told
from distribute.core.log import events as ev
from distribute.core.scheduling.trials import QUARANTINE_S, SUSPECT_AFTER, TRIAL_S, quarantine_s
from distribute.core.spec.specs import BatchSpec, Resources
from distribute.core.state.state import Status
from distribute.testing import builders as make
from trials_kit import events_of, failing, in_turn

ONE_GPU = Resources(cpus=1, gpus=1)
HOURS = 3600.0


def gpu_batch(jobs: int = SUSPECT_AFTER, **fields: Any) -> BatchSpec:
    return make.batch(jobs, batch="gpu", **{"resources": ONE_GPU} | fields)


def gpu_failures_among_successes() -> Lab:
    """GPU jobs failed fast, and between them other jobs succeeded, at the only node. Another one has come."""
    lab = Lab(
        make.joined("broken", gpus=("rtx",)),
        make.submitted(gpu_batch()),
        make.submitted(make.batch(SUSPECT_AFTER + 1, batch="cpu")),
    )
    for number in range(1, SUSPECT_AFTER + 1):
        gpu, cpu = of("gpu", f"job{number}"), of("cpu", f"job{number}")
        lab.happen(make.assigned(gpu, "broken", gpus=(0,)))
        lab.fail_fast(gpu, "broken")
        lab.happen(make.assigned(cpu, "broken"))
        lab.succeed(cpu, "broken")
    lab.happen(make.joined("other", gpus=("rtx",)))
    return lab


def found_broken() -> Lab:
    """And the GPU jobs succeeded there."""
    lab = gpu_failures_among_successes()
    lab.happen(*lab.decide())
    given = lab.assign()
    assert [node for job, node in given.items() if node == "other"], "the probes run there"
    for number in (1, 2):
        if lab.status(f"job{number}", "gpu") is Status.QUEUED:
            lab.assign()
        lab.succeed(of("gpu", f"job{number}"), "other", attempt=2)
        lab.happen(*lab.decide())
    return lab


def test_a_job_that_needs_no_gpu_clears_no_suspicion_against_a_gpu() -> None:
    lab = gpu_failures_among_successes()
    assert told(lab.decide())[:3] == [("excused", f"job{number}", "broken") for number in (1, 2, 3)]


@pytest.mark.parametrize("fields", [{"succeeded": True}, {"succeeded": False, "wall_s": 600.0}], ids=str)
def test_gpu_work_that_ran_clears_it(fields: dict[str, Any]) -> None:
    lab = Lab(make.joined("sound", gpus=("rtx",)), make.submitted(gpu_batch(9)))
    for number in range(1, 9):
        job = of("gpu", f"job{number}")
        lab.happen(make.assigned(job, "sound", gpus=(0,)))
        if number == 5:
            lab.run(job, "sound")
            lab.happen(make.finished(job, "sound", **fields))
        else:
            lab.fail_fast(job, "sound")
    lab.happen(make.joined("other", gpus=("rtx",)))
    assert not [line for line in told(lab.decide()) if line[0] == "excused"]


def test_a_node_whose_gpu_jobs_succeed_elsewhere_is_put_in_quarantine_and_why_is_said() -> None:
    (event,) = events_of(found_broken(), ev.Quarantined)
    assert isinstance(event, ev.Quarantined)
    assert event.node == "broken"
    assert event.reason == "2 GPU jobs that failed here within seconds succeeded elsewhere"


def test_another_job_that_succeeds_does_not_make_the_next_quarantine_a_first_one() -> None:
    lab = found_broken()
    node = lab.state.nodes["broken"]
    cpu = of("cpu", f"job{SUSPECT_AFTER + 1}")
    if lab.batch("cpu").active == {}:
        lab.happen(make.assigned(cpu, "broken"))
    lab.succeed(cpu, next(iter(lab.batch("cpu").active.values())).node)
    assert quarantine_s(node.gpu_record) == 2 * QUARANTINE_S
    assert quarantine_s(node.record) == QUARANTINE_S


@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32), gpu_jobs=st.integers(20, 60), cpu_jobs=st.integers(0, 60))
def test_a_node_with_a_broken_gpu_is_found_out_whatever_else_it_runs(
    seed: int, gpu_jobs: int, cpu_jobs: int
) -> None:
    """And no job fails for it."""
    lab = Lab(make.joined("broken", cpus=4, gpus=("a", "b")), make.joined("sound", cpus=4, gpus=("a",)))
    lab.happen(make.submitted(gpu_batch(gpu_jobs)))
    if cpu_jobs:
        lab.happen(make.submitted(make.batch(cpu_jobs, batch="cpu"), user="bob"))
    in_turn(lab, lambda at, batch: at == "broken" and batch == "gpu", Random(seed))
    assert {event.node for event in events_of(lab, ev.Quarantined) if isinstance(event, ev.Quarantined)} == {
        "broken"
    }
    assert [batch.end for batch in lab.state.batches.values()] == ["completed"] * len(lab.state.batches)


@pytest.mark.parametrize("log_ahead_s", [-3 * HOURS, 0.0, 3 * HOURS])
def test_a_trial_is_as_long_whatever_the_clock_of_the_log(log_ahead_s: float) -> None:
    lab = failing(make.batch(9), log_ahead_s=log_ahead_s)
    lab.happen(make.submitted(make.batch(1, batch="long", resources=None)))
    lab.happen(make.joined("other"), make.assigned(of("long"), "other", cpus=4))
    lab.run(of("long"), "other")
    lab.happen(*lab.decide())
    lab.wait(TRIAL_S - 30)
    assert lab.decide() == []
    lab.wait(30)
    assert set(lab.assign().values()) == {"broken"}


@pytest.mark.parametrize("log_ahead_s", [-3 * HOURS, 0.0, 3 * HOURS])
def test_a_quarantine_ends_for_its_record_when_it_ends_for_jobs(log_ahead_s: float) -> None:
    lab = Lab(make.joined("broken"), make.submitted(make.batch(9)), log_ahead_s=log_ahead_s)
    word = make.quarantined("broken")
    lab.happen(word.model_copy(update={"until": word.time + timedelta(seconds=QUARANTINE_S)}))
    lab.happen(make.assigned("job1", "broken"))
    lab.fail_fast("job1", "broken")
    assert lab.state.nodes["broken"].quarantined is not None, "it goes on"
    lab.wait(QUARANTINE_S)
    lab.happen(make.assigned("job2", "broken"))
    lab.fail_fast("job2", "broken")
    assert lab.state.nodes["broken"].quarantined is None, "the record begins anew"
