"""What the jobs of a sweep need, with placeholders: what comes of it, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config_kit import META, problems_of, write
from distribute.config.loading import LoadedBatch, load
from distribute.core.spec.specs import MAX_NEEDS, CommandJob, GpuKind, Resources, SignalBefore

GIB = 2**30


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(grid: str, needs: str, meta: str = META) -> LoadedBatch:
    text = f"{meta}sweep: {{grid: {grid}}}\ncommand: {{job: {{command: x, {needs}}}}}\n"
    return load(write(Path.cwd(), text))


def jobs_of(grid: str, needs: str) -> list[Any]:
    return list(loaded(grid, needs).spec.work.jobs)


def problem(grid: str, needs: str, meta: str = META) -> str:
    """The one problem of a file with this grid and these needs, which begin at column 27 of line 3."""
    text = f"{meta}sweep: {{grid: {grid}}}\ncommand: {{job: {{command: x, {needs}}}}}\n"
    (found,) = problems_of(text)
    return found


def test_every_need_of_a_job_may_have_placeholders() -> None:
    (job,) = jobs_of(
        "{n: [2]}",
        'resources: {cpus: "{n}", memory: "{n}G", gpus: {count: "{n}", memory: "{n}0G", model: "A{n}00"}}, '
        'timeout: "{n}h", grace: "{n:02d}s", retries: "{n}", signal_before: {signal: USR1, seconds: "{n}m"}',
    )
    assert job == CommandJob(
        name="n2",
        command="x",
        resources=Resources(
            cpus=2, memory_bytes=2 * GIB, gpus=2, gpu_kind=GpuKind(memory_bytes=20 * GIB, model="A200")
        ),
        timeout_s=7200,
        grace_s=2,
        retries=2,
        signal_before=SignalBefore(signal="USR1", before_s=120),
        parameters={"n": 2},
    )


def test_each_point_fills_them_with_its_own_values() -> None:
    jobs = jobs_of("{n: [1, 2], h: [0.5, 3]}", 'resources: {cpus: "{n}", gpus: "{n}"}, timeout: "{h}h"')
    assert [(job.resources.cpus, job.resources.gpus, job.timeout_s) for job in jobs] == [
        (1, 1, 1800),
        (1, 1, 10800),
        (2, 2, 1800),
        (2, 2, 10800),
    ]


def test_a_value_without_placeholders_stays_as_it_is() -> None:
    first, second = jobs_of("{n: [1, 2]}", 'resources: {cpus: 3, gpus: {model: "A{{1,2}}00"}}, timeout: 90')
    assert (
        first.resources == second.resources == Resources(cpus=3, gpus=1, gpu_kind=GpuKind(model="A{1,2}00"))
    )
    assert first.timeout_s == 90
    (job,) = jobs_of("{n: [1]}", "env: {A: a}")
    assert (job.resources, job.timeout_s, job.retries) == (None, None, None)


def test_options_of_sbatch_may_have_placeholders() -> None:
    batch = loaded(
        "{n: [1, 2]}", 'slurm: {ntasks: "{n}", time: "0{n}:00:00", constraint: "rack{n}", qos: long}'
    )
    first, second = batch.slurm_of_jobs
    assert first is not None
    assert second is not None
    assert (first.ntasks, first.time, first.model_extra) == (
        1,
        "01:00:00",
        {"constraint": "rack1", "qos": "long"},
    )
    assert (second.ntasks, second.time, second.model_extra) == (
        2,
        "02:00:00",
        {"constraint": "rack2", "qos": "long"},
    )


@pytest.mark.parametrize(
    ("grid", "needs", "found"),
    [
        (
            "{n: [1, x]}",
            'resources: {cpus: "{n}"}',
            "3:47: cpus takes a whole number, not 'x'; write cpus: 4 (at n=x)",
        ),
        (
            "{n: [1, 0]}",
            'resources: {cpus: "{n}"}',
            "3:47: cpus: 0 is out of range; write 1 or more (at n=0)",
        ),
        (
            "{n: [8, 8X]}",
            'resources: {memory: "{n}B"}',
            "3:49: memory: '8XB' is not a size; write 8G, 512M or 10K; a plain number means bytes (at n=8X)",
        ),
        (
            "{n: [1, -1]}",
            'resources: {gpus: {count: "{n}"}}',
            "3:55: count: -1 is out of range; write 0 or more (at n=-1)",
        ),
        (
            "{n: [RTX, '(']}",
            'resources: {gpus: {model: "{n}"}}',
            "3:55: model: '(' is not a valid regular expression: missing ): ( (at n=()",
        ),
        (
            "{h: [1, 2x]}",
            'timeout: "{h}h"',
            (
                "3:38: timeout: '2xh' is not a duration; write 90s, 45m, 2h or 1h30m10s; "
                "a plain number means seconds (at h=2x)"
            ),
        ),
        (
            "{h: [1]}",
            'timeout: "{hour}h"',
            (
                "3:38: timeout: {hour} names no parameter: there are h, number; "
                "for the text itself write {{hour}}"
            ),
        ),
        (
            "{h: [abc]}",
            'timeout: "{h:03d}s"',
            "3:38: {h:03d} takes a number, and h is 'abc'; write {h} (at h=abc)",
        ),
        (
            "{h: [1]}",
            'retries: "{h}00000"',
            "3:38: retries: 100000 is out of range; write 100 or less (at h=1)",
        ),
        (
            "{h: [1]}",
            'slurm: {nodes: "{h}x"}',
            "3:44: nodes takes a whole number, not '1x'; write nodes: 1 (at h=1)",
        ),
    ],
)
def test_a_value_that_is_none_is_told_with_its_place_and_point(grid: str, needs: str, found: str) -> None:
    assert problem(grid, needs) == found


def test_a_warning_must_come_before_the_timeout_of_each_job() -> None:
    warning = "signal_before: {signal: USR1, seconds: 120}"
    assert problem("{h: [5, 1]}", f'{warning}, timeout: "{{h}}m"') == (
        "3:44: signal_before: 2m is not less than the timeout of 1m; write fewer seconds (at h=1)"
    )
    assert problem("{h: [1, 2]}", 'signal_before: {signal: USR1, seconds: "{h}"}') == (
        "3:44: signal_before: it has no timeout; write one in the job or in meta, "
        "such as timeout: 2h (at h=1)"
    )
    meta = f"meta: {{namespace: n, batch_name: b, timeout: 5m, {warning}}}\n"
    assert problem("{h: [5, 1]}", 'timeout: "{h}m"', meta) == (
        "3:38: signal_before: 2m is not less than the timeout of 1m; write fewer seconds (at h=1)"
    )


def test_a_sweep_asks_for_no_more_different_needs_than_a_batch_may_have() -> None:
    most = f"{{n: {{from: 1, to: {MAX_NEEDS}}}}}"
    assert len(jobs_of(most, 'resources: {cpus: "{n}"}')) == MAX_NEEDS
    assert problem(f"{{n: {{from: 1, to: {MAX_NEEDS + 1}}}}}", 'resources: {cpus: "{n}"}') == (
        f"3:40: the jobs ask for more than {MAX_NEEDS} different resources and retries, the most that a "
        f"batch may have; round them up, for example memory to whole gigabytes (at n={MAX_NEEDS + 1})"
    )


def test_timeouts_may_all_be_different() -> None:
    jobs = jobs_of("{s: {from: 1, to: 3000}}", 'timeout: "{s}"')
    assert [job.timeout_s for job in jobs] == list(range(1, 3001))
