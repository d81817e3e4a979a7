"""The contents of `distribute-jobs.yaml`: one class for each section, one field for each key.

The models accept the values of YAML (text, lists, mappings) and plain Python values. The module `check`
checks the files themselves, and rules that concern several keys.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from distribute.config.section import (
    Capabilities,
    Duration,
    Env,
    NonEmpty,
    Section,
    Size,
    Text,
    at_most,
    once,
)
from distribute.core.gpu_kind import MAX_MODEL_CHARS, check_model
from distribute.core.ids import Name, check_label
from distribute.core.specs import (
    MAX_ARGUMENTS,
    MAX_FILES,
    MAX_JOBS,
    MAX_MOUNTS,
    Cpus,
    GpuCount,
    Priority,
    Retries,
)
from distribute.core.words import quoted

_MATRIX_USER = re.compile(r"@[^\s:@]+:[^\s:@]+(:\d+)?")


def _check_matrix_user(user: str) -> str:
    if not _MATRIX_USER.fullmatch(user):
        raise ValueError(f'{quoted(user)} is not a Matrix user; write "@jane:example.org", with the quotes')
    return check_label(user)


def _check_mount(mount: str) -> str:
    parts = [part for part in mount.split("/") if part not in {"", "."}]
    if not mount.startswith("/") or ".." in parts or any(character in mount for character in ":,\n"):
        raise ValueError(
            f"{quoted(mount)} can't be mounted; "
            "write an absolute path in the container, such as /solver/cases"
        )
    if parts in ([], ["input"], ["distribute_save"]):
        raise ValueError(f"{quoted(mount)} can't be mounted, because distribute uses it; write another path")
    return mount


def _command_form(command: object) -> str:
    return "text" if isinstance(command, str) else "list"


Command = Annotated[
    Annotated[NonEmpty, Tag("text")]
    | Annotated[
        tuple[Text, ...],
        Field(min_length=1),
        at_most(MAX_ARGUMENTS, "arguments"),
        once("command"),
        Tag("list"),
    ],
    Discriminator(_command_form),
]
"""A list of arguments, or one text for `sh -c`."""


def own_name(path: str) -> str:
    """The name under which a job sees the file at `path` if it has no alias."""
    return path.rstrip("/").rpartition("/")[2]


class FileRef(Section):
    """A file. The job sees it as `alias`, or under its own name. A bare text is a path."""

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


Files = Annotated[tuple[FileRef, ...], at_most(MAX_FILES, "files"), once("files")]


class Gpus(Section):
    """How many GPUs, and of which kind: with so much memory each, and `model` as a part of their name.

    `model` is a regular expression. Upper and lower case are the same to it.
    """

    count: GpuCount = Field(default=1, examples=["1"])
    memory_bytes: Size = Field(default=0, alias="memory", examples=["20G"])
    model: Annotated[Text, Field(max_length=MAX_MODEL_CHARS), AfterValidator(check_model)] = Field(
        default="", examples=['"RTX.*"']
    )


def _form_of_gpus(written: object) -> str:
    return "mapping" if isinstance(written, dict | Gpus) else "number"


class Resources(Section):
    """A job's share of a node. Sizes are binary: 8G is 8 * 1024**3 bytes."""

    cpus: Cpus = Field(default=1, examples=["4"])
    memory_bytes: Size = Field(default=0, alias="memory", examples=["8G"])
    gpus: Annotated[
        Annotated[GpuCount, Tag("number")] | Annotated[Gpus, Tag("mapping")], Discriminator(_form_of_gpus)
    ] = Field(default=0, examples=["1"])


class Meta(Section):
    """The name of the batch, and what its jobs need.

    `timeout` is the wall time of a job in seconds, `build_timeout` that of a build. `rebuild`: don't use the
    same build of another batch, if a node has kept it.
    """

    namespace: Name = Field(examples=["jane"])
    batch_name: Name = Field(examples=["sweep3"])
    matrix: Annotated[str, AfterValidator(_check_matrix_user)] | None = Field(
        default=None, examples=['"@jane:example.org"']
    )
    capabilities: Capabilities = Field(default=(), examples=["[gpu, python3]"])
    priority: Priority = Field(default=0, examples=["10"])
    resources: Resources | None = Field(default=None, examples=["{cpus: 4, memory: 8G}"])
    timeout_s: Duration | None = Field(default=None, alias="timeout", examples=["2h"])
    build_timeout_s: Duration | None = Field(default=None, alias="build_timeout", examples=["1h"])
    retries: Retries = Field(default=0, examples=["1"])
    rebuild: Literal["always"] | None = Field(default=None, examples=["always"])


