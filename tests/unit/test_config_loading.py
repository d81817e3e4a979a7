"""Loading a correct jobs file makes the batch that it describes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from config_kit import entry, write
from distribute.config.loading import batch_named_in, load
from distribute.config.sections.jobs_file import CommandJob as WrittenJob
from distribute.core.errors import InputError
from distribute.core.ids import BatchId
from distribute.core.spec.specs import (
    ApptainerWork,
    BatchSpec,
    CommandJob,
    CommandWork,
    GpuKind,
    PythonJob,
    PythonWork,
    Resources,
    SignalBefore,
)

ORIGINAL_PYTHON = Path(__file__).with_name("data").joinpath("original-python.yaml").read_text()
ORIGINAL_APPTAINER = Path(__file__).with_name("data").joinpath("original-apptainer.yaml").read_text()


def test_a_python_file_of_the_original_loads_completely(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ORIGINAL_PYTHON,
        execute__build_DOT_py=b"build",
        execute__geometry_DOT_dat=b"geometry",
        execute__run_DOT_py=b"run",
        execute__job1_DOT_dat=b"1",
        execute__job2_DOT_dat=b"2",
    )
    loaded = load(path)
    assert loaded.spec == BatchSpec(
        namespace="your_namespace",
        batch="your_jobset_name",
        matrix_user="@your-username:matrix.org",
        capabilities=frozenset({"gfortran", "python3"}),
        files=(entry("geometry.dat", b"geometry"),),
        work=PythonWork(
            build=entry("build.py", b"build"),
            jobs=(
                PythonJob(name="job_1", script=entry("run.py", b"run"), files=(entry("input.dat", b"1"),)),
                PythonJob(name="job_2", script=entry("run.py", b"run"), files=(entry("job2.dat", b"2"),)),
            ),
        ),
    )
    assert {sha256: source.read_bytes() for sha256, source in loaded.sources.items()} == {
        hashlib.sha256(content).hexdigest(): content
        for content in (b"build", b"geometry", b"run", b"1", b"2")
    }
    assert all(source.is_absolute() for source in loaded.sources.values())
    assert loaded.file.slurm is not None
    assert loaded.file.slurm.model_dump() == {
        "job_name": "sweep",
        "output": "out.txt",
        "nodes": 1,
        "ntasks": 4,
        "cpus_per_task": 1,
        "mem_per_cpu": "10M",
        "hint": "nomultithread",
        "time": "00:30:00",
        "partition": "cpu-core-0",
        "account": "fluids",
        "mail_user": "jane@example.org",
        "mail_type": "ALL",
    }
    assert loaded.slurm_of_jobs[0] is None
    of_job = loaded.slurm_of_jobs[1]
    assert of_job is not None
    assert of_job.time == "01:30:00"


def test_an_apptainer_file_of_the_original_loads_completely(tmp_path: Path) -> None:
    spec = load(write(tmp_path, ORIGINAL_APPTAINER, image_DOT_sif=b"image")).spec
    assert isinstance(spec.work, ApptainerWork)
    assert spec.work.image == entry("image.sif", b"image")
    assert spec.work.mounts == ("/solver/extracted_cases",)
    assert [job.name for job in spec.work.jobs] == ["one", "two"]
    assert spec.matrix_user is None
    assert spec.resources is None


def test_a_file_of_the_original_that_asks_for_a_gpu_names_no_resources(tmp_path: Path) -> None:
    # The policy treats a batch that needs the capability `gpu` as GPU work, with or without resources.
    text = ORIGINAL_APPTAINER.replace("capabilities: [apptainer]", "capabilities: [apptainer, gpu]")
    spec = load(write(tmp_path, text, image_DOT_sif=b"image")).spec
    assert spec.required_capabilities == {"apptainer", "gpu"}
    assert spec.resources is None
    assert all(job.resources is None for job in spec.work.jobs)


def test_keys_that_the_original_lacks_reach_the_batch(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
meta:
  namespace: jane
  batch_name: sweep
  priority: -7
  resources: {cpus: 4, memory: 8G, gpus: 1}
  timeout: 1h30m10s
  build_timeout: 20m
  grace: 30s
  signal_before: {signal: SIGUSR1, seconds: 2m}
  rebuild: always
  retries: 2
command:
  initialize: {required_files: [mesh.dat], build: "make -j$DISTRIBUTE_CPUS"}
  env: {LEVEL: 3, ON: yes, EMPTY: ""}
  jobs:
    - name: re100
      command: [./solver, --re, 100, --dt, 1e-3, ""]
    - name: 1.10
      command: ./solver --re 400 | tail
      required_files: [{path: sub/../mesh.dat, alias: other mesh.dat}]
      resources: {memory: 512M}
      timeout: 90
      grace: 0
      signal_before: {signal: term, seconds: 10}
      retries: 0
      env: {LEVEL: 4}
""",
        mesh_DOT_dat=b"mesh",
        sub__keep=b"",
    )
    loaded = load(path)
    assert loaded.spec == BatchSpec(
        namespace="jane",
        batch="sweep",
        priority=-7,
        resources=Resources(cpus=4, memory_bytes=8 * 1024**3, gpus=1),
        timeout_s=5410,
        build_timeout_s=1200,
        grace_s=30,
        signal_before=SignalBefore(signal="USR1", before_s=120),
        rebuild="always",
        retries=2,
        env={"LEVEL": "3", "ON": "yes", "EMPTY": ""},
        files=(entry("mesh.dat", b"mesh"),),
        work=CommandWork(
            build="make -j$DISTRIBUTE_CPUS",
            jobs=(
                CommandJob(name="re100", command=("./solver", "--re", "100", "--dt", "1e-3", "")),
                CommandJob(
                    name="1.10",
                    command="./solver --re 400 | tail",
                    files=(entry("other mesh.dat", b"mesh"),),
                    resources=Resources(memory_bytes=512 * 1024**2),
                    timeout_s=90,
                    grace_s=0,
                    signal_before=SignalBefore(signal="TERM", before_s=10),
                    retries=0,
                    env={"LEVEL": "4"},
                ),
            ),
        ),
    )
    assert list(loaded.sources.values()) == [tmp_path / "sub/../mesh.dat"]


