"""The contents of `distribute-jobs.yaml`: one class for each section, one field for each key.

The models accept the values of YAML (text, lists, mappings) and plain Python values. The module `check`
checks the files themselves, and rules that concern several keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticKnownError

from distribute.config.sections.after import Afters, check_afters
from distribute.config.sections.checked_texts import LOGIN, Mounts, Shell
from distribute.config.sections.file_refs import FileRef, Files
from distribute.config.sections.forms import TEXT_TYPES, Form
from distribute.config.sections.moments import Moment
from distribute.config.sections.needs_sections import Resources, ResourcesPattern, SignalBefore, SignalPattern
from distribute.config.sections.placeholders import OrPlaceholders
from distribute.config.sections.section import (
    Capabilities,
    Duration,
    Env,
    FirstWrong,
    GraceTime,
    LeanSection,
    Name,
    NonEmpty,
    Section,
    Text,
    at_most,
    once,
)
from distribute.config.sections.slurm_section import Slurm, SlurmPattern
from distribute.config.sections.sweep_section import PatternFile, PatternInputs, SweepSection
from distribute.config.sections.written_jobs import FINALLY
from distribute.core.ids import check_label
from distribute.core.spec.specs import (
    MAX_ARGUMENTS,
    MAX_JOBS,
    MAX_SETUP_LINES,
    Count,
    NotifyOf,
    Priority,
    Retries,
)
from distribute.core.words import quoted

_MATRIX_USER = re.compile(r"@[^\s:]+:(\[[0-9A-Fa-f:.]+\]|[^\s:@\[\]]+)(:[0-9]{1,5})?")
"""The server is a name or an address, maybe with a port. Older servers gave names of almost any characters.
Source: https://spec.matrix.org/latest/appendices/#user-identifiers"""


def _check_matrix_user(user: str) -> str:
    if not _MATRIX_USER.fullmatch(user):
        raise ValueError(f'{quoted(user)} is not a Matrix user; write "@jane:example.org", with the quotes')
    return check_label(user)


MatrixUser = Annotated[
    str,
    AfterValidator(_check_matrix_user),
    Form("a Matrix user", pattern=_MATRIX_USER.pattern, advice='write "@jane:example.org", with the quotes'),
]


_MOST_WISHES = 100


def _lines(written: object) -> object:
    """One text has a setup line on each of its own lines."""
    if not isinstance(written, str):
        return written
    return tuple(line for line in written.splitlines() if line.strip())


SetupLines = Annotated[
    tuple[NonEmpty, ...],
    at_most(MAX_SETUP_LINES, "lines"),
    BeforeValidator(_lines),
    once("setup"),
    Form("a list of lines, or one text", ("array", *TEXT_TYPES)),
]
"""Lines for a shell: a list, or one text."""


def _each_once(wishes: tuple[NotifyOf, ...]) -> tuple[NotifyOf, ...]:
    return tuple(dict.fromkeys(wishes))


Notify = Annotated[
    tuple[NotifyOf, ...],
    at_most(_MOST_WISHES, "entries"),
    AfterValidator(_each_once),
]
"""What to tell the person of a batch beside its end, each once."""


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


def _not_one_text(args: object) -> object:
    """Python scripts run without a shell, so nothing would split one text into arguments."""
    if not isinstance(args, str):
        return args
    items = args.split()
    as_list = f"[{', '.join(items)}]" if 0 < len(items) <= _FEW and _PLAIN.fullmatch(args) else "[--re, 100]"
    raise ValueError(f"no shell splits {quoted(args)} into arguments; write a list, such as args: {as_list}")


_PLAIN = re.compile(r"[A-Za-z0-9 _./=+-]+", re.ASCII)
"""A text whose words need no quotes in YAML."""
_FEW = 5

Args = Annotated[
    tuple[Text, ...],
    at_most(MAX_ARGUMENTS, "arguments"),
    BeforeValidator(_not_one_text),
    once("args"),
]
"""The arguments of a Python script."""


