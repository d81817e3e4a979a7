"""What is run, and in which environment."""

from __future__ import annotations

from pathlib import Path

from distribute.core.specs import (
    ApptainerJob,
    ApptainerWork,
    BatchSpec,
    CommandJob,
    CommandWork,
    InputFile,
    PythonJob,
    PythonWork,
)
from distribute_services.node_runner.invocation import (
    Share,
    base_environment,
    build_argv,
    build_environment,
    job_argv,
    job_environment,
)
from distribute_services.node_runner.workspace import Workspace

FILE = InputFile(alias="file", sha256="0" * 64, size_bytes=0)
PYTHON = PythonWork(build=FILE, jobs=(PythonJob(name="job", script=FILE),))
AT = Workspace(
    Path("/w"), Path("/w/job"), Path("/w/job/input"), Path("/w/job/distribute_save"), Path("/w/stdout")
)


def spec(work: PythonWork | CommandWork | ApptainerWork, **fields: object) -> BatchSpec:
    return BatchSpec.model_validate({"namespace": "lab", "batch": "sweep", "work": work, **fields})


def test_python() -> None:
    batch = spec(PYTHON)
    assert build_argv(batch) == ["python3", "build.py"]
    assert job_argv(batch, batch.work.jobs[0], AT, Share(3), None) == ["python3", "job.py", "3"]


def test_command() -> None:
    words = CommandJob(name="words", command=("./solver", "--re", "100"))
    line = CommandJob(name="line", command="./solver > log")
    batch = spec(CommandWork(jobs=(words, line)))
    assert build_argv(batch) is None
    assert build_argv(spec(CommandWork(build="make", jobs=(words,)))) == ["/bin/sh", "-c", "make"]
    assert job_argv(batch, words, AT, Share(1), None) == ["./solver", "--re", "100"]
    assert job_argv(batch, line, AT, Share(1), None) == ["/bin/sh", "-c", "./solver > log"]


def test_apptainer() -> None:
    job = ApptainerJob(name="job")
    batch = spec(ApptainerWork(image=FILE, mounts=("/scratch",), jobs=(job,)))
    binds = "/w/job/input:/input:rw,/w/job/distribute_save:/distribute_save:rw,/w/job/mounts/0:/scratch:rw"
    plain = ["apptainer", "run", "--app", "distribute", "--bind", binds, "/cache/image", "4"]
    image = Path("/cache/image")
    assert build_argv(batch) is None
    assert job_argv(batch, job, AT, Share(4), image) == plain
    assert job_argv(batch, job, AT, Share(4, gpus=(1,)), image) == [*plain[:2], "--nv", *plain[2:]]


def environment(batch: BatchSpec, share: Share, *, node_has_gpus: bool) -> dict[str, str]:
    job = batch.work.jobs[0]
    return job_environment(
        {"PATH": "/bin"},
        batch,
        job,
        attempt=2,
        node="ws07",
        workspace=AT,
        share=share,
        node_has_gpus=node_has_gpus,
    )


def test_what_a_job_finds() -> None:
    assert environment(spec(PYTHON), Share(4, memory_bytes=8 << 30), node_has_gpus=False) == {
        "PATH": "/bin",
        "OMP_NUM_THREADS": "4",
        "DISTRIBUTE_NAMESPACE": "lab",
        "DISTRIBUTE_BATCH": "sweep",
        "DISTRIBUTE_JOB": "job",
        "DISTRIBUTE_ATTEMPT": "2",
        "DISTRIBUTE_NODE": "ws07",
        "DISTRIBUTE_CPUS": "4",
        "DISTRIBUTE_GPUS": "0",
        "DISTRIBUTE_MEMORY_BYTES": str(8 << 30),
        "DISTRIBUTE_INPUT": "/w/job/input",
        "DISTRIBUTE_SAVE": "/w/job/distribute_save",
    }


def test_gpus() -> None:
    with_two = environment(spec(PYTHON), Share(1, gpus=(0, 2)), node_has_gpus=True)
    assert (with_two["CUDA_VISIBLE_DEVICES"], with_two["DISTRIBUTE_GPUS"]) == ("0,2", "2")
    with_none = environment(spec(PYTHON), Share(1), node_has_gpus=True)
    assert (with_none["CUDA_VISIBLE_DEVICES"], with_none["DISTRIBUTE_GPUS"]) == ("", "0")


def test_own_variables_replace_defaults_but_not_what_the_job_is() -> None:
    job = PythonJob(name="job", script=FILE, env={"MODE": "job", "DISTRIBUTE_JOB": "another"})
    batch = spec(
        PythonWork(build=FILE, jobs=(job,)),
        env={"MODE": "batch", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "0,1,2,3"},
    )
    found = environment(batch, Share(4, gpus=(3,)), node_has_gpus=True)
    names = ("MODE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "DISTRIBUTE_JOB")
    assert [found[name] for name in names] == ["job", "1", "3", "job"]


def test_in_a_container_the_folders_are_the_containers() -> None:
    found = environment(
        spec(ApptainerWork(image=FILE, jobs=(ApptainerJob(name="job"),))), Share(1), node_has_gpus=False
    )
    assert (found["DISTRIBUTE_INPUT"], found["DISTRIBUTE_SAVE"]) == ("/input", "/distribute_save")


def test_what_a_build_finds() -> None:
    found = build_environment({"PATH": "/bin"}, spec(PYTHON, env={"CC": "gcc"}), "ws07", AT, 8)
    assert found["CC"] == "gcc"
    assert found["DISTRIBUTE_CPUS"] == "8"
    assert "DISTRIBUTE_JOB" not in found


def test_the_runners_secrets_stay_with_it() -> None:
    own = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "DISTRIBUTE_CREDS": "/home/jane/.creds",
        "SSH_AUTH_SOCK": "/run/agent",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "DISPLAY": ":0",
    }
    assert base_environment(own) == {"PATH": "/bin", "LC_ALL": "C"}
