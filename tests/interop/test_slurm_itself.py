"""The SLURM of the tests does what tests of it rely on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm_kit import Slurm, running_slurm

SCRIPT = """\
#!/bin/bash
echo "$SLURM_CPUS_PER_TASK cpus, GPU $CUDA_VISIBLE_DEVICES"
"""


def test_it_runs_a_job_with_cpus_and_a_gpu(slurm: Slurm, tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(SCRIPT)
    job = slurm.sbatch("--cpus-per-task=2", "--gres=gpu:1", "--output=out", "job.sh", cwd=tmp_path)
    slurm.wait(job)
    assert slurm.show(job)["JobState"] == "COMPLETED"
    assert (tmp_path / "out").read_text() == "2 cpus, GPU 0\n"


def test_wait_returns_after_jobs_that_failed_and_all_tasks_of_an_array(slurm: Slurm, tmp_path: Path) -> None:
    failed = slurm.sbatch("--wrap=exit 3", "--output=/dev/null", cwd=tmp_path)
    array = slurm.sbatch(
        "--array=0-3", "--wrap=touch $SLURM_ARRAY_TASK_ID", "--output=/dev/null", cwd=tmp_path
    )
    slurm.wait(failed, array)
    assert slurm.show(failed)["ExitCode"] == "3:0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "3"]


def test_it_accounts_for_its_jobs(slurm: Slurm) -> None:
    assert "test" in slurm.run("sacctmgr", "--noheader", "--parsable2", "show", "cluster").stdout
    assert slurm.run("sacct", "--parsable2", "--format=JobID,State").stdout.startswith("JobID|State\n")


def test_no_process_outlives_it(tmp_path: Path) -> None:
    """Neither its daemons nor a job that ignores signals."""
    os.mkfifo(tmp_path / "started")
    with running_slurm(tmp_path) as running:
        stubborn = "trap '' TERM INT; echo $$ > started; while :; do sleep 1; done"
        running.sbatch(f"--wrap={stubborn}", "--output=/dev/null", cwd=tmp_path)
        pids = [int(running.run("cat", "started").stdout)]
        pids += [int(path.read_text()) for path in tmp_path.glob("*.pid")]
    assert len(pids) > 4
    assert [pid for pid in pids if _runs(pid)] == []


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_without_root_tests_of_it_are_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception, match="needs root"), running_slurm(tmp_path):
        pass
