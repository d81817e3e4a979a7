"""What a script of `distribute slurm OUTDIR` does when SLURM runs it once more, after its job has ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from distribute_cli.main import app
from slurm_kit import ENDS_WITHIN_S, WHERE, ScriptedFolder


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a batch with one job. It counts its runs, and ends with the code in the file `code`."""
    if shutil.which("setsid") is None or shutil.which("bash") is None:
        pytest.skip("the scripts need bash and setsid")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    command = (
        f"echo ran >> {tmp_path}/runs; touch distribute_save/of-$DISTRIBUTE_ATTEMPT; "
        f"exit $(cat {tmp_path}/code)"
    )
    batch = {
        "meta": {"namespace": "n", "batch_name": "b"},
        "command": {"jobs": [{"name": "a", "command": command}]},
    }
    (tmp_path / "b.yaml").write_text(json.dumps(batch))
    result = CliRunner().invoke(app, ["slurm", "out", "b.yaml", *WHERE, "sweep"])
    assert result.exit_code == 0, result.output
    (tmp_path / "out" / "state").mkdir()
    (tmp_path / "code").write_text("3")
    return tmp_path / "out"


def run(out: Path, slurm_id: str, restarts: int, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the job's script as SLURM would."""
    return ScriptedFolder(out).run(0, slurm_id, restarts, **variables)


def runs(out: Path) -> int:
    return len((out.parent / "runs").read_text().splitlines())


def left(out: Path) -> set[str]:
    return {path.name for path in (out / "results" / "b" / "a").iterdir()}


def test_a_job_that_failed_begins_anew_when_slurm_requeues_it(out: Path) -> None:
    assert run(out, "7", 0).returncode == 3
    (out.parent / "code").write_text("0")
    assert run(out, "7", 1).returncode == 0
    record = json.loads((out / "state" / "0.json").read_text())
    assert (record["exit_code"], record["attempt"], runs(out)) == (0, 2, 2)
    assert left(out) == {"of-2", "stdout.txt"}


def test_of_a_try_that_slurm_ends_no_earlier_end_or_result_is_told(out: Path) -> None:
    run(out, "7", 0)
    assert left(out) == {"of-1", "stdout.txt"}
    (out.parent / "code").unlink()
    os.mkfifo(out.parent / "code")
    env = {**os.environ, "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
    with subprocess.Popen(["bash", "scripts/0.sbatch"], cwd=out, env=env) as script:
        try:
            with (out.parent / "code").open("w"):  # it opens when the job reads, which then waits for us
                script.terminate()
            assert script.wait(ENDS_WITHIN_S) == 143
        finally:
            script.kill()
    assert not (out / "state" / "0.json").exists()
    assert not (out / "results" / "b" / "a").exists()
    assert (out / "running" / "0" / "job" / "distribute_save" / "of-2").exists()


@pytest.mark.parametrize("is_requeued", [True, False])
def test_of_a_try_that_cannot_begin_no_earlier_result_is_told(out: Path, is_requeued: bool) -> None:
    """Whether SLURM runs it again, or a person who removed what tells of the first try."""
    run(out, "7", 0)
    assert left(out) == {"of-1", "stdout.txt"}
    (out / "scripts" / "inputs-0.sh").write_text("put 0123 input/mesh 644 ''\n")
    if not is_requeued:
        for name in ("0.json", "0.id"):
            (out / "state" / name).unlink()
    assert run(out, "7" if is_requeued else "8", int(is_requeued)).returncode == 1
    record = json.loads((out / "state" / "0.json").read_text())
    assert (record["reason"], runs(out)) == ("an input file could not be copied", 1)
    assert not (out / "results" / "b" / "a").exists()


def test_a_job_that_succeeded_does_not_run_again(out: Path) -> None:
    (out.parent / "code").write_text("0")
    run(out, "7", 0)
    again = run(out, "7", 1)
    assert (again.returncode, runs(out), left(out)) == (0, 1, {"of-1", "stdout.txt"})
    assert again.stderr == "distribute: 0 has succeeded already: see state/0.json\n"


def test_an_empty_log_of_slurm_is_removed_and_any_other_stays(out: Path) -> None:
    log = out / "state" / "slurm-7.log"
    log.touch()
    run(out, "7", 0)
    assert not log.exists()
    log.write_text("slurmstepd: something happened\n")
    run(out, "7", 1)
    assert log.exists()


def test_another_job_of_slurm_runs_nothing_that_has_failed_and_says_how_to(out: Path) -> None:
    run(out, "7", 0)
    again = run(out, "8", 0)
    assert (again.returncode, runs(out)) == (0, 1)
    assert "or run 'sh schedule_jobs.sh --again'" in again.stderr
    (out / "state" / "0.json").unlink()
    (out / "state" / "0.id").unlink()
    assert (run(out, "8", 0).returncode, runs(out)) == (3, 2)


def test_of_a_batch_that_was_not_scheduled_slurm_is_asked_nothing(out: Path) -> None:
    """Without ids, `sacct` would tell of other jobs, or fail."""
    (out.parent / "bin").mkdir()
    sacct = out.parent / "bin" / "sacct"
    sacct.write_text('#!/bin/sh\necho "$@"\n')
    sacct.chmod(0o755)

    def accounting() -> str:
        env = {**os.environ, "PATH": f"{sacct.parent}:{os.environ['PATH']}"}
        subprocess.run(
            ["sh", "schedule_jobs.sh", "--accounting"], cwd=out, env=env, check=True, timeout=ENDS_WITHIN_S
        )
        return (out / "accounting.txt").read_text()

    assert accounting() == ""
    (out / "state" / "0.id").write_text("7_0\n")
    assert "--jobs=7 " in accounting()


def test_a_script_of_python_gets_its_arguments_as_they_are(out: Path) -> None:
    args = ["--re", "1.10", "a  b", "$(touch x); rm -rf ~", "one\ntwo 'quoted' \"twice\" \\", ""]
    (out.parent / "show.py").write_text("import json, sys; print(json.dumps(sys.argv[1:]))")
    jobs = [{"name": "a", "file": "show.py", "args": args}]
    batch = {"meta": {"namespace": "n", "batch_name": "b"}, "python": {"jobs": jobs}}
    (out.parent / "p.yaml").write_text(json.dumps(batch))
    result = CliRunner().invoke(app, ["slurm", "python", "p.yaml", *WHERE, "sweep"])
    assert result.exit_code == 0, result.output
    (out.parent / "python" / "state").mkdir()
    assert run(out.parent / "python", "7", 0).returncode == 0
    printed = out.parent / "python" / "results" / "b" / "a" / "stdout.txt"
    assert json.loads(printed.read_text()) == args


def test_a_job_gets_its_folders_and_finds_the_modules_in_them(out: Path) -> None:
    for folder in ("case/d", "package"):
        (out.parent / folder).mkdir(parents=True)
    (out.parent / "case" / "d" / "f").write_text("f")
    (out.parent / "case" / "l").symlink_to("d/f")
    (out.parent / "case" / "d").chmod(0o750)
    (out.parent / "package" / "__init__.py").write_text("answer = 42")
    (out.parent / "job.py").write_text(
        "import os, package, stat\n"
        "print(package.answer, open('input/case/l').read(), os.readlink('input/case/l'))\n"
        "print(*sorted(os.listdir('input')))\n"
        "print(oct(os.stat('input/case/d').st_mode & 0o777), open('initial_files/case/l').read())\n"
        "print(os.environ['PYTHONPATH'].split(':')[:-1])"
    )
    batch = {
        "meta": {"namespace": "n", "batch_name": "b"},
        "python": {
            "initialize": {"required_files": ["case", "package"]},
            "jobs": [{"name": "a", "file": "job.py", "required_files": ["case/*"]}],
        },
    }
    (out.parent / "p.yaml").write_text(json.dumps(batch))
    result = CliRunner().invoke(app, ["slurm", "folders", "p.yaml", *WHERE, "sweep"])
    assert result.exit_code == 0, result.output
    written = out.parent / "folders"
    trees = [path for path in (written / "files").iterdir() if path.is_dir()]
    assert len(trees) == 3
    (written / "state").mkdir()
    assert run(written, "7", 0, PYTHONPATH="/of/the/cluster").returncode == 0
    assert (written / "results" / "b" / "a" / "stdout.txt").read_text().splitlines() == [
        "42 f d/f",
        "case d l package",
        "0o750 f",
        "['/of/the/cluster']",
    ]
