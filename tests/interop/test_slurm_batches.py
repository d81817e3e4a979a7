"""Whole batches on a real SLURM leave the same files, byte for byte, as on a cluster of ours."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptance.person import Person
from acceptance.run_kit import tree, with_one_node
from container_kit import busybox_image, need_apptainer
from slurm_kit import ENDS_WITHIN_S, WHERE, Slurm, ids_of, remote_shell

NASTY = "$(touch x); rm -rf ~"
TWO_LINES = "one\ntwo 'quoted' \"twice\" \\"

BUILD = """\
import os, pathlib
print("building")
pathlib.Path("made.txt").write_text(open("input/mesh").read() * 2)
pathlib.Path("input/mesh").unlink()
"""
JOB = """\
import os, pathlib, sys
save = pathlib.Path("distribute_save")
save.joinpath("cores").write_text(sys.argv[1] + os.environ["OMP_NUM_THREADS"] + os.environ["DISTRIBUTE_CPUS"])
save.joinpath("made").write_text(open("made.txt").read())
for name in ("mesh", "own"):
    if os.path.exists(f"input/{name}"):
        save.joinpath(f"found {name}").write_text(open(f"input/{name}").read())
save.joinpath("a b").mkdir()
save.joinpath("a b", "link").symlink_to(save.absolute() / "made")
save.joinpath("stdout.txt").write_text("mine")
save.joinpath("program").write_text("#!/bin/sh")
save.joinpath("program").chmod(0o750)
save.joinpath("env").write_text(os.environ["NAME"] + os.environ["DISTRIBUTE_JOB"])
print("job", os.environ["DISTRIBUTE_JOB"])
sys.exit(3 if "re2" in os.environ["DISTRIBUTE_JOB"] else 0)
"""


TABLE = """\
import os, pathlib
for path in sorted(pathlib.Path("input/results").rglob("*")):
    print(oct(path.lstat().st_mode), path, path.is_symlink() and os.readlink(path))
    if path.is_file():
        print(path.read_text())
print(sorted(os.listdir("initial_files")), open("made.txt").read())
"""


def python_batch(home: Path) -> dict[str, object]:
    files = {"build.py": BUILD, "job.py": JOB, "table.py": TABLE, "mesh": "mesh\n", "other mesh": "other\n"}
    for name, text in files.items():
        (home / name).write_text(text)
    own = {"path": "other mesh", "alias": "mesh"}
    return {
        "python": {
            "initialize": {"build_file": "build.py", "required_files": ["mesh"]},
            "env": {"NAME": "it's $HOME"},
            "jobs": [
                {"name": "re1", "file": "job.py"},
                {"name": "re2", "file": "job.py", "required_files": [own]},
                {"name": NASTY, "file": "job.py", "required_files": [{"path": "mesh", "alias": "own"}]},
            ],
        },
        "finally": {"name": "table", "file": "table.py"},
    }


def plain_python_batch(home: Path) -> dict[str, object]:
    """Without a build."""
    (home / "show.py").write_text("import sys; print(sys.argv); open('distribute_save/x', 'w').write('x')")
    jobs = [
        {"name": "args", "file": "show.py", "args": ["--re", 1.50, "a  b", NASTY, TWO_LINES, ""]},
        {"name": "none", "file": "show.py", "args": []},
        {"name": "cores", "file": "show.py"},
    ]
    return {"python": {"jobs": jobs}}


def command_batch(home: Path) -> dict[str, object]:
    (home / "in").write_text("in")
    return {
        "command": {
            "initialize": {"build": "cat input/in > made; echo built", "required_files": ["in"]},
            "jobs": [
                {
                    "name": "list",
                    "command": ["sh", "-c", "cp made distribute_save; echo $0 $1", "a  b", "$x"],
                },
                {"name": TWO_LINES, "command": "echo $DISTRIBUTE_JOB; seq 5 > distribute_save/n; exit 4"},
                {"name": NASTY, "command": "mkdir distribute_save/empty; cat made"},
                {"name": "prepared", "command": "echo $FROM_SETUP > distribute_save/setup"},
                {"name": "silent", "command": "true"},
                {"name": "fails silently", "command": "exit 7"},
            ],
        },
        "finally": {"command": "cd input/results && ls -R && cat */stdout.txt > ../../distribute_save/all"},
        "setup": ["export FROM_SETUP='set up'"],
    }


def apptainer_batch(home: Path) -> dict[str, object]:
    need_apptainer()
    script = (
        "    find /input -type f | sort | xargs -d '\\n' cat > /distribute_save/all; echo $1 $NAME; "
        "ls /scratch; echo x > /scratch/x"
    )
    (home / "in").write_text("in")
    return {
        "apptainer": {
            "initialize": {
                "sif": busybox_image(home, script).name,
                "required_files": ["in"],
                "required_mounts": ["/scratch"],
            },
            "env": {"NAME": "n a"},
            "jobs": [{"name": "one"}, {"name": NASTY, "required_files": [{"path": "in", "alias": "more"}]}],
        },
        "finally": {"name": "last"},
    }


def left_in(folder: Path) -> dict[str, Any]:
    """Everything in a folder, whichever node made its build's output."""
    return with_one_node(tree(folder))


