"""Specifications of batches: the jobs, their needs, and their files.

A `BatchSpec` is complete: with it and the contents of its files (by digest) a job can be run anywhere. The
`submitted` event contains it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from distribute.core.frozen import Frozen as Frozen  # others take it from here
from distribute.core.ids import BatchId, Label, Name
from distribute.core.spec.git_commit import MAX_PATTERN_CHARS, GitCommit
from distribute.core.spec.gpu_kind import MAX_MODEL_CHARS, check_model
from distribute.core.words import MAX_BYTES

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

DEFAULT_MAX_PROCESSES = 4096
"""So many processes and threads a job may have at a node that is not set to another number."""

DEFAULT_MAX_UNSEEN_S = 24 * 3600.0
"""For so many seconds, jobs run on without their node-runner at a node that is not set to another time."""

DEFAULT_SUPERSEDED_KEEP_S = 7 * 24 * 3600.0
"""For so many seconds, a node that is not set to another time keeps results that do not count."""

MAX_TIMEOUT_S = 10**10
"""About 300 years: this can still be added to a date."""

DEFAULT_GRACE_S = 5.0
"""The grace period of a node that is not set to another."""
MAX_GRACE_S = 600.0
"""The longest grace period. An owner who wants the computer back waits for no more than this."""

# One source of bounds: what a person may write in a file, and what may be submitted.

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
Count = Annotated[int, Field(ge=1, le=MAX_JOBS)]
"""A number of jobs of a batch."""

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
Time = Annotated[AwareDatetime, Field(ge=EARLIEST, le=LATEST)]
"""A time within bounds that every clock, column and JSON reader can represent."""

EventId = Annotated[
    str,
    StringConstraints(max_length=64, pattern=r"^[0-9A-Za-z_-]+$"),
    WithJsonSchema({"type": "string", "pattern": "^[0-9A-Za-z_-]{1,64}$"}),
]
"""An event's id. It goes into a header of the broker's protocol. For its pattern, see `Sha256`."""

Timeout = Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S)]
"""The wall time that a job may take, in seconds."""
Grace = Annotated[float, Field(ge=0, le=MAX_GRACE_S)]
"""Seconds from SIGTERM to SIGKILL. 0: SIGKILL at once."""
SignalName = Literal["ALRM", "CONT", "HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "XCPU"]
"""Signals that can warn a job: a program can handle them, and none of them means a fault of its own."""

MAX_ARGUMENTS = 100_000
MAX_AFTER = 100
MAX_CAPABILITIES = 1000
MAX_FILES = 100_000
MAX_MOUNTS = 1000
MAX_SETUP_LINES = 1000
MAX_VARIABLES = 1000
"""Max. entries of a list. Validation of the lists stops at the first mistake (`fail_fast`), because a forged
event could cause millions of errors, which take a kilobyte each."""
MAX_LISTED = 10_000
"""Max. nodes that a head lists: what anybody writes must not fill the memory."""

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


Scalar = str | int | float | bool
"""The value of a parameter."""

Parameters = Annotated[dict[str, Scalar], BeforeValidator(_few_variables)]
"""What a job of a sweep is called with, by name. Nothing here reads them: they stand beside its results."""

Environment = Annotated[dict[str, str], BeforeValidator(_few_variables)]
"""Environment variables, by name."""

Arguments = Annotated[tuple[str, ...], Field(max_length=MAX_ARGUMENTS, fail_fast=True)]
"""A program and its arguments."""


SetupLines = Annotated[tuple[str, ...], Field(max_length=MAX_SETUP_LINES, fail_fast=True)]
"""Lines for a shell, which prepare the environment of a build or a job."""

LOGIN_SHELL = ("bash", "-l")
"""Runs the setup lines of a batch that names no shell."""


Sha256 = Annotated[
    str,
    Field(min_length=64, max_length=64, pattern=r"^[0-9a-f]+$"),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
]
"""A digest. Its length stands beside its pattern: each copy of `{64}` takes 15 kB once used, of `+` 1 kB."""


class InputObject(Frozen):
    """An object of the store that has contents of inputs."""

    sha256: Sha256
    size_bytes: Bytes


class InputFile(Frozen):
    """A file that comes with a batch. `alias` is the name under which a job sees it.

    `mode` and `mtime_ns` are those of the person's file. None: older versions lack them. Its content lies in
    the object `pack` from `offset` on, beside those of other small files. None: it is an object of its own.
    """

    alias: Name
    sha256: Sha256
    size_bytes: Bytes
    executable: bool = False
    mode: Mode | None = None
    mtime_ns: Nanoseconds | None = None
    pack: InputObject | None = None
    offset: Bytes | None = None

    @property
    def stored(self) -> InputObject:
        """The object that has its content."""
        return self.pack or InputObject(sha256=self.sha256, size_bytes=self.size_bytes)


class InputFolder(Frozen):
    """Files and folders that come with a batch. The object `sha256` lists them (`core.folder_listing`).

    A job sees them in the folder `alias`. None: directly in `input`; then they are what `pattern` matched.
    Globs of one list that share a name at the top of `input` are one folder, and lines of its `pattern`.
    `content` is a digest of all names, contents, modes and links: it does not depend on times. `entries` and
    `size_bytes` count everything that is listed. `git`: the commit that it is; None: it is of no repository.
    """

    alias: Name | None = None
    pattern: str | None = Field(default=None, max_length=MAX_PATTERN_CHARS)
    sha256: Sha256
    listing_bytes: Bytes
    content: Sha256
    entries: Annotated[int, Field(ge=0, le=2**31 - 1)]
    size_bytes: Bytes
    git: GitCommit | None = None


InputFolders = Annotated[tuple[InputFolder, ...], Field(min_length=1, max_length=MAX_FILES, fail_fast=True)]


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


class SignalBefore(Frozen):
    """Warn a job by this signal, so many seconds before its timeout."""

    signal: SignalName
    before_s: Timeout


class Job(Frozen):
    """The fields of every kind of job. None means the batch's value; of `kept`, that it runs."""

    name: Name
    files: tuple[InputFile, ...] = Field(default=(), max_length=MAX_FILES, fail_fast=True)
    folders: InputFolders | None = None
    resources: Resources | None = None
    timeout_s: Timeout | None = None
    grace_s: Grace | None = None
    signal_before: SignalBefore | None = None
    retries: Retries | None = None
    env: Environment = Field(default_factory=dict)
    parameters: Parameters | None = None
    kept: Literal[True] | None = None


