"""`distribute-jobs.yaml`, as it is written: one class a section, one field a key.

The models take what YAML gives (text, lists, mappings) and plain Python values alike. What concerns
several keys at once, and the files themselves, is checked in `check`.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from distribute.config.section import Duration, NonEmpty, Section, Size, Text
from distribute.core.ids import Name
from distribute.core.specs import MAX_JOBS, Cpus, GpuCount, Priority, Retries

_MATRIX_USER = re.compile(r"@[^\s:@]+:[^\s:@]+(:\d+)?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def _check_matrix_user(user: str) -> str:
    if not _MATRIX_USER.fullmatch(user):
        raise ValueError(f'{user!r} is no Matrix user; write "@jane:example.org", with the quotes')
    return user


def _check_env_name(name: str) -> str:
    if not _ENV_NAME.fullmatch(name):
        raise ValueError(f"{name!r} can't name a variable; write letters, digits and '_', as in MY_SETTING")
    if name.startswith("DISTRIBUTE_"):
        raise ValueError(f"{name!r} is set by distribute itself; take DISTRIBUTE_ off it")
    return name


def _check_mount(mount: str) -> str:
    path = PurePosixPath(mount)
    if not path.is_absolute() or ".." in path.parts or any(character in mount for character in ":,\n"):
        raise ValueError(f"{mount!r} can't be mounted; write a path in the container, as in /solver/cases")
    if path in {PurePosixPath("/"), PurePosixPath("/input"), PurePosixPath("/distribute_save")}:
        raise ValueError(f"{mount!r} can't be mounted: it has its own use; write another path")
    return mount


EnvName = Annotated[str, AfterValidator(_check_env_name)]
Env = dict[EnvName, Text]


def _command_form(command: object) -> str:
    return "text" if isinstance(command, str) else "list"


Command = Annotated[
    Annotated[NonEmpty, Tag("text")] | Annotated[tuple[Text, ...], Field(min_length=1), Tag("list")],
    Discriminator(_command_form),
]
"""A list of arguments, or one text for `sh -c`."""


def own_name(path: str) -> str:
    """The name under which a job sees the file at `path`, where it has no alias."""
    return path.rstrip("/").rpartition("/")[2]


class FileRef(Section):
    """A file. `alias` is the name under which the job sees it; none: its own. A bare text is a path."""

    takes: ClassVar[str] = "a path, or {path: PATH, alias: NAME}"

    path: NonEmpty = Field(examples=["data/mesh.dat"])
    alias: Name | None = Field(default=None, examples=["mesh.dat"])

    @model_validator(mode="before")
    @classmethod
    def _bare_text_is_a_path(cls, data: object) -> object:
        return {"path": data} if isinstance(data, str) else data

    @property
    def name(self) -> str:
        return self.alias or own_name(self.path)


Files = tuple[FileRef, ...]


class Resources(Section):
    """A job's share of a node. Sizes are binary: 8G is 8 * 1024**3 bytes."""

    cpus: Cpus = Field(default=1, examples=["4"])
    memory_bytes: Size = Field(default=0, alias="memory", examples=["8G"])
    gpus: GpuCount = Field(default=0, examples=["1"])


class Meta(Section):
    """What the batch is called, and what its jobs need. `timeout` is a job's wall time in seconds."""

    namespace: Name = Field(examples=["jane"])
    batch_name: Name = Field(examples=["sweep3"])
    matrix: Annotated[str, AfterValidator(_check_matrix_user)] | None = Field(
        default=None, examples=['"@jane:example.org"']
    )
    capabilities: tuple[NonEmpty, ...] = Field(default=(), examples=["[gpu, python3]"])
    priority: Priority = Field(default=0, examples=["10"])
    resources: Resources | None = Field(default=None, examples=["{cpus: 4, memory: 8G}"])
    timeout_s: Duration | None = Field(default=None, alias="timeout", examples=["2h"])
    retries: Retries = Field(default=0, examples=["1"])