def writes(home: Path, batch: dict[str, object]) -> None:
    meta: dict[str, object] = {
        "namespace": "jane",
        "batch_name": "b",
        "timeout": "10m",
        "resources": {"cpus": 1, "memory": "256M"},
    }
    meta |= {"setup": batch.pop("setup")} if "setup" in batch else {}
    (home / "distribute-jobs.yaml").write_text(yaml.safe_dump({"meta": meta, **batch}))


@pytest.mark.parametrize("kind", [python_batch, plain_python_batch, command_batch, apptainer_batch])
def test_a_batch_leaves_the_same_files_as_on_a_cluster_of_ours(
    kind: Callable[[Path], dict[str, object]], jane: Person, slurm: Slurm, remote: dict[str, str]
) -> None:
    """With names that a shell would obey, as single scripts and as an array; also once it is collected.

    `sbatch --test-only` takes every script.
    """
    writes(jane.home, kind(jane.home))
    outs = [jane.home / "scripts", jane.home / "array"]
    for out, shape in zip(outs, ((), ("--array",)), strict=True):
        jane.runs("slurm", out.name, *WHERE, f"~/{out.name}", *shape)
        slurm.run("sh", "rsync_upload.sh", cwd=out, env=remote)
        there = at_cluster(jane, out)
        for script in (there / "scripts").glob("*.sbatch"):
            slurm.run("sbatch", "--test-only", script, cwd=there)
        slurm.run("sh", "schedule_jobs.sh", cwd=there)
    jane.starts("add", "--wait").communicate(timeout=ENDS_WITHIN_S)
    expected = pulled(jane, "ours")
    assert len(expected) > 4
    for out in outs:
        there = at_cluster(jane, out)
        ids = ids_of(there)
        slurm.wait(*ids)
        assert left_in(there / "results" / "b") == expected
        assert not [path for path in (there / "running").iterdir() if path.name != "build"]
        slurm.account(there)
        slurm.run("sh", "rsync_download.sh", cwd=out, env=remote)
        assert left_in(out / "results" / "b") == expected
        records = [json.loads(path.read_text()) for path in (out / "state").glob("*.json")]
        assert {record["slurm_job_id"] for record in records} == ids
        jane.runs("slurm", "--collect", out.name, "--replace", "--yes")
        assert pulled(jane, f"collected {out.name}") == expected
        check_what_is_told(jane, len([job for job in records if job["exit_code"]]))


def at_cluster(jane: Person, out: Path) -> Path:
    """Where `remote` uploads a folder to."""
    return jane.home.parent / "cluster" / out.name


def pulled(jane: Person, folder: str) -> dict[str, Any]:
    """Everything that a pull of the batch brings. It says by its exit code that a job failed."""
    jane.starts("pull", "--save-dir", folder).communicate(timeout=ENDS_WITHIN_S)
    return left_in(jane.home / folder / "b")


def check_what_is_told(jane: Person, failed: int) -> None:
    """A batch that ran at SLURM says so, and what its jobs used there."""
    shown = jane.asks("status", "jane/b")
    assert (shown["ran_at"], shown["archived"]) == ("slurm", True)
    assert len([job for job in shown["job_list"] if job["state"] == "failed"]) == failed
    assert {job["node"] for job in shown["job_list"]} == {os.uname().nodename.split(".")[0]}


