"""The program of the example batch: the batch's build builds it, and it computes the right flows."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from distribute.config.loading import LoadedBatch, load
from distribute.core.spec.specs import CommandWork

EXAMPLE = Path(str(files("distribute_cli"))) / "example"

PSI_OF_BOTELLA_AND_PEYRET = -0.1189366
"""Of the primary vortex at Re 1000. O. Botella, R. Peyret, Benchmark spectral results on the lid-driven
cavity flow, Computers & Fluids 27 (1998) 421-433."""

FINEST = 128
NODE = 'ws "7"\\'
"""A node's name that JSON must escape."""

Runs = dict[tuple[int, int], dict[str, Any]]
"""Summaries, by Reynolds number and cells along a side."""


@pytest.fixture(scope="module")
def batch() -> LoadedBatch:
    return load(EXAMPLE / "distribute-jobs.yaml")


@pytest.fixture(scope="module")
def built(batch: LoadedBatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the batch's build leaves it, made only from the files that the batch names."""
    folder = tmp_path_factory.mktemp("cavity")
    (folder / "input").mkdir()
    for file in batch.spec.files:
        shutil.copy(batch.sources[file.sha256], folder / "input" / file.alias)
    assert isinstance(batch.spec.work, CommandWork)
    assert batch.spec.work.build is not None
    subprocess.run(["sh", "-c", batch.spec.work.build], cwd=folder, check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def runs(batch: LoadedBatch, built: Path) -> Runs:
    """Run the batch's jobs by their commands, except those of the finest grid."""
    assert isinstance(batch.spec.work, CommandWork)
    summaries: Runs = {}
    for job in batch.spec.work.jobs:
        if str(FINEST) in job.command:
            continue
        save = built / "results" / job.name
        save.mkdir(parents=True)
        environment = os.environ | {"DISTRIBUTE_SAVE": str(save), "DISTRIBUTE_NODE": NODE}
        subprocess.run(job.command, cwd=built, env=environment, check=True, timeout=120, stdout=PIPE)
        summary = json.loads((save / "summary.json").read_text())
        summaries[summary["re"], summary["n"]] = summary
    return summaries


def test_the_batch_is_a_sweep_of_a_dozen_jobs(batch: LoadedBatch, runs: Runs) -> None:
    assert len(batch.spec.work.jobs) == 12
    assert set(runs) == {(re, n) for re in (100, 400, 1000) for n in (48, 64, 96)}


@pytest.mark.parametrize("re", [400, 1000])
def test_deviation_from_the_table_shrinks_with_the_cells(runs: Runs, re: int) -> None:
    for measure in ("ghia_u_rms", "ghia_u_max", "ghia_v_rms", "ghia_v_max"):
        coarse, middle, fine = (runs[re, n][measure] for n in (48, 64, 96))
        assert coarse > 1.5 * middle > 2 * fine, measure
        assert fine < 0.03, measure


def test_flow_at_re_100_is_the_published_one_on_every_grid(runs: Runs) -> None:
    for n in (48, 64, 96):
        run = runs[100, n]
        assert max(run["ghia_u_max"], run["ghia_v_max"]) < 0.01
        assert run["vortex"]["x"] == pytest.approx(0.6172, abs=0.004)
        assert run["vortex"]["y"] == pytest.approx(0.7344, abs=0.007)


def test_error_falls_with_the_square_of_the_cells_width(runs: Runs) -> None:
    coarse, fine = (abs(runs[1000, n]["vortex"]["psi"] - PSI_OF_BOTELLA_AND_PEYRET) for n in (48, 96))
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.15)


def test_profiles_reach_from_wall_to_lid(runs: Runs, built: Path) -> None:
    profile_u = (built / "results" / "re0400-n064" / "profile_u.csv").read_text().splitlines()
    profile_v = (built / "results" / "re0400-n064" / "profile_v.csv").read_text().splitlines()
    assert profile_u[0] == "y,u"
    assert profile_v[0] == "x,v"
    assert len(profile_u) == len(profile_v) == 1 + 65
    assert profile_u[1] == profile_v[1] == "0.000000,0.00000000"
    assert profile_u[-1] == "1.000000,1.00000000"
    assert profile_v[-1] == "1.000000,0.00000000"


def test_the_summary_prints_a_row_for_each_job(runs: Runs, built: Path) -> None:
    table = subprocess.run(
        [sys.executable, EXAMPLE / "summarize.py", built / "results"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout.splitlines()
    rows = table[2 : 2 + len(runs)]
    assert [row.split()[0] for row in rows] == ["100"] * 3 + ["400"] * 3 + ["1000"] * 3
    assert all(row.endswith(f"  {NODE}") for row in rows)
    assert f"{runs[1000, 96]['ghia_u_max']:.4f}" in rows[-1]


def test_a_summary_without_results_fails(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE / "summarize.py", tmp_path], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "no summary.json" in done.stderr


def test_finest_grid_fits_into_the_memory_its_job_asks_for(
    batch: LoadedBatch, built: Path, tmp_path: Path
) -> None:
    job = next(job for job in batch.spec.work.jobs if job.name == f"re0100-n{FINEST}")
    assert job.resources is not None
    assert batch.spec.resources is not None
    # A process inherits the peak memory of the one that starts it, so a small one starts it here.
    spawn_and_print_peak = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    cavity = [
        built / "cavity",
        "--re",
        "100",
        "--n",
        str(FINEST),
        "--table",
        built / "input" / "ghia1982.csv",
    ]
    done = subprocess.run(
        [sys.executable, "-c", spawn_and_print_peak, *cavity],
        env=os.environ | {"DISTRIBUTE_SAVE": str(tmp_path)},
        check=True,
        stdout=PIPE,
        text=True,
        timeout=120,
    )
    assert batch.spec.resources.memory_bytes < int(done.stdout) * 1024 < job.resources.memory_bytes


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--re", "1000", "--n", "32"], 1, "no steady flow found at Re 1000 on 32 cells; take a finer grid"),
        (["--re", "0", "--n", "32"], 2, "--re takes a Reynolds number from 1 to 5000"),
        (["--re", "100", "--n", "33"], 2, "--n takes an even number of cells from 8 to 256"),
        (["--re"], 2, "--re needs a value"),
        (["--grid", "32"], 2, "unknown option --grid; there are --re, --n, --table and --save"),
        (
            ["--re", "100", "--n", "32", "--table", "none.csv"],
            1,
            "can't read the table none.csv: No such file",
        ),
        (["--re", "100", "--n", "32", "--save", "/nowhere"], 1, "can't write /nowhere/profile_u.csv"),
    ],
)
def test_solver_says_what_is_wrong(built: Path, arguments: list[str], status: int, message: str) -> None:
    arguments = ["--table", "input/ghia1982.csv", *arguments]
    done = subprocess.run(["./cavity", *arguments], cwd=built, capture_output=True, text=True, timeout=120)
    assert done.returncode == status
    assert message in done.stderr


def test_build_without_a_compiler_says_what_to_install(built: Path, tmp_path: Path) -> None:
    (tmp_path / "uname").symlink_to(Path(shutil.which("uname") or ""))
    done = subprocess.run(
        ["/bin/sh", "input/build.sh"],
        cwd=built,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "install gcc or clang" in done.stderr


ZIG = """
import os
from pathlib import Path

cache = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or os.environ["HOME"] + "/.cache/zig"
Path(cache).mkdir(parents=True)
Path("cavity").touch()
"""
"""A stand-in for ziglang (100 MB): it writes to the same places."""


def test_a_build_by_ziglang_needs_no_home_folder(tmp_path: Path) -> None:
    programs, packages, folder = tmp_path / "bin", tmp_path / "packages", tmp_path / "build"
    for new in (programs, packages / "ziglang", folder):
        new.mkdir(parents=True)
    (packages / "ziglang" / "__main__.py").write_text(ZIG)
    for name, program in (("python3", sys.executable), ("rm", shutil.which("rm") or "")):
        (programs / name).symlink_to(program)
    subprocess.run(
        ["/bin/sh", EXAMPLE / "build.sh"],
        cwd=folder,
        env={"PATH": str(programs), "PYTHONPATH": str(packages)},
        check=True,
        timeout=120,
    )
    assert [left.name for left in folder.iterdir()] == ["cavity"], "each job gets a copy of what is left"
