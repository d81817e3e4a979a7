"""Jobs that a real SLURM ends or warns by itself: at their time, by `scancel`, with their node.

SLURM looks at times every half minute, so this takes as long. We can't try a job that needs too much memory,
because this SLURM has no cgroups, nor one that is preempted, because it has one partition.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from acceptance.person import Person
from distribute.client.collect.slurm_folder import read_slurm_folder
from slurm_kit import WHERE, Slurm, remote_shell

BEGUN = "echo begun; echo half > distribute_save/half; touch {home}/{name}"
FOREVER = "while :; do sleep 0.1; done"
JOBS = ("over", "cancelled", "lost", "warned")
SAID_BY_SHELLS = {"Terminated", "User defined signal 1"}
"""A shell that outlives its `sleep` may say how that ended."""


def written(home: Path) -> None:
    jobs: list[dict[str, object]] = []
    for name in JOBS:
        begun = BEGUN.format(home=home, name=name)
        jobs.append({"name": name, "command": f"{begun}; {FOREVER}", "slurm": {"no_requeue": True}})
    # Its time is SLURM's alone, as the file says it.
    jobs[0] |= {"slurm": {"time": "10"}}
    jobs[3] |= {
        "command": f"trap 'echo warned; exit 0' USR1; {BEGUN.format(home=home, name='warned')}; {FOREVER}",
        "timeout": "10m",
        "signal_before": {"signal": "USR1", "seconds": 5},
    }
    batch = {
        "meta": {"namespace": "n", "batch_name": "b", "resources": {"cpus": 1}},
        "command": {"jobs": jobs},
    }
    (home / "b.yaml").write_text(yaml.safe_dump(batch))


@pytest.mark.slow
def test_jobs_that_slurm_ends_are_collected_with_what_they_left(tmp_path: Path, slurm: Slurm) -> None:
    remote = remote_shell(tmp_path)
    with Person(tmp_path) as jane:
        written(tmp_path)
        jane.runs("slurm", "out", "b.yaml", *WHERE, "there")
        out, there = tmp_path / "out", tmp_path / "cluster" / "there"
        slurm.run("sh", "rsync_upload.sh", cwd=out, env=remote)
        slurm.run("sh", "schedule_jobs.sh", cwd=there)
        state = there / "state"
        ids = {name: (state / f"{number}.id").read_text().strip() for number, name in enumerate(JOBS)}
        names = " ".join(f"{tmp_path}/{name}" for name in JOBS)
        slurm.run("sh", "-c", f"for name in {names}; do until [ -e $name ]; do sleep 0.1; done; done")
        assert "B:USR1@" in (there / "scripts" / "3.sbatch").read_text()

        slurm.run("scancel", ids["cancelled"])
        # By SLURM's own timer: it warns a while before the end, and its clock is moved on, not ours.
        slurm.run("scontrol", "update", f"JobId={ids['over']}", "EndTime=now")
        slurm.run("scontrol", "update", f"JobId={ids['warned']}", "EndTime=now+60seconds")
        slurm.wait(ids["over"], ids["cancelled"], ids["warned"])
        node = os.uname().nodename.split(".")[0]
        slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=pulled")
        slurm.run(
            "scontrol", "update", f"NodeName={node}", "State=RESUME", check=False
        )  # it may be back by itself
        slurm.wait(ids["lost"])
        slurm.account(there)
        slurm.run("sh", "rsync_download.sh", cwd=out, env=remote)
        said = jane.runs("slurm", "--collect", "out", "--dry").stdout
    assert said == "n/b would be collected: 4 jobs: 1 succeeded, 2 failed, 1 killed\n"
    run = read_slurm_folder(out, datetime.now(UTC))
    ended = dict(zip(JOBS, run.ended, strict=True))
    assert {name: (one.state, one.reason) for name, one in ended.items()} == {
        "over": ("failed", "it ran for longer than its time limit (SLURM: TIMEOUT)"),
        "cancelled": ("killed", f"cancelled by uid {os.getuid()} (SLURM: CANCELLED)"),
        "lost": ("failed", "its node failed (SLURM: NODE_FAIL)"),
        "warned": ("succeeded", None),
    }
    for name, one in ended.items():
        assert one.left is not None
        assert (one.left.folder / "half").read_text() == "half\n"
        printed = one.left.printed.read_text().splitlines()
        of_job = [line for line in printed if line not in SAID_BY_SHELLS]
        assert of_job == (["begun", "warned"] if name == "warned" else ["begun"])