class PythonJob(Job):
    """`script` is run as `python3 job.py` in the built folder, with `args`; None: the number of cores."""

    script: InputFile
    args: Arguments | None = None


class CommandJob(Job):
    """`command` is an argument list, or one string for `sh -c` or the batch's shell."""

    command: str | Arguments = Field(min_length=1)


class ApptainerJob(Job):
    """The image's app `distribute` is run, with the number of cores as its argument."""


class PythonWork(Frozen):
    """Python scripts. `build` runs once on each node, before the first job there, as `python3 build.py`."""

    kind: Literal["python"] = "python"
    build: InputFile | None = None
    jobs: tuple[PythonJob, ...] = Field(min_length=1, max_length=MAX_JOBS, fail_fast=True)


class CommandWork(Frozen):
    """Commands of installed programs. `build` is one string for `sh -c` or the batch's shell.

    The build runs once on each node.
    """

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


When = Literal["succeeded", "any"]
"""How a batch that is waited for has to end."""


NotifyOf = Literal["start", "first_failure"]
"""What the person of a batch is told of it only on request."""


class After(Frozen):
    """A batch to wait for. `submission` is the id of its `submitted`: another batch may get its name."""

    namespace: Name
    batch: Name
    submission: EventId
    when: When = "succeeded"


class BatchSpec(Frozen):
    """A whole batch. `files` and `folders` are seen by the build and by every job.

    `notify`: what its person is told of it beside its end, the failure of its build and its kill by others.
    `resources` None: a whole node.
    `build_timeout_s` is the wall time that a build may take. It counts nothing to the timeouts of jobs.
    `grace_s` is for jobs and the build. None: the node's.
    `rebuild`: use no build that a node has kept of another batch. None: use it, if it is the same build.
    `setup` runs before the build and before each job, in the process that becomes it. `shell` is the program
    that runs `setup`, and the commands that are one string, with its options; None: the usual ones.
    `max_running`: so many of its jobs are with nodes at a time. Once `max_failures` jobs have failed for
    good, no other begins. None begins before the time `not_before`, nor before the batches of `after` have
    ended.
    `last_job` is the name of the last of its jobs, if that runs when all others are over, and finds what they
    left.
    """

    v: Literal[1] = 1
    namespace: Name
    batch: Name
    matrix_user: Label | None = None
    notify: tuple[NotifyOf, ...] | None = Field(default=None, min_length=1, max_length=2, fail_fast=True)
    capabilities: Capabilities = frozenset()
    priority: Priority = 0
    resources: Resources | None = None
    timeout_s: Timeout | None = None
    build_timeout_s: Timeout | None = None
    grace_s: Grace | None = None
    signal_before: SignalBefore | None = None
    rebuild: Literal["always"] | None = None
    setup: SetupLines | None = Field(default=None, min_length=1)
    shell: Arguments | None = Field(default=None, min_length=1)
    retries: Retries = 0
    max_running: Count | None = None
    max_failures: Count | None = None
    not_before: Time | None = None
    after: tuple[After, ...] | None = Field(default=None, min_length=1, max_length=MAX_AFTER, fail_fast=True)
    last_job: Name | None = None
    env: Environment = Field(default_factory=dict)
    files: tuple[InputFile, ...] = Field(default=(), max_length=MAX_FILES, fail_fast=True)
    folders: InputFolders | None = None
    work: Work

    @model_validator(mode="after")
    def _jobs_fit_together(self) -> BatchSpec:
        JobsSeen().add(self.work.jobs)
        if self.last_job is not None and any(job.name == self.last_job for job in self.work.jobs[:-1]):
            raise ValueError(f"{self.last_job!r} is to run last, and stands before other jobs")
        return self

    @property
    def id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)

    @property
    def needs_build(self) -> bool:
        """Does the batch have a build, which runs once on each node before the first job there?"""
        return self.work.kind != "apptainer" and self.work.build is not None

    @property
    def required_capabilities(self) -> frozenset[str]:
        """The capabilities that a node must have. The kind `apptainer` adds its own."""
        if self.work.kind == "apptainer":
            return self.capabilities | {"apptainer"}
        return self.capabilities
