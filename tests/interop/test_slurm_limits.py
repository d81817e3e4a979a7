"""A real SLURM keeps to what a batch says of how many jobs run, and when they begin."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from acceptance.person import Person
from slurm_kit import WHERE, Slurm, need_slurm

FILE = """\
meta: {{namespace: jane, batch_name: b, resources: {{cpus: 1}}, max_running: 2, not_before: {begin}}}
command: {{jobs: [{{name: a, command: "true"}}, {{name: b, command: "true"}}, {{name: c, command: "true"}}]}}
"""


@pytest.fixture
def jane(tmp_path: Path) -> Person:
    need_slurm()
    return Person(tmp_path)


@pytest.mark.parametrize("shape", [(), ("--array",)])
def test_slurm_is_told_how_many_run_and_when_they_begin(
    jane: Person, slurm: Slurm, shape: tuple[str, ...]
) -> None:
    begin = datetime.now().astimezone().replace(microsecond=0) + timedelta(hours=1)
    (jane.home / "distribute-jobs.yaml").write_text(FILE.format(begin=begin.isoformat()))
    jane.runs("slurm", "out", *WHERE, "/nowhere", *shape)
    out = jane.home / "out"
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    ids = {path.read_text().strip().partition("_")[0] for path in (out / "state").glob("*.id")}
    try:
        for job_id in ids:
            told = slurm.show(job_id)
            assert datetime.fromisoformat(told["EligibleTime"]) == begin.replace(tzinfo=None)
            assert told.get("ArrayTaskThrottle") == ("2" if shape else None)
    finally:
        slurm.run("scancel", *ids, cwd=out)
    assert len(ids) == (1 if shape else 3)
