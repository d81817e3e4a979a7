"""A sweep on a real SLURM: each job has a case of its own, and asks for what its case needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from acceptance.person import Person
from slurm_kit import WHERE, Slurm, ids_of, need_slurm

FILE = """\
meta: {namespace: jane, batch_name: b}
sweep: {each: "cases/*"}
command:
  job:
    command: "cat {file}/0/U > distribute_save/U; echo $DISTRIBUTE_CPUS > distribute_save/cpus"
    resources: {cpus: 1}
    timeout: "{number}h"
    slurm: {comment: "case-{stem}"}
    required_files: ["c*/{stem}/0/U", "c*/{stem}/0/p"]
"""


@pytest.fixture
def jane(tmp_path: Path) -> Person:
    need_slurm()
    return Person(tmp_path)


@pytest.mark.parametrize("shape", [(), ("--array",)], ids=["single jobs", "arrays"])
def test_each_case_runs_with_its_own_options(jane: Person, slurm: Slurm, shape: tuple[str, ...]) -> None:
    for case in ("bend", "pipe"):
        for name in ("U", "p"):
            path = jane.home / "cases" / case / "0" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} of {case}\n")
    (jane.home / "distribute-jobs.yaml").write_text(FILE)
    jane.runs("slurm", "out", *WHERE, "/nowhere", *shape)
    out = jane.home / "out"
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    slurm.wait(*ids_of(out))
    for number, (case, limit) in enumerate([("bend", "01:02:00"), ("pipe", "02:02:00")]):
        told = slurm.show((out / "state" / f"{number}.id").read_text().strip())
        assert (told["JobState"], told["TimeLimit"], told["Comment"]) == ("COMPLETED", limit, f"case-{case}")
        results = out / "results" / "b" / case
        assert (results / "U").read_text() == f"U of {case}\n"
        assert (results / "cpus").read_text() == "1\n"