class Meta(Section):
    """The name of the batch, and what its jobs need.

    `timeout` is the wall time of a job in seconds, `build_timeout` that of a build. `grace` is the time from
    SIGTERM to SIGKILL, wherever a job or build is ended. `rebuild`: don't use the same build of another
    batch, if a node has kept it. `max_running`: so many of its jobs run at a time. Once `max_failures` have
    failed, no other begins; and none begins before `not_before`. `setup` are lines that `shell` runs before
    the build and before each job.
    """

    namespace: Name = Field(examples=["jane"])
    batch_name: Name = Field(examples=["sweep3"])
    matrix: MatrixUser | None = Field(default=None, examples=['"@jane:example.org"'])
    notify: Notify = Field(default=(), examples=["[start, first_failure]"])
    capabilities: Capabilities = Field(default=(), examples=["[gpu, python3]"])
    priority: Priority = Field(default=0, examples=["10"])
    resources: Resources | None = Field(default=None, examples=["{cpus: 4, memory: 8G}"])
    timeout_s: Duration | None = Field(default=None, alias="timeout", examples=["2h"])
    build_timeout_s: Duration | None = Field(default=None, alias="build_timeout", examples=["1h"])
    grace_s: GraceTime | None = Field(default=None, alias="grace", examples=["30s"])
    signal_before: SignalBefore | None = Field(default=None, examples=["{signal: USR1, seconds: 120}"])
    retries: Retries = Field(default=0, examples=["1"])
    max_running: Count | None = Field(default=None, examples=["20"])
    max_failures: Count | None = Field(default=None, examples=["5"])
    not_before: Moment | None = Field(default=None, examples=["2030-01-31T18:00"])
    after: Afters = Field(default=(), examples=["[mesh]"])
    rebuild: Literal["always"] | None = Field(default=None, examples=["always"])
    setup: SetupLines = Field(default=(), examples=["[module load gcc]"])
    shell: Shell | None = Field(default=None, examples=[LOGIN])

    @field_validator("after")
    @classmethod
    def _waits_for_others(cls, after: Afters, before: ValidationInfo) -> Afters:
        names = before.data
        if "namespace" in names and "batch_name" in names:  # else these are wrong, which is reported
            check_afters(after, names["namespace"], names["batch_name"])
        return after


class JobNeeds(LeanSection):
    """What a job of any kind may need, a single one or those of a sweep. None: as in `meta`."""

    resources: Resources | None = Field(default=None, examples=["{cpus: 4, memory: 8G}"])
    timeout_s: Duration | None = Field(default=None, alias="timeout", examples=["2h"])
    grace_s: GraceTime | None = Field(default=None, alias="grace", examples=["30s"])
    signal_before: SignalBefore | None = Field(default=None, examples=["{signal: USR1, seconds: 120}"])
    retries: Retries | None = Field(default=None, examples=["1"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    slurm: Slurm | None = Field(default=None, examples=["{partition: long}"])


class _Named(Section):
    name: Name = Field(examples=["re100"])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])


class JobEntry(JobNeeds, _Named):
    """What a job of any kind may have."""


class JobPattern(Section):
    """What each job of a sweep has. Values may have placeholders, such as `{re}`. Else as `JobNeeds`."""

    elsewhere: ClassVar[Mapping[str, str]] = {"name": 'the sweep names its jobs: sweep: {name: "re{re}"}'}

    resources: ResourcesPattern | None = Field(default=None, examples=['{cpus: "{n}", memory: 8G}'])
    timeout_s: OrPlaceholders[Duration] | None = Field(default=None, alias="timeout", examples=['"{hours}h"'])
    grace_s: OrPlaceholders[GraceTime] | None = Field(default=None, alias="grace", examples=["30s"])
    signal_before: SignalPattern | None = Field(default=None, examples=["{signal: USR1, seconds: 120}"])
    retries: OrPlaceholders[Retries] | None = Field(default=None, examples=["1"])
    env: Env = Field(default_factory=dict, examples=['{RE: "{re}"}'])
    slurm: SlurmPattern | None = Field(default=None, examples=['{time: "{hours}:00:00"}'])
    required_files: PatternInputs = Field(default=(), examples=['["data/{mesh}.dat"]'])


def _not_empty(jobs: tuple[J, ...]) -> tuple[J, ...]:
    """As `min_length` would say it, which counts only the right ones if it stands before `FirstWrong`."""
    if not jobs:
        raise PydanticKnownError("too_short", {"field_type": "Tuple", "min_length": 1, "actual_length": 0})
    return jobs


J = TypeVar("J", bound=JobEntry)
Jobs = Annotated[
    tuple[J, ...],
    Field(max_length=MAX_JOBS, json_schema_extra={"minItems": 1}),
    FirstWrong,
    AfterValidator(_not_empty),
]


class PythonJob(JobEntry):
    """`file` runs as `job.py`, with `args`. None: with the number of cores."""

    file: FileRef = Field(examples=["run.py"])
    args: Args | None = Field(default=None, examples=['["--re", "100"]'])


class PythonPattern(JobPattern):
    """A job of python for each point of a sweep."""

    file: PatternFile = Field(examples=["run.py"])
    args: Args | None = Field(default=None, examples=['["--re", "{re}"]'])


class _Commanded(Section):
    command: Command = Field(examples=['["./solver", "--re", "100"]'])


class CommandJob(_Commanded, JobEntry):
    """`command` is a list of arguments, or one text for `sh -c`."""


class CommandPattern(_Commanded, JobPattern):
    """A job of command for each point of a sweep."""