class Slurm(Section):
    """Options of sbatch, under its names. A job's options override those of its batch."""

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
    """What a job of any kind may have. None: as in `meta`."""

    name: Name = Field(examples=["re100"])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])
    resources: Resources | None = Field(default=None, examples=["{cpus: 4, memory: 8G}"])
    timeout_s: Duration | None = Field(default=None, alias="timeout", examples=["2h"])
    retries: Retries | None = Field(default=None, examples=["1"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    slurm: Slurm | None = None


class PythonJob(JobEntry):
    """`file` runs as `job.py`."""

    file: FileRef = Field(examples=["run.py"])


class CommandJob(JobEntry):
    """`command` is a list of arguments, or one text for `sh -c`."""

    command: Command = Field(examples=['["./solver", "--re", "100"]'])


class ApptainerJob(JobEntry):
    """Runs the image's app `distribute`."""


class PythonInitialize(Section):
    """`build_file` runs once on each node, before the first job there."""

    build_file: FileRef = Field(examples=["build.py"])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])


class CommandInitialize(Section):
    """`build` is one text for `sh -c`. It runs once on each node, before the first job there."""

    build: NonEmpty | None = Field(default=None, examples=['"make -j$DISTRIBUTE_CPUS"'])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])


def _check_mounts(mounts: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for mount in mounts:
        if mount in seen:
            raise ValueError(f"{quoted(mount)} is listed twice; remove one of the two")
        seen.add(mount)
    return mounts


class ApptainerInitialize(Section):
    """`required_mounts` are paths in the container. Every job gets a fresh writable folder at each."""

    sif: FileRef = Field(examples=["solver.sif"])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])
    required_mounts: Annotated[
        tuple[Annotated[Text, AfterValidator(_check_mount)], ...],
        at_most(MAX_MOUNTS, "mounts"),
        AfterValidator(_check_mounts),
    ] = Field(default=(), examples=["[/solver/cases]"])


class PythonBatch(Section):
    """Python scripts."""

    initialize: PythonInitialize = Field(examples=["{build_file: build.py}"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    jobs: tuple[PythonJob, ...] = Field(
        min_length=1, max_length=MAX_JOBS, examples=["[{name: re100, file: run.py}]"]
    )


class CommandBatch(Section):
    """Commands of programs that the nodes have, or that the build makes."""

    initialize: CommandInitialize = CommandInitialize()
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    jobs: tuple[CommandJob, ...] = Field(
        min_length=1, max_length=MAX_JOBS, examples=["[{name: re100, command: ./solver --re 100}]"]
    )


class ApptainerBatch(Section):
    """One image; each job runs it once."""

    initialize: ApptainerInitialize = Field(examples=["{sif: solver.sif}"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    jobs: tuple[ApptainerJob, ...] = Field(min_length=1, max_length=MAX_JOBS, examples=["[{name: re100}]"])


Kind: TypeAlias = Literal["python", "command", "apptainer"]
KINDS: tuple[Kind, ...] = ("python", "command", "apptainer")


class JobsFile(Section):
    """The whole file. It has exactly one of the kinds: `check` makes sure."""

    meta: Meta = Field(examples=["{namespace: jane, batch_name: sweep3}"])
    python: PythonBatch | None = None
    command: CommandBatch | None = None
    apptainer: ApptainerBatch | None = None
    slurm: Slurm | None = None

    @property
    def work(self) -> PythonBatch | CommandBatch | ApptainerBatch:
        """The section of the batch's kind.

        Raises:
            ValueError: the batch has no kind.
        """
        work = self.python or self.command or self.apptainer
        if work is None:
            raise ValueError(
                f"the batch {self.meta.batch_name!r} has no kind; give it one of {', '.join(KINDS)}"
            )
        return work
