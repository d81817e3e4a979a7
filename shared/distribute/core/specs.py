"""Specifications of batches: the jobs, their needs, and their files.

A `BatchSpec` is complete: with it and the contents of its files (by digest) a job can be run anywhere. The
`submitted` event contains it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from distribute.core.gpu_kind import MAX_MODEL_CHARS, check_model
from distribute.core.ids import BatchId, Label, Name

MAX_JOBS = 100_000

MAX_NEEDS = 256
"""Max. different resources (with retries) that the jobs of a batch may ask for. Each is a lane of its own for
the scheduler, and a decision looks at all of them. Measured: with 1,000 it is fifteen times slower."""
MAX_CPUS = 2**16
MAX_GPUS = 2**10
MAX_PRIORITY = 100
"""The highest priority. The lowest is its negative."""
MAX_RETRIES = 100
DEFAULT_MAX_PAUSE_S = 4 * 3600.0
"""The longest pause of a node that is not set to another."""

MAX_TIMEOUT_S = 10**10
"""About 300 years: this can still be added to a date."""

# One source of bounds: what a person may write in a file, and what may be submitted.

MAX_BYTES = 2**63 - 1
Bytes = Annotated[int, Field(ge=0, le=MAX_BYTES)]
"""A size in bytes that fits 64 bits."""

Mode = Annotated[int, Field(ge=0, le=0o777)]
"""Permissions of a file: who may read, write and execute it."""

Nanoseconds = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""A time of a file, in nanoseconds since 1970."""

Cpus = Annotated[int, Field(ge=1, le=MAX_CPUS)]
GpuCount = Annotated[int, Field(ge=0, le=MAX_GPUS)]
GpuModel = Annotated[str, Field(max_length=MAX_MODEL_CHARS), AfterValidator(check_model)]
Priority = Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]
Retries = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
Timeout = Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S)]
"""The wall time that a job may take, in seconds."""

MAX_ARGUMENTS = 100_000
MAX_CAPABILITIES = 1000
MAX_FILES = 100_000
MAX_MOUNTS = 1000
MAX_VARIABLES = 1000
"""Max. entries of a list. Validation of the lists stops at the first mistake (`fail_fast`), because a forged
event could cause millions of errors, which take a kilobyte each."""

Capabilities = Annotated[
    frozenset[Label],
    Field(max_length=MAX_CAPABILITIES, fail_fast=True),
    PlainSerializer(sorted, return_type=list[str], when_used="json"),
]
"""What nodes have and jobs need, by name. Stored in order, so that equal events are equal bytes."""


def _few_variables(value: object) -> object:
    """Check the number of variables before pydantic checks each of them."""
    if isinstance(value, dict) and len(value) > MAX_VARIABLES:
        raise ValueError(f"{len(value)} variables; {MAX_VARIABLES} are allowed")
    return value


Environment = Annotated[dict[str, str], BeforeValidator(_few_variables)]
"""Environment variables, by name."""

Arguments = Annotated[tuple[str, ...], Field(max_length=MAX_ARGUMENTS, fail_fast=True)]
"""A program and its arguments."""


class Frozen(BaseModel):
    """An immutable value, without unknown fields and without numbers that JSON can't represent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputFile(Frozen):
    """A file that comes with a batch. `alias` is the name under which a job sees it.

    `mode` and `mtime_ns` are those of the person's file. None: older versions lack them.
    """

    alias: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: Bytes
    executable: bool = False
    mode: Mode | None = None
    mtime_ns: Nanoseconds | None = None


class GpuKind(Frozen):
    """What each GPU of a job must be. `model` is a regular expression for a part of its name, in any case."""

    memory_bytes: Bytes = 0
    model: GpuModel = ""


class Resources(Frozen):
    """A job's share of a node. `memory_bytes` 0: none reserved. `gpu_kind` None: any GPUs."""

    cpus: Cpus = 1
    memory_bytes: Bytes = 0
    gpus: GpuCount = 0
    gpu_kind: GpuKind | None = None


class Job(Frozen):
    """The fields of every kind of job. None means the batch's value."""

    name: Name
    files: tuple[InputFile, ...] = Field(default=(), max_length=MAX_FILES, fail_fast=True)
    resources: Resources | None = None
    timeout_s: Timeout | None = None
    retries: Retries | None = None
    env: Environment = Field(default_factory=dict)


