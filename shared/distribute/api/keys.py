"""The keys of a jobs file that functions take as arguments, with their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from numbers import Real
from os import PathLike
from typing import Literal, TypeAlias, TypedDict

from distribute.config.sections.file_refs import FileRef
from distribute.config.sections.needs_sections import Resources, SignalBefore
from distribute.config.sections.slurm_section import Slurm

Path: TypeAlias = str | PathLike[str]
Files: TypeAlias = Sequence[FileRef | Path]
Variables: TypeAlias = Mapping[str, str | float]
"""Environment variables. A number is its text."""

Time: TypeAlias = float | str
"""Seconds, or a text such as `1h30m`."""


class CommonKeys(TypedDict, total=False):
    """What `meta` may have and a job, too."""

    resources: Resources | Mapping[str, object] | None
    timeout: Time | None
    grace: Time | None
    signal_before: SignalBefore | Mapping[str, object] | None
    retries: int | str | None


class JobKeys(CommonKeys, total=False):
    """What a job of any kind may have."""

    env: Variables


class MetaKeys(CommonKeys, total=False):
    """What `meta` may have beside the names, the capabilities, and the Matrix user."""

    notify: Sequence[Literal["start", "first_failure"]]
    priority: int
    build_timeout: Time | None
    rebuild: Literal["always"] | None
    after: Sequence[str | Mapping[str, str]]
    max_running: int | None
    max_failures: int | None
    not_before: datetime | str | None
    setup: str | Sequence[str]
    shell: str | None


class SlurmKeys(TypedDict, total=False):
    """The options of sbatch that the first `distribute` knows."""

    job_name: str | None
    output: str | None
    nodes: int | None
    ntasks: int | None
    cpus_per_task: int | None
    mem_per_cpu: str | None
    hint: str | None
    time: str | None
    partition: str | None
    account: str | None
    mail_user: str | None
    mail_type: str | None


SlurmOptions: TypeAlias = Slurm | Mapping[str, object]


def as_written(value: object) -> object:
    """A value as a jobs file has it: paths are texts, mappings and sequences of any kind are plain ones."""
    if isinstance(value, PathLike):
        return value.__fspath__()
    if isinstance(value, Mapping):
        return {key: as_written(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [as_written(item) for item in value]
    return value


def in_texts(value: object) -> object:
    """The same, for arguments and environment variables: in a jobs file, a number is a text, too."""
    if isinstance(value, Mapping):
        return {key: in_texts(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [in_texts(item) for item in value]
    return str(value) if isinstance(value, Real) and not isinstance(value, bool) else as_written(value)
