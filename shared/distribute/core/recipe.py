"""Recipes: everything needed to run a job. Files, folders, command, environment, build, image and binds.

All code that runs jobs uses this. Paths in a recipe are relative to the working directory. Values that depend
on the node (folder, cores, GPUs) are arguments of `Recipe.argv` and `Recipe.environment`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from distribute.core.ids import check_name
from distribute.core.specs import (
    ApptainerWork,
    BatchSpec,
    CommandJob,
    CommandWork,
    InputFile,
    Job,
    PythonJob,
    PythonWork,
)

INPUT = "input"
INITIAL = "initial_files"
SAVE = "distribute_save"
MOUNTS = "mounts"
"""The folder that contains one folder for each mount path of an apptainer batch."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a job may use of its node. `gpus` are the node's own indices."""

    cpus: int
    memory_bytes: int = 0
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """An input file and the path to copy it to. With `keep`, a file that the build left there stays."""

    path: str
    file: InputFile
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Bind:
    """A folder of the job, and its path in the container."""

    folder: str
    target: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A job, or the build of a batch, ready to be run anywhere.

    Every recipe has the folders `input` and `distribute_save`; `folders` are those it has beside them.
    """

    command: tuple[str, ...]
    wants_cores: bool = False
    """Is the number of cores the last argument of the command?"""
    files: tuple[Placed, ...] = ()
    folders: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment variables of the batch and the job."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that identify the job. No variable of a batch replaces them."""
    build: Recipe | None = None
    """Runs once on a node. The job starts in a copy of the folder that the build leaves."""
    image: InputFile | None = None
    binds: tuple[Bind, ...] = ()
    timeout_s: float | None = None
    always: bool = False
    """For a build: run it, although the node may have kept the same build of another batch."""

    def argv(self, share: Share, folder: str, image: str | None = None) -> list[str]:
        """The command of a job whose working directory is `folder`. `image` is the path of its image."""
        cores = [str(share.cpus)] if self.wants_cores else []
        if self.image is None:
            return [*self.command, *cores]
        binds = ",".join(f"{folder}/{bind.folder}:{bind.target}:rw" for bind in self.binds)
        nvidia = ["--nv"] if share.gpus else []
        options = [*nvidia, "--app", "distribute", "--bind", binds]
        return [*self.command, *options, str(image), *cores]

    def environment(
        self,
        base: Mapping[str, str],
        share: Share,
        *,
        folder: str,
        node: str,
        attempt: int | None = None,
        gpus: Sequence[str] | None = None,
    ) -> dict[str, str]:
        """All environment variables of a job whose working directory is `folder`.

        Variables of the batch and the job replace those of `base`, which come from the node and replace the
        defaults.
        Variables that identify the job and its share replace all others. `attempt` is None for a build.
        `gpus` are the GPUs of the node, as CUDA_VISIBLE_DEVICES names them: a job sees those of its share, a
        build all of them. None: hide none.
        """
        defaults = {
            "OMP_NUM_THREADS": str(share.cpus),
            "PYTHONUNBUFFERED": "1",  # output is a file, so Python would keep lines back until 8 KiB are full
        }
        found = {**defaults, **base, **self.variables, **self.names}
        found["DISTRIBUTE_NODE"] = node
        found["DISTRIBUTE_CPUS"] = str(share.cpus)
        found["DISTRIBUTE_INPUT"] = self.seen(INPUT, folder)
        found["DISTRIBUTE_SAVE"] = self.seen(SAVE, folder)
        if gpus is not None:
            mine = share.gpus if attempt is not None else range(len(gpus))
            found["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index] for index in mine)  # empty hides all of them
            found["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # else CUDA counts the fastest first, unlike the driver
        if attempt is None:
            return found
        found["DISTRIBUTE_ATTEMPT"] = str(attempt)
        found["DISTRIBUTE_GPUS"] = str(len(share.gpus))
        found["DISTRIBUTE_MEMORY_BYTES"] = str(share.memory_bytes)
        return found

    def identity(self) -> str:
        """What decides the outcome of a build, as text: its command, its files and its variables.

        The batch's name, its share of the node and the times of files do not count.
        """
        files = [
            [placed.path, placed.keep, placed.file.sha256, placed.file.mode, placed.file.executable]
            for placed in self.files
        ]
        variables = dict(sorted(self.variables.items()))
        return json.dumps([self.command, self.wants_cores, files, self.folders, variables])

    def seen(self, name: str, folder: str) -> str:
        """The path under which the job sees one of its folders."""
        for bind in self.binds:
            if bind.folder == name:
                return bind.target
        return f"{folder}/{name}"


def recipe_of(spec: BatchSpec, job: Job) -> Recipe:
    """The recipe of a job of a batch. Looks at no other job of `spec`."""
    files = [*_batch_files(spec), *(Placed(f"{INPUT}/{check_name(file.alias)}", file) for file in job.files)]
    if isinstance(job, PythonJob):
        files.append(Placed("job.py", job.script))
    apptainer = spec.work if isinstance(spec.work, ApptainerWork) else None
    return Recipe(
        command=_command(job),
        wants_cores=not isinstance(job, CommandJob),
        files=tuple(files),
        folders=_folders(spec),
        variables={**spec.env, **job.env},
        names={**_names(spec), "DISTRIBUTE_JOB": job.name},
        build=build_of(spec),
        image=apptainer.image if apptainer else None,
        binds=_binds(apptainer.mounts) if apptainer else (),
        timeout_s=job.timeout_s if job.timeout_s is not None else spec.timeout_s,
    )


def build_of(spec: BatchSpec) -> Recipe | None:
    """The recipe of a batch's build; None if the batch has no build."""
    files = _batch_files(spec)
    match spec.work:
        case PythonWork(build=script):
            command: tuple[str, ...] = ("python3", "build.py")
            files.append(Placed("build.py", script))
        case CommandWork(build=str(line)):
            command = ("/bin/sh", "-c", line)
        case CommandWork() | ApptainerWork():
            return None
    return Recipe(
        command,
        files=tuple(files),
        folders=_folders(spec),
        variables=spec.env,
        names=_names(spec),
        timeout_s=spec.build_timeout_s,
        always=spec.rebuild == "always",
    )


def _command(job: Job) -> tuple[str, ...]:
    match job:
        case PythonJob():
            return ("python3", "job.py")
        case CommandJob(command=str(line)):
            return ("/bin/sh", "-c", line)
        case CommandJob(command=words):
            return tuple(words)
        case _:
            return ("apptainer", "run")


def _batch_files(spec: BatchSpec) -> list[Placed]:
    folders = (INPUT, INITIAL) if isinstance(spec.work, PythonWork) else (INPUT,)
    return [
        Placed(f"{folder}/{check_name(file.alias)}", file, keep=True)
        for folder in folders
        for file in spec.files
    ]


def _folders(spec: BatchSpec) -> tuple[str, ...]:
    match spec.work:
        case PythonWork():
            return (INITIAL,)
        case ApptainerWork(mounts=mounts):
            return tuple(f"{MOUNTS}/{number}" for number in range(len(mounts)))
        case CommandWork():
            return ()


def _binds(mounts: tuple[str, ...]) -> tuple[Bind, ...]:
    own = (Bind(INPUT, "/input"), Bind(SAVE, "/distribute_save"))
    return (*own, *(Bind(f"{MOUNTS}/{number}", mount) for number, mount in enumerate(mounts)))


def _names(spec: BatchSpec) -> dict[str, str]:
    return {"DISTRIBUTE_NAMESPACE": spec.namespace, "DISTRIBUTE_BATCH": spec.batch}
