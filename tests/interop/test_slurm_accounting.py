"""What a real SLURM accounts, as `slurm --collect` reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from distribute.client.collect.slurm_accounting import Record, read_accounting
from slurm_kit import ENDS_WITHIN_S, Slurm

FORMAT = "JobID,State,ExitCode,Start,End,Elapsed,TotalCPU,MaxRSS,NodeList"


def submit(slurm: Slurm, folder: Path, command: str, *options: str) -> str:
    return slurm.sbatch(*options, f"--wrap={command}", "--output=/dev/null", cwd=folder)


def accounted(slurm: Slurm, *ids: str) -> dict[str, Record]:
    told = slurm.run(
        "sacct", "--parsable2", "--duplicates", f"--jobs={','.join(ids)}", f"--format={FORMAT}",
        env={"TZ": "UTC", "SLURM_TIME_FORMAT": "%Y-%m-%dT%H:%M:%S"},
    )  # fmt: skip
    return read_accounting(told.stdout.splitlines())


def accounted_once(
    slurm: Slurm, is_told: Callable[[dict[str, Record]], bool], *ids: str
) -> dict[str, Record]:
    """As `accounted`, once the accounting has caught up: slurmctld tells it some time later."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while not is_told(records := accounted(slurm, *ids)):
        assert time.monotonic() < deadline, f"not in the accounting yet: {records}"
    return records


def all_over(records: dict[str, Record]) -> bool:
    return all(record.is_over for record in records.values())


def test_every_end_of_a_job_is_read_from_a_real_sacct(slurm: Slurm, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    good = submit(slurm, tmp_path, "true")
    bad = submit(slurm, tmp_path, "exit 3")
    killed = submit(slurm, tmp_path, "kill -KILL $$")
    array = submit(slurm, tmp_path, "exit $SLURM_ARRAY_TASK_ID", "--array=0-1")
    never = submit(slurm, tmp_path, "true", f"--dependency=afterok:{bad}", "--kill-on-invalid-dep=yes")
    cancelled = submit(slurm, tmp_path, "echo > started; sleep 600")
    assert slurm.run("cat", "started", cwd=tmp_path).stdout == "\n"
    slurm.run("scancel", cancelled)
    slurm.wait(good, bad, killed, array, never, cancelled)
    tasks = [f"{array}_{task}" for task in (0, 1)]
    expected = {good, bad, killed, *tasks, never, cancelled}
    records = accounted_once(
        slurm, lambda told: all_over(told) and expected <= told.keys(), *expected - {*tasks}, array
    )
    ends = {job: (one.state, one.exit_code, one.signal) for job, one in records.items()}
    assert ends[good] == ("COMPLETED", 0, None)
    assert ends[bad] == ("FAILED", 3, None)
    assert ends[killed] == ("FAILED", None, 9)
    assert [ends[task][:2] for task in tasks] == [("COMPLETED", 0), ("FAILED", 1)]
    assert records[cancelled].state == records[never].state == "CANCELLED"
    assert records[cancelled].why == f"cancelled by uid {os.getuid()} (SLURM: CANCELLED)"
    assert records[never].node is None
    assert records[good].node is not None
    assert records[good].started_at is not None
    assert records[good].ended_at is not None


def test_of_a_job_that_was_requeued_the_last_record_counts(slurm: Slurm, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    job = submit(slurm, tmp_path, "echo > started; sleep 600", "--requeue")
    slurm.run("cat", "started", cwd=tmp_path)
    running = accounted_once(slurm, lambda told: job in told and told[job].state != "PENDING", job)[job]
    assert (running.state, running.is_over) == ("RUNNING", False)
    slurm.run("scontrol", "requeue", job)  # it starts again some minutes later
    accounted_once(slurm, lambda records: records[job].state == "PENDING", job)
    slurm.run("scancel", job)
    assert accounted_once(slurm, all_over, job)[job].state == "CANCELLED"