@pytest.fixture
def remote(tmp_path: Path) -> dict[str, str]:
    """Variables by which rsync reaches "the cluster", a folder here, as it would by ssh."""
    return remote_shell(tmp_path)


def test_the_scripts_upload_schedule_and_bring_the_results_back(
    tmp_path: Path, slurm: Slurm, remote: dict[str, str]
) -> None:
    with Person(tmp_path) as jane:
        jane.writes("b", {"one": "echo 1 > distribute_save/one", NASTY: "exit 2"})
        jane.runs("slurm", "out", "b.yaml", *WHERE, "~/my folder/$(touch x)")
        out, there = tmp_path / "out", tmp_path / "cluster" / "my folder" / "$(touch x)"
        uploaded = slurm.run("sh", "rsync_upload.sh", cwd=out, env=remote).stdout
        assert r"ssh jane@hpc 'cd '" in uploaded
        assert left_in(there) == left_in(out)
        slurm.run("sh", there / "schedule_jobs.sh", cwd=tmp_path)
        slurm.wait(*ids_of(there))
        slurm.run("sh", "rsync_upload.sh", cwd=out, env=remote)  # what ran there meanwhile stays
        slurm.account(there)
        slurm.run("sh", "rsync_download.sh", cwd=out, env=remote)
        assert (out / "results" / "b" / "one" / "one").read_text() == "1\n"
        assert (out / "accounting.txt").read_text().startswith("JobID|State|")
        assert json.loads((out / "state" / "1.json").read_text())["exit_code"] == 2


def written(home: Path, slurm_options: dict[str, str], **meta: object) -> Path:
    """The folder of a batch with a build and one job. Both note that they ran; the job waits for `go`."""
    with Person(home) as jane:
        (home / "b.yaml").write_text(
            yaml.safe_dump(
                {
                    "meta": {"namespace": "n", "batch_name": "b"} | meta,
                    "slurm": slurm_options,
                    "command": {
                        "initialize": {"build": f"echo built >> {home}/ran; exec cat {home}/builds"},
                        "jobs": [{"name": "a", "command": f"echo ran >> {home}/ran; exec cat {home}/go"}],
                    },
                }
            )
        )
        jane.runs("slurm", "out", "b.yaml", *WHERE, "x")
    (home / "builds").touch()
    return home / "out"


def test_what_was_scheduled_half_is_completed_and_nothing_runs_twice(tmp_path: Path, slurm: Slurm) -> None:
    """The first sbatch of a job fails; later its id was lost, as when the script is killed behind sbatch."""
    out = written(tmp_path, {})
    (tmp_path / "go").touch()
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "sbatch").write_text(
        '#!/bin/sh\ncase "$*" in *scripts/0.sbatch) echo no room >&2; exit 1 ;; esac\n'
        f'exec {shutil.which("sbatch")} "$@"\n'
    )
    (fake / "sbatch").chmod(0o755)
    half = slurm.run(
        "sh", "schedule_jobs.sh", cwd=out, check=False, env={"PATH": f"{fake}:{slurm.env['PATH']}"}
    )
    assert half.returncode == 1
    assert "no room\nschedule_jobs.sh: sbatch took no 0 (see above); run this again" in half.stderr
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    slurm.wait(*ids_of(out))
    (out / "state" / "0.id").unlink()
    assert (out / "state" / "0.json").exists()
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    slurm.wait(*ids_of(out))
    assert (tmp_path / "ran").read_text() == "built\nran\n"


def test_jobs_of_a_build_that_failed_never_run(tmp_path: Path, slurm: Slurm) -> None:
    out = written(tmp_path, {})
    (tmp_path / "builds").unlink()
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    slurm.wait(*ids_of(out))
    assert (tmp_path / "ran").read_text() == "built\n"
    assert json.loads((out / "state" / "build.json").read_text())["exit_code"] == 1
    assert slurm.show((out / "state" / "0.id").read_text().strip())["JobState"] == "CANCELLED"
    with Person(tmp_path) as jane:
        for _ in range(2):  # without SLURM's accounts of the jobs, and with them
            said = jane.runs("slurm", "--collect", "out", "--dry").stdout
            assert said == "n/b would be collected: 1 job: 1 failed\n"
            slurm.account(out)
    again = slurm.run("sh", "schedule_jobs.sh", cwd=out, check=False)
    assert "the build failed, and results/ has what it printed" in again.stderr
    (tmp_path / "builds").touch()
    (tmp_path / "go").touch()
    assert (
        "2 did not succeed, and are scheduled anew"
        in slurm.run("sh", "schedule_jobs.sh", "--again", cwd=out).stdout
    )
    slurm.wait(*ids_of(out))
    assert (tmp_path / "ran").read_text() == "built\nbuilt\nran\n"