@pytest.mark.parametrize(
    ("written", "setup", "shell"),
    [
        ("setup: [module load gcc, 'export A=\"1 2\"']", ("module load gcc", 'export A="1 2"'), None),
        ("setup: module load gcc", ("module load gcc",), None),
        (
            "setup: |\n    module load gcc\n\n    ulimit -s unlimited\n",
            ("module load gcc", "ulimit -s unlimited"),
            None,
        ),
        ("setup: []\n  shell: bash", None, ("bash",)),
        ("setup: \n  shell: ~", None, None),
        ("shell: /opt/bin/bash -eo pipefail", None, ("/opt/bin/bash", "-eo", "pipefail")),
        ("shell: '\"/opt/a b/zsh\" -l'", None, ("/opt/a b/zsh", "-l")),
    ],
)
def test_setup_lines_and_their_shell_reach_the_batch(
    tmp_path: Path, written: str, setup: tuple[str, ...] | None, shell: tuple[str, ...] | None
) -> None:
    text = f"""\
meta:
  namespace: n
  batch_name: b
  {written}
command: {{jobs: [{{name: a, command: [x]}}]}}
"""
    spec = load(write(tmp_path, text)).spec
    assert (spec.setup, spec.shell) == (setup, shell)


@pytest.mark.parametrize(
    ("shell", "told"),
    [
        ("fish", "is not a shell that can run setup lines; write one of bash, dash"),
        ("python3 -c", "is not a shell that can run setup lines"),
        ('""', "is not a shell that can run setup lines"),
        ("bash 'l", "has a quote that is never closed; write bash -l"),
    ],
)
def test_a_shell_that_can_not_run_setup_lines_is_refused(tmp_path: Path, shell: str, told: str) -> None:
    text = f"""\
meta: {{namespace: n, batch_name: b, shell: {shell}}}
command: {{jobs: [{{name: a, command: [x]}}]}}
"""
    with pytest.raises(InputError, match=re.escape(told)):
        load(write(tmp_path, text))


