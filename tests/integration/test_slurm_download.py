"""What `rsync_download.sh` brings back: always what the cluster has now, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from distribute_cli.main import app
from slurm_kit import ENDS_WITHIN_S, WHERE, ScriptedFolder, remote_shell

COMMANDS = {
    "a": "echo ran; touch distribute_save/of-$DISTRIBUTE_ATTEMPT; exit $(cat {home}/code)",
    "silent": "true",
    "long": "echo half > distribute_save/half; head -c 100000 /dev/zero > scratch; kill -9 $PPID",
}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, ScriptedFolder]:
    """The folder here, and its copy at the cluster."""
    if shutil.which("setsid") is None or shutil.which("bash") is None:
        pytest.skip("the scripts need bash and setsid")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    jobs = [{"name": name, "command": text.format(home=tmp_path)} for name, text in COMMANDS.items()]
    batch = {"meta": {"namespace": "n", "batch_name": "b"}, "command": {"jobs": jobs}}
    (tmp_path / "b.yaml").write_text(json.dumps(batch))
    result = CliRunner().invoke(app, ["slurm", "out", "b.yaml", *WHERE, "sweep"])
    assert result.exit_code == 0, result.output
    for name, text in remote_shell(tmp_path).items():
        monkeypatch.setenv(name, text)
    subprocess.run(["sh", "out/rsync_upload.sh"], check=True, timeout=ENDS_WITHIN_S)
    there = ScriptedFolder(tmp_path / "cluster" / "sweep")
    (there.path / "state").mkdir()
    return tmp_path / "out", there


def download(out: Path) -> str:
    done = subprocess.run(
        ["sh", "rsync_download.sh"],
        cwd=out,
        capture_output=True,
        text=True,
        check=True,
        timeout=ENDS_WITHIN_S,
    )
    return done.stdout


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_of_a_job_that_ran_again_only_its_last_run_stays_with_the_results(
    folders: tuple[Path, ScriptedFolder], tmp_path: Path
) -> None:
    out, there = folders
    (tmp_path / "code").write_text("3")
    there.run(0, "7")
    for path in there.path.rglob("*"):
        os.utime(path, (0, 0))  # SLURM runs no job again within the same second, which rsync would not see
    assert download(out).startswith("1 of 3 jobs have ended by themselves; ")
    assert names(out / "results" / "b") == {"a/of-1", "a/stdout.txt"}
    (tmp_path / "code").write_text("0")
    there.run(0, "7", restarts=1)
    download(out)
    assert names(out / "results" / "b") == {"a/of-2", "a/stdout.txt"}
    assert json.loads((out / "state" / "0.json").read_text())["attempt"] == 2
    assert names(out / "earlier") == {"results/b/a/of-1", "results/b/a/stdout.txt", "state/0.json"}


def test_while_slurm_runs_a_job_again_its_earlier_end_is_not_told(
    folders: tuple[Path, ScriptedFolder], tmp_path: Path
) -> None:
    out, there = folders
    (tmp_path / "code").write_text("3")
    there.run(0, "7")
    download(out)
    (tmp_path / "code").unlink()
    os.mkfifo(tmp_path / "code")
    env = {**os.environ, "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
    with subprocess.Popen(["bash", "scripts/0.sbatch"], cwd=there.path, env=env) as script:
        try:
            with (tmp_path / "code").open("w") as code:  # it opens when the job reads
                download(out)
                code.write("0")
            assert script.wait(ENDS_WITHIN_S) == 0
        finally:
            script.kill()
    assert not (out / "state" / "0.json").exists()
    assert (out / "earlier" / "state" / "0.json").exists()


@pytest.mark.parametrize(
    "remove",
    [
        lambda there: shutil.rmtree(there / "results"),
        lambda there: shutil.rmtree(there / "results" / "b" / "a"),
        lambda there: shutil.rmtree(there / "state"),
    ],
)
def test_what_the_cluster_has_removed_stays_here(
    folders: tuple[Path, ScriptedFolder], tmp_path: Path, remove: Callable[[Path], None]
) -> None:
    out, there = folders
    (tmp_path / "code").write_text("0")
    there.run(0, "7")
    download(out)
    before = names(out)
    remove(there.path)
    download(out)
    assert names(out) == before


def test_of_a_job_that_slurm_ended_comes_what_it_left_and_printed(
    folders: tuple[Path, ScriptedFolder],
) -> None:
    """And not its inputs, nor the rest of its folder."""
    out, there = folders
    assert there.run(2, "9").returncode != 0
    download(out)
    assert names(out / "running") == {"2/stdout.txt", "2/job/distribute_save/half"}


def test_of_a_silent_job_that_left_nothing_there_is_no_file_as_on_a_cluster_of_ours(
    folders: tuple[Path, ScriptedFolder],
) -> None:
    out, there = folders
    there.run(1, "8")
    download(out)
    assert there.state(1)["left"] is False
    assert (out / "results" / "b" / "silent").is_dir()
    assert names(out / "results") == set()