def test_a_job_that_slurm_runs_again_begins_anew(tmp_path: Path, slurm: Slurm) -> None:
    out = written(tmp_path, {})
    os.mkfifo(tmp_path / "go")
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    job = (out / "state" / "0.id").read_text().strip()
    with (tmp_path / "go").open("w"):  # it opens when the job reads, which waits for us until its end
        slurm.run("scontrol", "requeue", job)
        (tmp_path / "go").unlink()
        (tmp_path / "go").touch()
        # SLURM has it wait for two minutes, unless it is told otherwise once it is pending again.
        slurm.run("sh", "-c", f"until scontrol show job {job} | grep -q JobState=PENDING; do sleep 0.1; done")
    slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")
    slurm.wait(job)
    record = json.loads((out / "state" / "0.json").read_text())
    assert (record["exit_code"], record["attempt"], record["slurm_job_id"]) == (0, 2, job)


def test_a_job_is_warned_and_ended_at_its_timeout_with_its_results(tmp_path: Path, slurm: Slurm) -> None:
    os.mkfifo(tmp_path / "ready")
    trap = (
        "trap 'echo warned > distribute_save/w' USR1; "
        f"echo yes > {tmp_path}/ready; while :; do sleep 0.1; done"
    )
    with Person(tmp_path) as jane:
        timing = {"timeout": "100s", "grace": "1s", "signal_before": {"signal": "USR1", "seconds": 97}}
        jane.writes("b", {"a": trap, "b": "echo x > distribute_save/x; sleep 1000"}, **timing)
        jane.runs("slurm", "out", "b.yaml", *WHERE, "x")
    out = tmp_path / "out"
    script = (out / "scripts" / "0.sbatch").read_text()
    assert "#SBATCH --time=00:03:00\n" in script
    assert "#SBATCH --signal=B:USR1@177\n" in script
    for part in ("0.sh", "1.sh"):  # so that the test takes no minutes
        path = out / "scripts" / part
        path.write_text(path.read_text().replace("timeout=100.000", "timeout=20.000"))
    for part in ("0.sbatch", "1.sbatch"):  # SLURM would warn when it next looks, some time in half a minute
        path = out / "scripts" / part
        path.write_text(path.read_text().replace("#SBATCH --signal=B:USR1@177\n", ""))
    slurm.run("sh", "schedule_jobs.sh", cwd=out)
    slurm.run("cat", tmp_path / "ready")
    # As SLURM sends it, in due time.
    slurm.run("scancel", "--signal=USR1", "--batch", (out / "state" / "0.id").read_text().strip())
    slurm.wait(*ids_of(out))
    records = [json.loads((out / "state" / f"{number}.json").read_text()) for number in (0, 1)]
    assert [record["signal"] for record in records] == [15, 15]
    assert [record["reason"] for record in records] == ["its timeout", "its timeout"]
    assert (out / "results" / "b" / "a" / "w").read_text() == "warned\n"
    assert (out / "results" / "b" / "b" / "x").read_text() == "x\n"


def test_options_of_the_file_reach_slurm_whatever_their_characters(tmp_path: Path, slurm: Slurm) -> None:
    comment = "a 'b' \"c\" \\ # $(touch y); é %j"
    out = written(tmp_path, {"comment": comment, "time": "7", "mail_type": "END,FAIL"})
    job = slurm.sbatch("--hold", "scripts/0.sbatch", cwd=out)
    shown = slurm.run("scontrol", "show", "job", job).stdout
    assert f"Comment={comment}" in shown
    assert "TimeLimit=00:07:00" in shown
    slurm.run("scancel", job)