class Slurm(Section):
    """What to ask of a SLURM cluster, in sbatch's words. A job's fields count before its batch's."""

    job_name: Text | None = None
    output: Text | None = None
    nodes: int | None = Field(default=None, ge=1, examples=["1"])
    ntasks: int | None = Field(default=None, ge=1, examples=["4"])
    cpus_per_task: int | None = Field(default=None, ge=1, examples=["1"])
    mem_per_cpu: Text | None = Field(default=None, examples=["10M"])
    hint: Text | None = None
    time: Text | None = Field(default=None, examples=['"00:30:00"'])
    partition: Text | None = None
    account: Text | None = None
    mail_user: Text | None = None
    mail_type: Text | None = None


class JobEntry(Section):
    """What a job of any kind may have. What is None is as in `meta`."""

    name: Name = Field(examples=["re100"])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])
    resources: Resources | None = Field(default=None, examples=["{cpus: 4, memory: 8G}"])
    timeout_s: Duration | None = Field(default=None, alias="timeout", examples=["2h"])
    retries: Retries | None = Field(default=None, examples=["1"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    slurm: Slurm | None = None


class PythonJob(JobEntry):
    """`file` is run as `job.py`."""

    file: FileRef = Field(examples=["run.py"])


class CommandJob(JobEntry):
    """`command` is a list of arguments, or one text for `sh -c`."""

    command: Command = Field(examples=['["./solver", "--re", "100"]'])


class ApptainerJob(JobEntry):
    """The image's app `distribute` is run."""


class PythonInitialize(Section):
    """`build_file` is run once a node, before the first job there."""

    build_file: FileRef = Field(examples=["build.py"])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])


class CommandInitialize(Section):
    """`build` is one text for `sh -c`, run once a node, before the first job there."""

    build: NonEmpty | None = Field(default=None, examples=['"make -j$DISTRIBUTE_CPUS"'])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])


def _check_mounts(mounts: tuple[str, ...]) -> tuple[str, ...]:
    for index, mount in enumerate(mounts):
        if mount in mounts[:index]:
            raise ValueError(f"{mount!r} is listed twice; remove one of the two")
    return mounts


class ApptainerInitialize(Section):
    """`required_mounts` are paths in the container, each a fresh writable folder for every job."""

    sif: FileRef = Field(examples=["solver.sif"])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])
    required_mounts: Annotated[
        tuple[Annotated[Text, AfterValidator(_check_mount)], ...], AfterValidator(_check_mounts)
    ] = Field(default=(), examples=["[/solver/cases]"])


class PythonBatch(Section):
    """Python scripts."""

    initialize: PythonInitialize = Field(examples=["{build_file: build.py}"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    jobs: tuple[PythonJob, ...] = Field(
        min_length=1, max_length=MAX_JOBS, examples=["[{name: re100, file: run.py}]"]
    )


class CommandBatch(Section):
    """Commands of programs that are on the nodes, or are built there."""

    initialize: CommandInitialize = CommandInitialize()
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    jobs: tuple[CommandJob, ...] = Field(
        min_length=1, max_length=MAX_JOBS, examples=["[{name: re100, command: ./solver --re 100}]"]
    )


class ApptainerBatch(Section):
    """One image, run once a job."""

    initialize: ApptainerInitialize = Field(examples=["{sif: solver.sif}"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    jobs: tuple[ApptainerJob, ...] = Field(min_length=1, max_length=MAX_JOBS, examples=["[{name: re100}]"])


Kind: TypeAlias = Literal["python", "command", "apptainer"]
KINDS: tuple[Kind, ...] = ("python", "command", "apptainer")


class JobsFile(Section):
    """The whole file. Exactly one of the kinds is there (`check` sees to it)."""

    meta: Meta = Field(examples=["{namespace: jane, batch_name: sweep3}"])
    python: PythonBatch | None = None
    command: CommandBatch | None = None
    apptainer: ApptainerBatch | None = None
    slurm: Slurm | None = None

    @property
    def work(self) -> PythonBatch | CommandBatch | ApptainerBatch:
        """The part of the kind that the batch is of.

        Raises:
            ValueError: there is none.
        """
        work = self.python or self.command or self.apptainer
        if work is None:
            raise ValueError(
                f"the batch {self.meta.batch_name!r} has no kind; give it one of {', '.join(KINDS)}"
            )
        return work
