"""`distribute slurm` writes a whole folder or none, and explains what is wrong."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from distribute.client.collect.slurm_inputs import inputs_in
from distribute.config.loading import load
from distribute.core.errors import InputError
from distribute.core.spec.specs import BatchSpec
from distribute.inputs.sources import as_source, read_source
from distribute_cli.main import app

WHERE = ("--cluster-username", "jane", "--cluster-address", "hpc", "--cluster-upload-destination", "sweep")
META = "meta: {namespace: n, batch_name: b}\n"
THREE = "command:\n  jobs:\n" + "".join(f"    - {{name: j{number}, command: [x]}}\n" for number in range(3))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "distribute-jobs.yaml").write_text(META + THREE)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["slurm", *arguments])


def problem(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, InputError)
    return str(result.exception)


def settings(text: str) -> None:
    Path("config/distribute").mkdir(parents=True)
    Path("config/distribute/client.yaml").write_text(text)


def test_the_folder_holds_the_batch_its_scripts_and_each_file_once(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / name).write_text("the same")
    (folder / "run.yaml").write_text(
        f"{META}command:\n  initialize: {{build: make, required_files: [one]}}\n"
        "  jobs: [{name: a, command: [x], required_files: [two]}]\n"
    )
    assert run("out", "run.yaml", *WHERE).exit_code == 0
    out = folder / "out"
    assert len(list((out / "files").iterdir())) == 1
    assert {path.name for path in out.iterdir()} == {
        *("batch.json", "files", "scripts"),
        *("rsync_upload.sh", "rsync_download.sh", "schedule_jobs.sh"),
    }
    assert (out / "schedule_jobs.sh").stat().st_mode & stat.S_IXUSR
    written = json.loads((out / "batch.json").read_text())
    spec = BatchSpec.model_validate(written["spec"])
    assert (spec.id, written["v"], written["array"], len(written["id"])) == (("n", "b"), 1, False, 32)


def test_two_folders_of_a_batch_are_told_apart(folder: Path) -> None:
    assert run("one", *WHERE).exit_code == run("two", *WHERE).exit_code == 0
    ids = {json.loads((folder / name / "batch.json").read_text())["id"] for name in ("one", "two")}
    assert len(ids) == 2


def test_a_folder_that_is_not_empty_is_refused_and_kept(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "mine").write_text("mine")
    assert (
        problem("out", *WHERE) == "out is not empty; name a new or an empty folder, or remove what is there"
    )
    assert [path.name for path in (folder / "out").iterdir()] == ["mine"]
    assert "is not a folder" in problem("distribute-jobs.yaml", *WHERE)


def test_an_empty_folder_is_taken(folder: Path) -> None:
    (folder / "out").mkdir()
    assert run("out", *WHERE).exit_code == 0
    assert (folder / "out" / "batch.json").exists()


def test_a_disk_that_refuses_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import distribute_cli.local.slurm_folder as module

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (folder / "in").write_text("x")
    (folder / "run.yaml").write_text(
        f"{META}command: {{jobs: [{{name: a, command: [x], required_files: [in]}}]}}"
    )
    monkeypatch.setattr(module, "write_source", full)
    assert "out can't be written: the disk is full" in str(run("out", "run.yaml", *WHERE).exception)
    assert not (folder / "out").exists()


def test_a_folder_that_can_not_be_made_is_named_once(folder: Path) -> None:
    (folder / "file").touch()
    said = str(run("file/out", *WHERE).exception)
    assert said == "file/out can't be written: a part of its path is not a folder"


def test_where_to_upload_to_must_be_said_here_or_in_the_settings(folder: Path) -> None:
    assert "add --cluster-username, --cluster-address, --cluster-upload-destination" in problem("out")
    settings("slurm: {username: jane, address: hpc}\n")
    assert "add --cluster-upload-destination, for example" in problem("out")
    assert run("out", "--cluster-upload-destination", "/scratch/b").exit_code == 0
    upload = (folder / "out" / "rsync_upload.sh").read_text()
    assert "login=jane@hpc\nfolder=/scratch/b\n" in upload


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a b", "a:b", "a@b", "a\nb", "a/b"])
def test_a_login_that_ssh_would_misread_is_refused(name: str) -> None:
    for place in (1, 3):
        where = list(WHERE)
        where[place] = name
        assert "can't be used; write a name as ssh knows it" in problem("out", *where)


@pytest.mark.parametrize(
    ("written", "folder_there"),
    [("~/a b", "'a b'"), ("/x/", "/x"), ("-x", "./-x"), ("$(id)", "'$(id)'"), ("~", "."), ("~//x", "x")],
)
def test_the_destination_is_a_folder_whatever_its_name(written: str, folder_there: str, folder: Path) -> None:
    assert run("out", *WHERE[:-1], written).exit_code == 0
    assert f"\nfolder={folder_there}\n" in (folder / "out" / "rsync_upload.sh").read_text()


@pytest.mark.parametrize("written", ["~bob/x", "~bob", "$SCRATCH/x", "/scratch/${USER}/x"])
def test_a_destination_that_no_shell_reads_is_refused_with_what_to_write(written: str) -> None:
    said = problem("out", *WHERE[:-1], written)
    assert f"'{written}' is used as it is written: variables and ~USER are not replaced" in said
    assert "write the whole path at the cluster, such as /scratch/jane/sweep3" in said


def test_an_address_with_a_username_is_refused_with_the_option_for_that() -> None:
    said = problem("out", *WHERE[:3], "jane@hpc", *WHERE[4:])
    assert said.endswith(", and what is before the @ as --cluster-username")


def test_every_job_with_an_option_that_slurm_cannot_take_is_named(folder: Path) -> None:
    (folder / "run.yaml").write_text(
        META + "command:\n  jobs:\n"
        "    - {name: a, command: [x], slurm: {time: 2h}}\n"
        "    - {name: b, command: [x], slurm: {array: 1-3}}\n"
        "    - {name: c, command: [x], timeout: 30000d}\n"
        "    - {name: d, command: [x]}\n"
    )
    lines = problem("out", "run.yaml", *WHERE).splitlines()
    assert [line.split(":")[0] for line in lines] == ["job 'a'", "job 'b'", "job 'c'"]
    assert not (folder / "out").exists()


def test_an_array_is_split_at_the_limit_of_the_cluster(folder: Path) -> None:
    settings("slurm: {max_array_size: 2}\n")
    assert run("out", "--array", *WHERE).exit_code == 0
    scripts = folder / "out" / "scripts"
    assert "#SBATCH --array=0-1\n" in (scripts / "array-0.sbatch").read_text()
    assert "#SBATCH --array=0-0\n" in (scripts / "array-1.sbatch").read_text()
    assert (scripts / "array-1.txt").read_text() == "2\n"


def test_jobs_of_other_options_are_another_array(folder: Path) -> None:
    (folder / "run.yaml").write_text(
        META + "command:\n  jobs:\n"
        "    - {name: a, command: [x]}\n"
        "    - {name: b, command: [x], slurm: {qos: high}}\n"
        "    - {name: c, command: [x]}\n"
    )
    assert run("out", "run.yaml", "--array", *WHERE).exit_code == 0
    scripts = folder / "out" / "scripts"
    assert [(scripts / f"array-{number}.txt").read_text() for number in (0, 1)] == ["0\n2\n", "1\n"]
    assert "#SBATCH --qos=high\n" in (scripts / "array-1.sbatch").read_text()


def test_the_settings_name_the_container_command_and_the_lines_before_a_job(folder: Path) -> None:
    (folder / "a.sif").write_text("image")
    (folder / "run.yaml").write_text(
        f"{META}apptainer: {{initialize: {{sif: a.sif}}, jobs: [{{name: a}}], env: {{A: b}}}}"
    )
    settings("slurm: {container: srun singularity, setup: [module load singularity]}\n")
    assert run("out", "run.yaml", *WHERE).exit_code == 0
    part = (folder / "out" / "scripts" / "0.sh").read_text()
    assert "command=(srun singularity run --pid --contain" in part
    assert "prepare 'module load singularity'\n" in part
    assert "    SINGULARITYENV_A=b\n" in part
    assert "APPTAINER" not in part
    assert (folder / "out" / "scripts" / "0.sbatch").read_text().startswith("#!/bin/bash -l\n")


def test_the_jobs_of_a_sweep_come_behind_the_listed_ones_with_their_own_options(folder: Path) -> None:
    (folder / "case.in.j2").write_text("re = {{ re }}\n")
    (folder / "distribute-jobs.yaml").write_text(
        META + 'sweep: {grid: {re: [100, 400]}, name: "re{re}"}\n'
        "command:\n"
        "  jobs: [{name: plain, command: [x], slurm: {partition: short}}]\n"
        "  job: {command: 'solve {re}', slurm: {partition: long}, required_files: [{template: case.in.j2}]}\n"
        'slurm: {time: "00:10:00"}\n'
    )
    assert run("out", *WHERE).exit_code == 0
    scripts = [Path(f"out/scripts/{number}.sbatch").read_text() for number in range(3)]
    for script, name, partition in zip(
        scripts, ("plain", "re100", "re400"), ("short", "long", "long"), strict=True
    ):
        assert f"--job-name={name}\n" in script
        assert f"--partition={partition}\n" in script
    assert "solve 400" in Path("out/scripts/2.sh").read_text()
    assert {path.read_text() for path in Path("out/files").iterdir()} == {"re = 100\n", "re = 400\n"}
    assert len(Path("out/scripts/files.txt").read_text().splitlines()) == 2


def test_each_job_of_a_sweep_has_the_options_of_its_own_needs(folder: Path) -> None:
    (folder / "distribute-jobs.yaml").write_text(
        META + 'sweep: {zip: {n: [1, 4], hours: [2, 30]}, name: "n{n}"}\n'
        "command:\n"
        "  job:\n"
        "    command: solve\n"
        '    resources: {cpus: "{n}", memory: "{n}G", gpus: "{n}"}\n'
        '    timeout: "{hours}h"\n'
        '    slurm: {nodes: "{n}", licenses: "solver:{n}"}\n'
    )
    assert run("out", *WHERE).exit_code == 0
    for number, (n, time) in enumerate([(1, "02:02:00"), (4, "1-06:02:00")]):
        script = Path(f"out/scripts/{number}.sbatch").read_text()
        for option in (
            f"cpus-per-task={n}",
            f"mem={1024 * n}M",
            f"gres=gpu:{n}",
            f"time={time}",
            f"nodes={n}",
            f"licenses=solver:{n}",
        ):
            assert f"--{option}\n" in script


def test_files_that_share_an_object_are_collected_as_that_object(folder: Path) -> None:
    (folder / "case.in.j2").write_text("re = {{ re }}\n")
    (folder / "distribute-jobs.yaml").write_text(
        META + 'sweep: {grid: {re: [100, 400]}, name: "re{re}"}\n'
        "command: {job: {command: x, required_files: [{template: case.in.j2}]}}\n"
    )
    assert run("out", *WHERE).exit_code == 0
    spec = load(folder / "distribute-jobs.yaml").spec
    (pack,) = {file.stored for job in spec.work.jobs for file in job.files}
    (found,) = inputs_in(Path("out"), spec).sources.items()
    assert (found[0], read_source(as_source(found[1]), pack.sha256)) == (pack.sha256, b"re = 100\nre = 400\n")
    file = spec.work.jobs[0].files[0]
    Path("out/files", file.sha256).unlink()
    assert inputs_in(Path("out"), spec) == ({}, ["case.in"])


def test_the_last_job_has_options_of_its_own_and_is_in_no_array(folder: Path) -> None:
    (folder / "distribute-jobs.yaml").write_text(
        META + 'sweep: {grid: {re: [100, 400]}, name: "re{re}"}\n'
        "command: {job: {command: 'solve {re}', slurm: {partition: long}}}\n"
        "finally: {name: plot, command: y, resources: {cpus: 1}, slurm: {partition: short, qso: high}}\n"
    )
    said = run("out", "--array", *WHERE)
    assert "slurm: 'qso' is passed on to sbatch as it is; did you mean 'qos'?" in said.output
    scripts = Path("out/scripts")
    last, others = ((scripts / f"{name}.sbatch").read_text() for name in ("2", "array-0"))
    assert "#SBATCH --partition=short\n" in last
    assert "#SBATCH --job-name=plot\n" in last
    assert "--array" not in last
    assert "#SBATCH --partition=long\n" in others
    assert "#SBATCH --array=0-1\n" in others
    assert "put_results b\n" in (scripts / "2.sh").read_text()
    assert not (scripts / "1.sbatch").exists()


def test_a_dependency_of_the_last_job_is_refused(folder: Path) -> None:
    (folder / "run.yaml").write_text(
        f"{META}slurm: {{dependency: 'afterok:7'}}\ncommand: {{jobs: [{{name: a, command: x}}]}}\n"
        "finally: {command: y}\n"
    )
    said = problem("out", "run.yaml", *WHERE)
    assert said.startswith("job 'finally': slurm: dependency can't be chosen, because this job waits for all")


def test_a_last_job_waits_for_no_more_jobs_than_sbatch_can_be_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distribute.sbatch.folder as module

    (folder / "run.yaml").write_text(
        META + "command: {jobs: [{name: a, command: x}, {name: b, command: x}]}\nfinally: {command: y}\n"
    )
    monkeypatch.setattr(module, "MAX_WAITED_FOR", 1)
    assert "finally: 'finally' can wait for 1 jobs at most" in problem("out", "run.yaml", *WHERE)
    assert run("out", "run.yaml", "--array", *WHERE).exit_code == 0


@pytest.mark.parametrize(
    "required",
    [
        "tables/**/*.csv",
        "tables/*",
        "tables/**",
        "{path: 'tables/**/*.csv', alias: t}",
        "{path: tables/**, exclude: ['2019/']}",
        "{path: tables, alias: t, exclude: ['*.csv']}",
        "tables/2019/x.csv",
        "'tables/*/*.csv', 'tables/20*/notes', tables/2021/.hidden",
        "'tables/**/z.csv', {path: 'tables/*', exclude: ['2019/deep/']}",
        "{path: 'tables/*/*.csv', alias: t}, {path: 'tables/*/deep', alias: t}",
    ],
)
def test_every_input_is_collected_as_it_was_sent(required: str, folder: Path) -> None:
    for name in ("2019/x.csv", "2019/deep/y.csv", "2020/z.csv", "2020/notes", "2021/.hidden/h.csv"):
        (folder / "tables" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tables" / name).write_text(name)
    (folder / "tables" / "2019" / "link").symlink_to("x.csv")
    (folder / "tables" / "2020").chmod(0o750)
    (folder / "distribute-jobs.yaml").write_text(
        f"{META}command: {{jobs: [{{name: a, command: x, required_files: [{required}]}}]}}\n"
    )
    assert run("out", *WHERE).exit_code == 0
    loaded = load(folder / "distribute-jobs.yaml")
    sources, missing = inputs_in(Path("out"), loaded.spec)
    assert (missing, sources.keys()) == ([], loaded.sources.keys())
    for sha256, source in sources.items():
        read_source(as_source(source), sha256)


def test_an_input_that_is_not_as_it_was_written_is_named(folder: Path) -> None:
    (folder / "d" / "e").mkdir(parents=True)
    (folder / "d" / "e" / "f.dat").write_text("f")
    (folder / "distribute-jobs.yaml").write_text(
        f"{META}command: {{jobs: [{{name: a, command: x, required_files: ['d/*/*.dat', d]}}]}}\n"
    )
    assert run("out", *WHERE).exit_code == 0
    for path in Path("out/files").rglob("f.dat"):
        path.write_text("another")
    spec = load(folder / "distribute-jobs.yaml").spec
    assert inputs_in(Path("out"), spec) == ({}, ["d/*/*.dat", "d"])
    Path("out/state").mkdir()
    Path("out/state/0.id").write_text("7")
    said = run("--collect", "out", "--missing-as-failed", "--dry")
    assert "out: these inputs are not there, or were changed: d/*/*.dat, d; the archive gets" in said.output