class ApptainerJob(JobEntry):
    """Runs the image's app `distribute`."""


class FinalJob(JobEntry):
    """The job that runs when all others are over. It has the keys of a job of the batch's kind."""

    name: Name = Field(default=FINALLY, examples=["plot"])
    file: FileRef | None = Field(default=None, examples=["plot.py"])
    args: Args | None = Field(default=None, examples=['["--log"]'])
    command: Command | None = Field(default=None, examples=["python3 input/plot.py"])


class PythonInitialize(Section):
    """`build_file` runs once on each node, before the first job there."""

    build_file: FileRef | None = Field(default=None, examples=["build.py"])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])


class CommandInitialize(Section):
    """`build` is one text for `sh -c`. It runs once on each node, before the first job there."""

    build: NonEmpty | None = Field(default=None, examples=['"make -j$DISTRIBUTE_CPUS"'])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])


class ApptainerInitialize(Section):
    """`required_mounts` are paths in the container. Every job gets a fresh writable folder at each."""

    sif: FileRef = Field(examples=["solver.sif"])
    required_files: Files = Field(default=(), examples=["[data/mesh.dat]"])
    required_mounts: Mounts = Field(default=(), examples=["[/solver/cases]"])


class PythonBatch(Section):
    """Python scripts."""

    initialize: PythonInitialize = Field(default=PythonInitialize(), examples=["{build_file: build.py}"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    jobs: Jobs[PythonJob] = Field(default=(), examples=["[{name: re100, file: run.py}]"])
    job: PythonPattern | None = Field(default=None, examples=['{file: run.py, args: ["--re", "{re}"]}'])


class CommandBatch(Section):
    """Commands of programs that the nodes have, or that the build makes."""

    initialize: CommandInitialize = Field(default=CommandInitialize(), examples=["{build: make}"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    jobs: Jobs[CommandJob] = Field(default=(), examples=["[{name: re100, command: ./solver --re 100}]"])
    job: CommandPattern | None = Field(default=None, examples=['{command: "./solver --re {re}"}'])


class ApptainerBatch(Section):
    """One image; each job runs it once."""

    initialize: ApptainerInitialize = Field(examples=["{sif: solver.sif}"])
    env: Env = Field(default_factory=dict, examples=["{MY_SETTING: fast}"])
    jobs: Jobs[ApptainerJob] = Field(default=(), examples=["[{name: re100}]"])
    job: JobPattern | None = Field(default=None, examples=['{env: {RE: "{re}"}}'])


Kind: TypeAlias = Literal["python", "command", "apptainer"]
KINDS: tuple[Kind, ...] = ("python", "command", "apptainer")


class JobsFile(Section):
    """The whole file. It has exactly one of the kinds: `check` makes sure."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "singularity": "Singularity is called Apptainer now: write 'apptainer'"
    } | dict.fromkeys(
        ("docker", "podman", "container"),
        "write 'apptainer', and make its image of that one: see docs/containers.md, under Docker",
    )

    meta: Meta = Field(examples=["{namespace: jane, batch_name: sweep3}"])
    python: PythonBatch | None = Field(
        default=None, examples=["{initialize: {build_file: build.py}, jobs: [{name: re100, file: run.py}]}"]
    )
    command: CommandBatch | None = Field(
        default=None, examples=["{jobs: [{name: re100, command: ./solver --re 100}]}"]
    )
    apptainer: ApptainerBatch | None = Field(
        default=None, examples=["{initialize: {sif: solver.sif}, jobs: [{name: re100}]}"]
    )
    sweep: SweepSection | None = Field(
        default=None, examples=['{grid: {re: [100, 400], n: [48, 64]}, name: "re{re}-n{n}"}']
    )
    finally_: FinalJob | None = Field(
        default=None, alias="finally", examples=["{name: plot, command: python3 input/plot.py}"]
    )
    slurm: Slurm | None = Field(default=None, examples=["{partition: long}"])

    @property
    def kind(self) -> Kind:
        """The kind of the batch, which is the key of its section.

        Raises:
            ValueError: the batch has no kind.
        """
        for kind in KINDS:
            if getattr(self, kind) is not None:
                return kind
        raise ValueError(f"the batch {self.meta.batch_name!r} has no kind; give it one of {', '.join(KINDS)}")

    @property
    def work(self) -> PythonBatch | CommandBatch | ApptainerBatch:
        """The section of the batch's kind. Raises as `kind`."""
        work: PythonBatch | CommandBatch | ApptainerBatch = getattr(self, self.kind)
        return work

    def without_jobs(self) -> JobsFile:
        """The file without the jobs that are written out."""
        return self.model_copy(update={self.kind: self.work.model_copy(update={"jobs": ()})})
