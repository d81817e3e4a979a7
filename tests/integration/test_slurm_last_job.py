"""What the script of the job that runs last finds of the others, when SLURM runs it."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from distribute_cli.main import app
from slurm_kit import WHERE, ScriptedFolder

NASTY = "$(touch x); rm -rf ~\n"
ENDED_BY_SLURM = (
    "cd distribute_save; echo half; echo 1 > stdout.txt; echo 2 > u.dat; mkfifo pipe; ln -s $PWD/u.dat link; "
    "kill -KILL $PPID"
)


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedFolder:
    """A folder whose jobs ran, all but the last, which lists what it finds."""
    if shutil.which("setsid") is None or shutil.which("bash") is None:
        pytest.skip("the scripts need bash and setsid")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    jobs = {
        "fails": "echo no room; echo x > distribute_save/x; exit 3",
        NASTY: ENDED_BY_SLURM,
        "silent": "true",
        "ended at once": f"kill -{signal.SIGKILL} $PPID",
    }
    batch = {
        "meta": {"namespace": "n", "batch_name": "b"},
        "command": {"jobs": [{"name": name, "command": command} for name, command in jobs.items()]},
        "finally": {
            "name": "last",
            "command": f"cp -a input/results distribute_save/found; touch {tmp_path}/ran",
        },
    }
    (tmp_path / "b.yaml").write_text(json.dumps(batch))
    result = CliRunner().invoke(app, ["slurm", "out", "b.yaml", *WHERE, "sweep"])
    assert result.exit_code == 0, result.output
    folder = ScriptedFolder(tmp_path / "out")
    (folder.path / "state").mkdir()
    for number in range(len(jobs)):
        folder.run(number, str(number))
    return folder


def found(ran: ScriptedFolder) -> dict[str, str]:
    """The files that the last job found, by path."""
    folder = ran.path / "results" / "b" / "last" / "found"
    files = {path for path in folder.rglob("*") if not path.is_dir() or not any(path.iterdir())}
    return {str(path.relative_to(folder)): "" if path.is_dir() else path.read_text() for path in files}


def test_it_finds_what_all_others_left_also_those_that_slurm_ended(ran: ScriptedFolder) -> None:
    assert not (ran.path / "state" / "1.json").exists(), "SLURM ended it"
    assert ran.run(4, "4").returncode == 0
    assert found(ran) == {
        "fails/stdout.txt": "no room\n",
        "fails/x": "x\n",
        f"{NASTY}/stdout.txt": "half\n",
        f"{NASTY}/distribute_save/stdout.txt": "1\n",
        f"{NASTY}/u.dat": "2\n",
        f"{NASTY}/link": "2\n",
        "silent": "",
        "ended at once": "",
    }
    link = ran.path / "results" / "b" / "last" / "found" / NASTY / "link"
    assert str(link.readlink()) == "u.dat"
    assert ran.state(4)["left"]


def test_it_finds_no_earlier_results_of_its_own(ran: ScriptedFolder) -> None:
    ran.run(4, "4")
    (ran.path / "state" / "4.json").unlink()
    ran.run(4, "4", restarts=1)
    assert "last" not in {Path(path).parts[0] for path in found(ran)}


def test_a_run_of_it_that_was_taken_back_says_nothing_of_its_end(ran: ScriptedFolder) -> None:
    """As when `schedule_jobs.sh --again` comes while it ends: its next run would not begin."""
    script = ran.path / "scripts" / "4.sh"
    script.write_text(script.read_text() + f"rm {ran.path}/state/4.id\n")
    ran.run(4, "4")
    assert not (ran.path / "state" / "4.json").exists()
    assert (ran.path.parent / "ran").exists()


def test_a_run_of_it_that_was_taken_back_before_it_began_does_nothing(ran: ScriptedFolder) -> None:
    """It would pass for the one that is to be scheduled."""
    (ran.path / "state" / "4.before").write_text("4\n")
    late = ran.run(4, "4")
    assert late.returncode == 0
    assert late.stderr == "distribute: 4 is scheduled anew: there is nothing to do for 4\n"
    assert not (ran.path / "state" / "4.id").exists()
    assert ran.run(4, "5").returncode == 0
    assert ran.state(4)["slurm_job_id"] == "5"


def test_results_that_cannot_be_copied_fail_it(ran: ScriptedFolder) -> None:
    for path in (ran.path / "results" / "b").iterdir():
        shutil.rmtree(path)
    (ran.path / "results" / "b").rmdir()
    (ran.path / "results" / "b").touch()
    assert ran.run(4, "4").returncode == 1
    assert ran.state(4)["reason"] == "the results of the other jobs could not be copied"