class PythonJob(Job):
    """`script` is run as `python3 job.py <cores>` in the built folder."""

    script: InputFile


class CommandJob(Job):
    """`command` is an argument list, or one string for `sh -c`."""

    command: str | Arguments = Field(min_length=1)


class ApptainerJob(Job):
    """The image's app `distribute` is run, with the number of cores as its argument."""


class PythonWork(Frozen):
    """Python scripts. `build` runs once on each node, before the first job there, as `python3 build.py`."""

    kind: Literal["python"] = "python"
    build: InputFile
    jobs: tuple[PythonJob, ...] = Field(min_length=1, max_length=MAX_JOBS, fail_fast=True)


class CommandWork(Frozen):
    """Commands of installed programs. `build` is one string for `sh -c`, and runs once on each node."""

    kind: Literal["command"] = "command"
    build: str | None = None
    jobs: tuple[CommandJob, ...] = Field(min_length=1, max_length=MAX_JOBS, fail_fast=True)


class ApptainerWork(Frozen):
    """One image; each job runs it once. Every job gets a fresh writable folder at each of the `mounts`."""

    kind: Literal["apptainer"] = "apptainer"
    image: InputFile
    mounts: tuple[str, ...] = Field(default=(), max_length=MAX_MOUNTS, fail_fast=True)
    jobs: tuple[ApptainerJob, ...] = Field(min_length=1, max_length=MAX_JOBS, fail_fast=True)


Work = Annotated[PythonWork | CommandWork | ApptainerWork, Field(discriminator="kind")]


class JobsSeen:
    """Checks rules that concern all jobs of a batch, some jobs at a time."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._needs: set[tuple[Resources | None, int | None]] = set()

    def add(self, jobs: Sequence[Job]) -> None:
        """Check some more jobs.

        Raises:
            ValueError: two jobs have one name, or there are too many jobs or needs.
        """
        names = [job.name for job in jobs]
        if len(self._names) + len(names) > MAX_JOBS:
            raise ValueError(f"it has more than {MAX_JOBS} jobs")
        if len(set(names)) < len(names) or not self._names.isdisjoint(names):
            counted = Counter([*self._names.intersection(names), *names])
            raise ValueError(f"two jobs are called {counted.most_common(1)[0][0]!r}")
        self._names.update(names)
        self._needs.update({(job.resources, job.retries) for job in jobs})
        if len(self._needs) > MAX_NEEDS:
            raise ValueError(
                f"its jobs have {len(self._needs)} different needs, and a batch may have {MAX_NEEDS}"
            )


class BatchSpec(Frozen):
    """A whole batch. `files` are seen by the build and by every job; `resources` None: a whole node.

    `build_timeout_s` is the wall time that a build may take. It counts nothing to the timeouts of jobs.
    `rebuild`: use no build that a node has kept of another batch. None: use it, if it is the same build.
    """

    v: Literal[1] = 1
    namespace: Name
    batch: Name
    matrix_user: Label | None = None
    capabilities: Capabilities = frozenset()
    priority: Priority = 0
    resources: Resources | None = None
    timeout_s: Timeout | None = None
    build_timeout_s: Timeout | None = None
    rebuild: Literal["always"] | None = None
    retries: Retries = 0
    env: Environment = Field(default_factory=dict)
    files: tuple[InputFile, ...] = Field(default=(), max_length=MAX_FILES, fail_fast=True)
    work: Work

    @model_validator(mode="after")
    def _jobs_fit_together(self) -> BatchSpec:
        JobsSeen().add(self.work.jobs)
        return self

    @property
    def id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)

    @property
    def needs_build(self) -> bool:
        """Does the batch have a build, which runs once on each node before the first job there?"""
        return self.work.kind == "python" or (self.work.kind == "command" and self.work.build is not None)

    @property
    def required_capabilities(self) -> frozenset[str]:
        """The capabilities that a node must have. The kind `apptainer` adds its own."""
        if self.work.kind == "apptainer":
            return self.capabilities | {"apptainer"}
        return self.capabilities
