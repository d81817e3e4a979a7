"""What a batch is: its jobs, what they need, and the files they come with.

A `BatchSpec` is complete: with it and the contents of its files (by digest) a job can be run
anywhere. It is carried whole by the `submitted` event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from distribute.core.ids import BatchId, Name

MAX_JOBS = 100_000

MAX_NEEDS = 256
"""How many different resources (with retries) the jobs of a batch may ask for: to the scheduler each is a
queue of its own, and a decision looks at every one. Measured: 1,000 of them make it fifteen times slower."""
MAX_CPUS = 2**16
MAX_GPUS = 2**10
MAX_PRIORITY = 100
"""The least is its negative."""
MAX_RETRIES = 100
MAX_TIMEOUT_S = 10**10
"""About 300 years: what can still be added to a date."""

# One source of bounds: what a person may write in a file, and what may be submitted.

Bytes = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A size, at most what stores and columns of 64 bits can hold."""

Cpus = Annotated[int, Field(ge=1, le=MAX_CPUS)]
GpuCount = Annotated[int, Field(ge=0, le=MAX_GPUS)]
Priority = Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]
Retries = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
Timeout = Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S)]
"""The wall time that a job may take, in seconds."""

MAX_ARGUMENTS = 100_000
MAX_CAPABILITIES = 1000
MAX_FILES = 100_000
MAX_MOUNTS = 1000
MAX_VARIABLES = 1000
"""How many there may be in one list. The lists also stop at their first mistake (`fail_fast`): whoever reads
a forged event must not collect millions of errors, which cost a kilobyte each."""

Capabilities = Annotated[
    frozenset[Annotated[str, StringConstraints(max_length=256)]],
    Field(max_length=MAX_CAPABILITIES, fail_fast=True),
    PlainSerializer(sorted, return_type=list[str], when_used="json"),
]
"""What nodes have and jobs need, by name. Stored in order, so that equal events are equal bytes."""


def _few_variables(value: object) -> object:
    """Look at the number before pydantic looks at each."""
    if isinstance(value, dict) and len(value) > MAX_VARIABLES:
        raise ValueError(f"{len(value)} variables; {MAX_VARIABLES} are allowed")
    return value


Environment = Annotated[dict[str, str], BeforeValidator(_few_variables)]
"""Environment variables, by name."""

Arguments = Annotated[tuple[str, ...], Field(max_length=MAX_ARGUMENTS, fail_fast=True)]
"""A program and its arguments."""


class Frozen(BaseModel):
    """A value: immutable, with no room for unknown fields, nor for numbers that JSON can't write."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputFile(Frozen):
    """A file that comes with a batch. `alias` is the name under which a job sees it."""

    alias: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: Bytes
    executable: bool = False


class Resources(Frozen):
    """A job's share of a node. `memory_bytes` 0: none reserved."""

    cpus: Cpus = 1
    memory_bytes: Bytes = 0
    gpus: GpuCount = 0


class Job(Frozen):
    """What every kind of job has. `None` means: as the batch says."""

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
    """Python scripts. `build` is run once a node, before its first job, as `python3 build.py`."""

    kind: Literal["python"] = "python"
    build: InputFile
    jobs: tuple[PythonJob, ...] = Field(min_length=1, max_length=MAX_JOBS, fail_fast=True)


class CommandWork(Frozen):
    """Commands of programs that are there. `build` is one string for `sh -c`, run once a node."""

    kind: Literal["command"] = "command"
    build: str | None = None
    jobs: tuple[CommandJob, ...] = Field(min_length=1, max_length=MAX_JOBS, fail_fast=True)


class ApptainerWork(Frozen):
    """One image, run once a job. `mounts` are container paths, each a fresh writable folder a job."""

    kind: Literal["apptainer"] = "apptainer"
    image: InputFile
    mounts: tuple[str, ...] = Field(default=(), max_length=MAX_MOUNTS, fail_fast=True)
    jobs: tuple[ApptainerJob, ...] = Field(min_length=1, max_length=MAX_JOBS, fail_fast=True)


Work = Annotated[PythonWork | CommandWork | ApptainerWork, Field(discriminator="kind")]


class JobsSeen:
    """What jobs of a batch must have among them, checked some jobs at a time."""

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
    """A whole batch. `files` are seen by the build and by every job; `resources` None: a whole node."""

    v: Literal[1] = 1
    namespace: Name
    batch: Name
    matrix_user: str | None = None
    capabilities: Capabilities = frozenset()
    priority: Priority = 0
    resources: Resources | None = None
    timeout_s: Timeout | None = None
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
        """Is there something to run once a node, before its first job?"""
        return self.work.kind == "python" or (self.work.kind == "command" and self.work.build is not None)

    @property
    def required_capabilities(self) -> frozenset[str]:
        """What a node must have: as written, and `apptainer` for its own kind."""
        if self.work.kind == "apptainer":
            return self.capabilities | {"apptainer"}
        return self.capabilities
