"""The functions of the first `distribute`'s Python package: what they write, and what they refuse when."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import distribute
import distribute_compute_config
from distribute.api.keys import JobKeys, MetaKeys, SlurmKeys
from distribute.config.loading import load
from distribute.config.sections.jobs_file import ApptainerJob, CommandJob, Meta, PythonJob
from distribute.config.sections.slurm_section import Slurm

SCRIPT = Path(__file__).with_name("users_script.py")
FILES = ["solver.sif", "cases/mesh.h5", "here.dat", "cases/re100.json", "cases/re400.json"]
api: Any = distribute
"""The same, for calls that mypy would refuse."""

NO_SLURM = dict.fromkeys(Slurm.model_fields)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def written(config: Any, path: str = "distribute-jobs.yaml") -> Any:
    distribute.write_config_to_file(config, path)
    return yaml.safe_load(Path(path).read_text())


def test_a_script_for_the_original_writes_what_the_original_wrote(folder: Path) -> None:
    """Every key is there, also one without a value: programs that read the file may look for it."""
    runpy.run_path(str(SCRIPT))

    def job(number: int, slurm: Any) -> dict[str, Any]:
        case = {"path": f"cases/re{number}.json", "alias": "case.json"}
        return {"name": f"re{number}", "required_files": [case], "slurm": slurm}

    assert yaml.safe_load(Path("distribute-jobs.yaml").read_text()) == {
        "meta": {
            "batch_name": "cavity",
            "namespace": "lab",
            "matrix": "@jane:example.org",
            "capabilities": ["apptainer", "gpu"],  # in order, as there
        },
        "apptainer": {
            "initialize": {
                "sif": {"path": "solver.sif", "alias": None},
                "required_files": [
                    {"path": "cases/mesh.h5", "alias": "initial.h5"},
                    {"path": f"{folder}/here.dat", "alias": None},
                ],
                "required_mounts": ["/solver/scratch"],
            },
            "jobs": [job(100, None), job(400, NO_SLURM | {"time": "02:00:00"})],
        },
        "slurm": NO_SLURM
        | {"output": "out.txt", "nodes": 1, "ntasks": 4, "mem_per_cpu": "10M", "time": "00:30:00"},
    }


def test_what_that_script_writes_can_be_added(folder: Path) -> None:
    runpy.run_path(str(SCRIPT))
    batch = load(Path("distribute-jobs.yaml"))
    assert [job.name for job in batch.spec.work.jobs] == ["re100", "re400"]
    assert [file.alias for file in batch.spec.files] == ["initial.h5", "here.dat"]
    assert batch.file.slurm is not None
    assert batch.file.slurm.time == "00:30:00"
    assert batch.warnings == ()


def test_both_packages_have_the_same_functions() -> None:
    for name in distribute_compute_config.__all__:
        if name[0].islower():
            assert getattr(distribute, name) is getattr(distribute_compute_config, name)


def test_a_file_that_is_not_relative_has_to_be_there_and_becomes_absolute(folder: Path) -> None:
    assert distribute.file("cases/mesh.h5").path == f"{folder}/cases/mesh.h5"
    assert distribute.file("cases/../here.dat", alias="x").path == f"{folder}/here.dat"
    with pytest.raises(ValueError, match=r"can't find the file 'cases/none\.h5': there is no such file"):
        distribute.file("cases/none.h5")


def test_a_link_is_followed_and_loses_its_name_without_an_alias(folder: Path) -> None:
    (folder / "link.dat").symlink_to("here.dat")
    assert distribute.file("link.dat").name == "here.dat"
    assert distribute.file("link.dat", alias="link.dat").name == "link.dat"
    assert distribute.file("link.dat", relative=True).name == "link.dat"


def test_a_relative_file_need_not_be_there_and_keeps_its_path(folder: Path) -> None:
    assert distribute.file("./none/x.h5", relative=True).path == "./none/x.h5"


def test_arguments_stand_in_the_originals_order(folder: Path) -> None:
    assert distribute.file("x.h5", True, "y.h5").alias == "y.h5"
    assert distribute.metadata("lab", "b", [], "@j:x.org").matrix == "@j:x.org"
    names = list(NO_SLURM)
    texts = ["job", "out", 1, 2, 3, "4G", "hint", "1:00", "long", "me", "me@x.org", "END"]
    made = distribute.slurm(*texts)  # type: ignore[arg-type]
    assert [getattr(made, name) for name in names] == texts


def test_the_matrix_user_and_the_slurm_options_may_be_missing() -> None:
    assert distribute.metadata("lab", "b", ["gpu"]).matrix is None
    assert distribute.job("a", []).slurm is None
    assert distribute.slurm() == Slurm()


def test_the_image_may_be_a_path_and_be_called_as_in_the_originals_page(folder: Path) -> None:
    made = distribute.initialize(sif_path="solver.sif", required_files=[], required_mounts=[])
    assert made == distribute.initialize(distribute.file("solver.sif", relative=True), [], [])


def test_python_and_command_batches_are_written_likewise(folder: Path) -> None:
    for name in ("build.py", "run.py"):
        (folder / name).touch()
    begin = datetime(2030, 1, 31, 18, tzinfo=UTC)
    meta = distribute.metadata(
        "lab", "b", [], timeout="2h", resources={"cpus": 2}, priority=3, max_running=4, not_before=begin
    )
    python = distribute.description(
        distribute.initialize(build_file="build.py", required_files=["here.dat"]),
        [distribute.job("a", file="run.py", retries=2, env={"N": 3})],
    )
    command = distribute.description(
        distribute.initialize(build="make"),
        [distribute.job("a", command=["./solver", "--re", 100]), distribute.job("b", command="./b")],
        env={"OMP_PROC_BIND": "true"},
    )
    written(distribute.python_config(meta, python, distribute.slurm(ntasks=2)), "python.yaml")
    written(distribute.command_config(meta, command), "command.yaml")
    first, second = load(Path("python.yaml")), load(Path("command.yaml"))
    assert first.spec.work.kind == "python"
    assert first.spec.work.jobs[0].env == {"N": "3"}
    assert (first.spec.timeout_s, first.spec.not_before) == (7200, begin)
    assert second.spec.work.kind == "command"
    assert [job.command for job in second.spec.work.jobs] == [("./solver", "--re", "100"), "./b"]
    assert second.spec.env == {"OMP_PROC_BIND": "true"}
    assert second.file.meta == meta


def test_python_jobs_take_arguments_and_need_no_build(folder: Path) -> None:
    jobs = [distribute.job(f"re{re}", file="here.dat", args=["--re", re]) for re in (100, 400)]
    described = distribute.description(distribute.initialize(required_files=["solver.sif"]), jobs)
    written(distribute.python_config(distribute.metadata("lab", "b", []), described))
    work = load(Path("distribute-jobs.yaml")).spec.work
    assert work.kind == "python"
    assert [job.args for job in work.jobs] == [("--re", "100"), ("--re", "400")]


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: api.metadata("lab", "b", [], "jane"), "matrix: 'jane' is not a Matrix user; write \"@"),
    (lambda: api.metadata("a/b", "b", []), "namespace: 'a/b' can't be a name"),
    (lambda: api.metadata("lab", "b", "gpu"), "capabilities takes a list, not 'gpu'"),
    (lambda: api.metadata("lab", "b", [], timeot="2h"), "it has no key 'timeot'; write 'timeout'"),
    (lambda: api.job("a", requred_files=[]), "it has no key 'requred_files'; write 'required_files'"),
    (lambda: api.job(3, []), "job(): name takes a text, not 3"),
    (lambda: api.job("a", [3]), "required_files[0]: a file takes a path, {path"),
    (lambda: api.job("a", "x.dat"), "required_files takes a list, not 'x.dat'"),
    (lambda: api.job("a", [], file="x", command="x"), "give file or command"),
    (lambda: api.job("a", args=["x"]), "args are for a python job"),
    (lambda: api.file(3), "file(): path takes a text, not 3"),
    (lambda: api.file(""), "file(): path is empty"),
    (lambda: api.file("x", "yes"), "relative takes True or False, not 'yes'"),
    (lambda: api.file("x", True, "b/c"), "alias: 'b/c' can't be a name"),
    (lambda: api.initialize("a.sif", build="make"), "give one of sif, build_file and build"),
    (lambda: api.initialize("a.sif", required_mounts=["x"]), "'x' can't be mounted"),
    (lambda: api.slurm(nodes=0), "slurm(): nodes: 0 is out of range; write 1 or more"),
    (lambda: api.description(api.initialize("a.sif"), []), "description(): jobs is empty"),
    (
        lambda: api.description(api.initialize("a.sif"), [api.job("a")] * 2),
        "description(): jobs[1]: two jobs are called 'a', here and at jobs[0].name; rename one",
    ),
    (
        lambda: api.description(api.initialize("a.sif"), [api.job("a", command="x")]),
        "jobs[0]: 'a' is a job of the kind command, but initialize is of the kind apptainer",
    ),
    (
        lambda: api.description(api.initialize("a.sif"), ["a"]),
        "jobs[0] takes what job() returns",
    ),
    (lambda: api.apptainer_config("x", "y"), "meta takes what metadata() returns, not 'x'"),
    (lambda: api.write_config_to_file("x", "y"), "config takes what apptainer_config() returns"),
]


@pytest.mark.parametrize(("call", "told"), REFUSED)
def test_what_add_would_refuse_is_a_value_error_at_once(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(distribute.InvalidArgument) as refused:
        call()
    assert told in str(refused.value)
    assert isinstance(refused.value, ValueError)


def test_all_problems_of_a_call_are_told_at_once() -> None:
    with pytest.raises(ValueError) as refused:
        api.job("a/b", [], timeout="2x", retries=1000)
    assert len(str(refused.value).splitlines()) == 3


def config(kind: str = "apptainer") -> Any:
    described = distribute.description(distribute.initialize("a.sif"), [distribute.job("a")])
    return getattr(distribute, f"{kind}_config")(distribute.metadata("lab", "b", []), described)


def test_a_config_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"jobs of the kind apptainer; use apptainer_config\(\)"):
        config("python")


@pytest.mark.parametrize("path", ["folder", "here.dat/x.yaml", "\0"])
def test_a_file_that_can_not_be_written_is_a_value_error(folder: Path, path: str) -> None:
    (folder / "folder").mkdir()
    with pytest.raises(ValueError, match=r"can't write .*; choose another path"):
        distribute.write_config_to_file(config(), path)


def test_an_earlier_file_is_replaced_where_a_link_leads(folder: Path) -> None:
    (folder / "link.yaml").symlink_to("cases/jobs.yaml")
    (folder / "cases/jobs.yaml").write_text("old " * 1000)
    distribute.write_config_to_file(config(), folder / "link.yaml")
    assert yaml.safe_load((folder / "cases/jobs.yaml").read_text())["meta"]["namespace"] == "lab"


def test_a_pipe_takes_the_file(folder: Path) -> None:
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        distribute.write_config_to_file(config(), "pipe")
        assert b"batch_name: b" in os.read(reader, 1 << 16)
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("keys", "section", "beside"),
    [
        (MetaKeys, Meta, {"namespace", "batch_name", "capabilities", "matrix"}),
        (JobKeys, ApptainerJob, {"name", "required_files", "slurm"}),
        (JobKeys, PythonJob, {"name", "required_files", "slurm", "file", "args"}),
        (JobKeys, CommandJob, {"name", "required_files", "slurm", "command"}),
        (SlurmKeys, Slurm, set()),
    ],
)
def test_every_key_of_a_section_is_an_argument(keys: Any, section: Any, beside: set[str]) -> None:
    assert keys.__optional_keys__ | beside == set(section.known_keys())
