"""Options of sbatch: those of the file win, and what it is silent about is translated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from distribute.config.sections.slurm_section import Slurm
from distribute.core.spec.recipe import recipe_of
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, GpuKind, Resources, SignalBefore
from distribute.sbatch.options import (
    Options,
    check_time,
    default_name,
    has_gpus,
    merged,
    options_of,
    unsaid,
)

NEEDS = Resources(cpus=4, memory_bytes=3 * 2**30 + 1, gpus=2)


def options(
    chosen: Options | None = None, resources: Resources | None = NEEDS, **of_batch: object
) -> Options:
    """All options of the only job of a batch."""
    job = CommandJob(name="a", command="true")
    spec = BatchSpec(namespace="n", batch="b", work=CommandWork(jobs=(job,)), **of_batch)
    return options_of(recipe_of(spec, job), resources, chosen or {})


def test_the_options_of_a_job_replace_those_of_its_batch_one_by_one() -> None:
    batch = Slurm.model_validate({"time": "10", "partition": "long", "qos": "low", "exclusive": True})
    job = Slurm.model_validate({"time": "20", "qos": "high", "gres": "gpu:1"})
    assert merged(batch, job, waits_for=None) == {
        "time": "20",
        "partition": "long",
        "qos": "high",
        "exclusive": "",
        "gres": "gpu:1",
    }
    assert merged(None, None, waits_for="the build") == {}


def test_a_share_of_a_node_is_translated() -> None:
    assert options() == {"ntasks": "1", "cpus_per_task": "4", "mem": "3073M", "gres": "gpu:2"}
    assert options(resources=None) == {}


@pytest.mark.parametrize(
    ("chosen", "silent"),
    [
        ({"ntasks": "8"}, {"mem", "gres"}),
        ({"cpus_per_task": "2"}, {"mem", "gres"}),
        ({"mem_per_cpu": "1G"}, {"ntasks", "cpus_per_task", "gres"}),
        ({"gpus_per_node": "a100:1"}, {"ntasks", "cpus_per_task", "mem"}),
    ],
)
def test_only_what_the_file_is_silent_about_is_translated(chosen: Options, silent: set[str]) -> None:
    found = options(chosen)
    assert found.items() >= chosen.items()
    assert found.keys() - chosen.keys() == silent


@pytest.mark.parametrize(
    ("timeout_s", "grace_s", "time"),
    [
        (60.0, 0.0, "00:02:00"),
        (90.0, 30.0, "00:03:00"),
        (3600.0, None, "01:02:00"),
        (86400.0, 60.0, "1-00:02:00"),
    ],
)
def test_a_timeout_becomes_a_time_with_room_for_the_grace_and_the_results(
    timeout_s: float, grace_s: float | None, time: str
) -> None:
    assert options(resources=None, timeout_s=timeout_s, grace_s=grace_s) == {"time": time}


def test_a_warning_goes_to_the_script_so_long_before_the_timeout() -> None:
    warning = SignalBefore(signal="USR1", before_s=120)
    found = options(resources=None, timeout_s=3600.0, grace_s=0.0, signal_before=warning)
    assert found == {"time": "01:01:00", "signal": "B:USR1@180"}
    own = {"signal": "B:INT@30", "time": "5"}
    assert options(own, None, timeout_s=3600.0, signal_before=warning) == own


@pytest.mark.parametrize(
    "text", ["5", "5:30", "1:00:00", "2-12", "2-12:30", "2-12:30:15", "UNLIMITED", "infinite"]
)
def test_the_times_of_sbatch_are_taken(text: str) -> None:
    check_time("time", text)


@pytest.mark.parametrize("text", ["", "2h", "1.5", "-1", "1:2:3:4", "1-", "30000-00", "a", "1 2"])
def test_a_time_that_slurm_cannot_say_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"slurm: time is .*SLURM.*; write minutes, HOURS:MINUTES:SECONDS"):
        merged(Slurm.model_validate({"time": text}), None, waits_for=None)


def test_a_timeout_that_slurm_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match=r"30,000 days; SLURM takes at most 24855; write a shorter one"):
        options(timeout_s=30_000 * 86_400.0)
    warning = SignalBefore(signal="USR1", before_s=70_000)
    with pytest.raises(
        ValueError,
        match=r"signal_before comes .* SLURM can send it at most 65535 seconds before; write fewer",
    ):
        options(timeout_s=100_000.0, signal_before=warning)


@pytest.mark.parametrize("name", ["array", "chdir", "wrap", "parsable"])
def test_an_option_that_the_scripts_need_themselves_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"slurm: {name} can't be chosen"):
        merged(Slurm.model_validate({name: "x"}), None, waits_for=None)


def test_a_dependency_is_for_batches_without_a_build() -> None:
    section = Slurm.model_validate({"dependency": "afterok:1"})
    assert merged(section, None, waits_for=None) == {"dependency": "afterok:1"}
    with pytest.raises(ValueError, match="because this job waits for the build"):
        merged(section, None, waits_for="the build")


def test_gpus_are_seen_however_they_were_asked_for() -> None:
    for chosen in (
        {"gres": "gpu:a100:1"},
        {"gpus": "1"},
        {"gpus_per_task": "1"},
        {"tres_per_task": "gres/gpu:1"},
    ):
        assert has_gpus(chosen)
    assert not has_gpus({"gres": "scratch:1", "cpus_per_gpu": "2"})


def test_squeue_shows_a_name_without_what_a_shell_would_read() -> None:
    assert default_name("$(touch x); rm -rf ~\n") == "_touch_x_rm_-rf_"
    assert default_name("re100-n48.b") == "re100-n48.b"


def test_what_slurm_is_not_told_is_said() -> None:
    job = CommandJob(name="a", command="true", resources=Resources(gpus=1, gpu_kind=GpuKind(model="A100")))
    spec = BatchSpec(namespace="n", batch="b", retries=1, work=CommandWork(jobs=(job,)))
    kind, retries = unsaid(spec)
    assert "slurm: {gres: gpu:a100:1}" in kind
    assert "each job runs once" in retries


@pytest.mark.parametrize(
    ("limits", "arrays", "expected"),
    [
        ({"max_running": 2}, 1, []),
        ({"max_running": 2}, 0, ["max_running is for an array on SLURM: add --array"]),
        ({"max_running": 2}, 3, ["max_running holds for each of the 3 arrays by itself"]),
        ({"max_failures": 2}, 1, ["max_failures is for the cluster of distribute"]),
        ({"not_before": datetime(2030, 1, 1, tzinfo=UTC)}, 0, []),
    ],
)
def test_a_limit_that_slurm_does_not_keep_is_said(
    limits: dict[str, Any], arrays: int, expected: list[str]
) -> None:
    work = CommandWork(jobs=(CommandJob(name="a", command="true"),))
    found = list(unsaid(BatchSpec(namespace="n", batch="b", work=work, **limits), arrays))
    assert [line.startswith(begin) for line, begin in zip(found, expected, strict=True)] == [True] * len(
        found
    )