@pytest.mark.parametrize(
    ("written", "resources"),
    [
        ("2", Resources(gpus=2)),
        ("{count: 2}", Resources(gpus=2)),
        ("{}", Resources(gpus=1)),
        (
            '{memory: 20G, model: "RTX.*"}',
            Resources(gpus=1, gpu_kind=GpuKind(memory_bytes=20 << 30, model="RTX.*")),
        ),
        ("{count: 0, memory: 20G}", Resources()),
        ("~", Resources()),
    ],
)
def test_gpus_are_a_number_or_say_which_suit(tmp_path: Path, written: str, resources: Resources) -> None:
    text = f"""\
meta: {{namespace: n, batch_name: b, resources: {{gpus: {written}}}}}
command: {{jobs: [{{name: a, command: [x]}}]}}
"""
    assert load(write(tmp_path, text)).spec.resources == resources


def test_keys_without_a_value_are_treated_as_absent(tmp_path: Path) -> None:
    text = """\
meta: {namespace: n, batch_name: b, capabilities: , priority: , resources: ~, timeout: null, build_timeout: ~}
command:
  initialize:
  env:
  jobs:
    - {name: a, command: [x], required_files: , env: , slurm: , retries: }
slurm:
"""
    spec = load(write(tmp_path, text)).spec
    assert spec == BatchSpec(
        namespace="n", batch="b", work=CommandWork(jobs=(CommandJob(name="a", command=("x",)),))
    )


@pytest.mark.parametrize(
    "name",
    [
        "no",
        "100",
        "1e3",
        "a b",
        "*",
        ">",
        "a>b*c",
        "é",
        "日本",
        "-",
        "x" * 255,
        "a\nb",
        "~x",
        ".hidden",
        "%2F",
    ],
)
def test_a_name_may_be_anything_that_a_folder_can_be_called(name: str, tmp_path: Path) -> None:
    quoted = '"' + name.replace("\n", "\\n") + '"'
    text = (
        f"meta: {{namespace: {quoted}, batch_name: {quoted}}}\n"
        f"command: {{jobs: [{{name: {quoted}, command: [x]}}]}}\n"
    )
    spec = load(write(tmp_path, text)).spec
    assert (spec.namespace, spec.batch, spec.work.jobs[0].name) == (name, name, name)


@pytest.mark.parametrize(
    "name", ["no", "100", "1e3", "0123", "1.10", "12:30:00", "2024-01-01", "true", "0x1F"]
)
def test_a_name_without_quotes_stays_as_written(name: str, tmp_path: Path) -> None:
    text = (
        f"meta: {{namespace: {name}, batch_name: b}}\n"
        f"command: {{jobs: [{{name: {name}, command: [{name}]}}]}}\n"
    )
    spec = load(write(tmp_path, text)).spec
    assert spec.namespace == name
    assert spec.work.jobs == (CommandJob(name=name, command=(name,)),)


def test_the_name_of_a_batch_is_read_without_looking_at_its_jobs(tmp_path: Path) -> None:
    path = write(tmp_path, ORIGINAL_PYTHON + "frobnicate: 3\n")
    assert batch_named_in(path) == BatchId("your_namespace", "your_jobset_name")
    path.write_text("meta: {namespace: a/b, batch_name: c}\n")
    with pytest.raises(InputError) as caught:
        batch_named_in(path)
    assert caught.value.problems == (
        f"{path}:1:19: namespace: 'a/b' can't be a name: names become folders, so '/' and NUL are out",
    )
    path.unlink()
    with pytest.raises(InputError, match="there is no such file; write NAMESPACE/BATCH, or the path of"):
        batch_named_in(path)


def test_what_100_000_jobs_have_takes_little_memory(tmp_path: Path) -> None:
    """Each set of the keys that a mapping had takes 728 bytes. Equal resources are there once."""
    for name in "ab":
        (tmp_path / name).write_text(name)
    (tmp_path / "jobs.yaml").write_text(
        "meta: {namespace: n, batch_name: b}\ncommand:\n  jobs:\n"
        "    - {name: a, command: x, resources: {cpus: 2}, required_files: [a]}\n"
        "    - {name: b, command: x, resources: {cpus: 2}, required_files: [b]}\n"
    )
    loaded = load(tmp_path / "jobs.yaml")
    first, second = loaded.spec.work.jobs
    written = WrittenJob.model_validate(
        {"name": "a", "command": "x", "resources": {"cpus": 2}, "required_files": ["a"]}
    )
    assert first.resources is second.resources
    for many in (first, first.files[0], written, written.resources, written.required_files[0]):
        assert many is not None
        assert many.model_fields_set == set()
    assert loaded.file.work.jobs == ()  # the specification has them
