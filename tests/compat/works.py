"""The parts of specifications of which samples are made: files, folders, and the work of each kind."""

from typing import Any

from distribute.core.spec.git_commit import GitCommit
from distribute.core.spec.specs import (
    ApptainerJob,
    ApptainerWork,
    CommandJob,
    CommandWork,
    InputFile,
    InputFolder,
    InputObject,
    PythonJob,
    PythonWork,
    Resources,
)

BATCH = {"namespace": "größe", "batch": "sweep 3"}
DIGEST = "6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090"
MTIME_NS = 978_307_200_123_456_789


def sample_file(alias: str) -> InputFile:
    return InputFile(alias=alias, sha256=DIGEST, size_bytes=4096, executable=True)


def sample_folder(alias: str | None, pattern: str | None = None) -> InputFolder:
    return InputFolder(
        alias=alias,
        pattern=pattern,
        sha256=DIGEST,
        listing_bytes=4096,
        content=DIGEST,
        entries=7,
        size_bytes=1 << 30,
    )


SPEC: dict[str, Any] = {
    **BATCH,
    "matrix_user": "@jane:lab.example",
    "capabilities": frozenset({"gcc", "mpi", "python"}),
    "priority": -5,
    "resources": Resources(cpus=4, memory_bytes=8 << 30, gpus=1),
    "timeout_s": 7200.0,
    "retries": 1,
    "env": {"OMP_PROC_BIND": "close"},
    "files": (sample_file("mesh.msh"),),
}
_JOB: dict[str, Any] = {
    "name": "re=100*",
    "files": (sample_file("start.vtu"),),
    "resources": Resources(cpus=2, memory_bytes=1 << 30, gpus=0),
    "timeout_s": 60.5,
    "retries": 0,
    "env": {"RE": "100"},
}
COMMANDS = CommandWork(
    build="make -j$DISTRIBUTE_CPUS",
    jobs=(
        CommandJob(**_JOB, command=("./solver", "--re", "100")),
        CommandJob(name="b", command="./solver | sort"),
    ),
)
PYTHON = PythonWork(build=sample_file("build.py"), jobs=(PythonJob(**_JOB, script=sample_file("run.py")),))
COMMIT = GitCommit(commit=DIGEST[:40], ref="größe/v1", dirty=True, folder="src", remote="git@host:größe.git")
FOLDERS = CommandWork(jobs=(CommandJob(name="re=100*", command="true", folders=(sample_folder("größe"),)),))
UNBUILT = PythonWork(jobs=(PythonJob(name="re=100*", script=sample_file("run.py"), args=("--re", "100")),))
IN_PACK = {"pack": InputObject(sha256=DIGEST, size_bytes=8192), "offset": 4096}
PACKED = UNBUILT.model_copy(
    update={"jobs": (PythonJob(name="a", script=sample_file("run.py").model_copy(update=IN_PACK)),)}
)
SWEPT = CommandWork(
    jobs=(
        CommandJob(
            name="re100", command="./solver", parameters={"re": 100, "dt": 0.5, "wet": True, "mesh": "fine"}
        ),
    )
)
APPTAINER = ApptainerWork(image=sample_file("image.sif"), mounts=("/scratch",), jobs=(ApptainerJob(**_JOB),))
MANY = CommandWork(jobs=tuple(CommandJob(name=f"job{n}", command=f"./solver {n}") for n in range(1500)))


WITH_ATTRIBUTES = ApptainerWork(
    image=sample_file("image.sif").model_copy(update={"mode": 0o640, "mtime_ns": MTIME_NS}),
    jobs=(ApptainerJob(name="re=100*"),),
)
