"""A batch that was written for the first `distribute` runs unchanged, and its results lie as there."""

from __future__ import annotations

from pathlib import Path

import pytest

from acceptance.person import Person

FILES = {
    "execute/build.py": """\
from pathlib import Path
print("the build finds", {path.name: path.read_text() for path in Path("input").iterdir()})
Path("solver.txt").write_text("built")
""",
    "execute/run.py": """\
import sys
from pathlib import Path
input, initial, save = map(Path, ("input", "initial_files", "distribute_save"))
print("arguments", sys.argv)
for folder in (input, initial):
    print(folder, {path.name: path.read_text() for path in sorted(folder.iterdir())})
(save / "case").mkdir()
(save / "case" / "result.csv").write_text(Path("solver.txt").read_text())
""",
    "coarse/mesh.dat": "coarse",
    "fine/mesh.dat": "fine",
    "job_1.dat": "of job 1",
    "distribute-jobs.yaml": """\
---
meta:
  batch_name: some sweep
  namespace: jane
  matrix: ~
  capabilities: [python3]
python:
  initialize:
    build_file: {path: execute/build.py}
    required_files:
      - {path: coarse/mesh.dat, alias: null}
      - path: coarse/mesh.dat
  jobs:
    - name: job_1
      file: {path: execute/run.py, alias: null}
      required_files:
        - {path: job_1.dat, alias: own.dat}
        - {path: ./job_1.dat, alias: own.dat}
      slurm: {time: "00:30:00"}
    - name: job_2
      file: execute/run.py
      required_files: [fine/mesh.dat]
      slurm: ~
slurm: {qos: long, ntasks: 1}
""",
}


def write_files(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The results of the batch, pulled by its file, as the first `distribute` does it."""
    with Person(tmp_path) as jane:
        write_files(tmp_path)
        jane.runs("up", "--nodes", "1", "--cpus", "2", "--detach")
        added = jane.runs("add")
        assert "runs on 1/1 of the nodes" in added.stderr
        assert "slurm:" not in added.stderr
        jane.runs("wait", "distribute-jobs.yaml")
        jane.runs("pull", "distribute-jobs.yaml", "--save-dir", "results")
        jane.runs("down")
    return tmp_path / "results" / "some sweep"


def test_a_batch_of_the_first_distribute_runs_and_its_results_lie_as_there(results: Path) -> None:
    found = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
    (build,) = (name for name in found if "_build_output-" in name)
    assert {name for name in found if not name.startswith(".")} == {
        build,
        "job_1/stdout.txt",
        "job_1/case/result.csv",
        "job_2/stdout.txt",
        "job_2/case/result.csv",
    }
    assert (results / build).read_text() == "the build finds {'mesh.dat': 'coarse'}\n"
    assert (results / "job_1/case/result.csv").read_text() == "built"
    assert (results / "job_1/stdout.txt").read_text().splitlines() == [
        "arguments ['job.py', '2']",
        "input {'mesh.dat': 'coarse', 'own.dat': 'of job 1'}",
        "initial_files {'mesh.dat': 'coarse'}",
    ]
    assert (results / "job_2/stdout.txt").read_text().splitlines() == [
        "arguments ['job.py', '2']",
        "input {'mesh.dat': 'fine'}",
        "initial_files {'mesh.dat': 'coarse'}",
    ]


def test_the_batch_runs_here_too_and_what_looks_wrong_in_it_is_told(tmp_path: Path) -> None:
    with Person(tmp_path) as jane:
        write_files(tmp_path)
        file = tmp_path / "distribute-jobs.yaml"
        file.write_text(file.read_text().replace("qos: long", "qoss: long"))
        ran = jane.runs("run", "--save-dir", "results")
        assert "slurm: 'qoss' is passed on to sbatch as it is; did you mean 'qos'?" in ran.stderr
    printed = (tmp_path / "results" / "some sweep" / "job_2" / "stdout.txt").read_text().splitlines()
    assert printed[1:] == ["input {'mesh.dat': 'fine'}", "initial_files {'mesh.dat': 'coarse'}"]
