"""The section `slurm` of a batch or a job: options of sbatch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from distribute.config.sections.placeholders import OrPlaceholders
from distribute.config.sections.problems import nearest, shown
from distribute.config.sections.section import Section, Text
from distribute.config.sections.written_jobs import FINALLY, jobs_of
from distribute.config.yaml.yaml_source import Document, Loc, Value
from distribute.config.yaml.yaml_syntax import Found, Problem
from distribute.core.words import quoted

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)

_FLAG_NAMES = """
contiguous exclusive get_user_env help hold ignore_pbs nice no_kill no_requeue oom_kill_step overcommit
oversubscribe parsable propagate quiet reboot requeue spread_job stepmgr test_only usage use_min_nodes
verbose version wait
"""
_OTHER_NAMES = """
account acctg_freq array batch bb bbf begin chdir cluster_constraint clusters comment consolidate_segments
constraint container container_id core_spec cores_per_socket cpu_freq cpus_per_gpu cpus_per_task deadline
delay_boot dependency distribution error exclude export export_file extra extra_node_info gid gpu_bind
gpu_freq gpus gpus_per_node gpus_per_socket gpus_per_task gres gres_flags hint input job_name
kill_on_invalid_dep licenses mail_type mail_user mcs_label mem mem_bind mem_per_cpu mem_per_gpu mincpus
network nodefile nodelist nodes ntasks ntasks_per_core ntasks_per_gpu ntasks_per_node ntasks_per_socket
open_mode output partition power prefer priority profile qos reservation resv_ports segment signal
sockets_per_node spread_segments switches thread_spec threads_per_core time time_min tmp tres_bind
tres_per_task uid wait_all_nodes wckey wrap
"""
_FLAGS = frozenset(_FLAG_NAMES.split())
"""Options of sbatch that need no value."""
_OPTIONS = _FLAGS.union(_OTHER_NAMES.split())
"""The long options of sbatch, with `_` for `-`. Source: the manual pages of SLURM 22.05 and newer."""

_YES = ("", "true", "yes", "on")
_NO = ("false", "no", "off")


def _check_line(text: str) -> str:
    line = text.strip()
    if len(line.splitlines()) > 1:
        raise ValueError(f"{quoted(text)} has more than one line; write the option on one line")
    return line


Line = Annotated[Text, AfterValidator(_check_line)]
"""One line of text."""


class Slurm(Section):
    """Options of sbatch, under its names, with `_` for `-`. A job's options override those of its batch.

    Options that have no field here are passed on to sbatch as they are: `model_extra` has them by name. An
    empty text means that the option has no value, as in `--exclusive`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Line]

    job_name: Line | None = Field(default=None, examples=["re100"])
    output: Line | None = Field(default=None, examples=['"%x-%j.out"'])
    nodes: int | None = Field(default=None, ge=1, examples=["1"])
    ntasks: int | None = Field(default=None, ge=1, examples=["4"])
    cpus_per_task: int | None = Field(default=None, ge=1, examples=["1"])
    mem_per_cpu: Line | None = Field(default=None, examples=["10M"])
    hint: Line | None = Field(default=None, examples=["nomultithread"])
    time: Line | None = Field(default=None, examples=['"00:30:00"'])
    partition: Line | None = Field(default=None, examples=["long"])
    account: Line | None = Field(default=None, examples=["fluids"])
    mail_user: Line | None = Field(default=None, examples=["jane@example.org"])
    mail_type: Line | None = Field(default=None, examples=["END"])

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, data: object) -> object:
        """The options by their names here, without those that sbatch could not get (see `warnings_of`)."""
        if not isinstance(data, dict):
            return data
        found: dict[object, object] = {}
        for key, value in data.items():
            name = _name(key) if isinstance(key, str) else key
            if name in cls.model_fields:
                if name == key or name not in data:
                    found[name] = value
            elif isinstance(name, str) and _why_left_out(name, value) is None:
                text = _passed_on(name, value)
                if text is not None:
                    found[name] = text
        return found


class SlurmPattern(Slurm):
    """As `Slurm`, for the jobs of a sweep: all values may have placeholders."""

    nodes: OrPlaceholders[int] | None = Field(default=None, examples=["1"])  # type: ignore[assignment]
    ntasks: OrPlaceholders[int] | None = Field(default=None, examples=['"{n}"'])  # type: ignore[assignment]
    cpus_per_task: OrPlaceholders[int] | None = Field(  # type: ignore[assignment]
        default=None, examples=['"{n}"']
    )


def _name(key: str) -> str:
    """`cpus-per-task` is `cpus_per_task`."""
    return key.replace("-", "_")


def _passed_on(name: str, value: object) -> object:
    """The value that sbatch gets; None if it is not to get the option."""
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
    if isinstance(text, bool | int | float):
        text = str(text).lower()
    if name not in _FLAGS:
        return text
    word = "" if text is None else str(text).strip().lower()
    return "" if word in _YES else None if word in _NO else text


def _why_left_out(name: str, value: object) -> str | None:
    """Why an option can't be passed on to sbatch, and what to write instead."""
    if not _NAME.fullmatch(name):
        return "is not an option of sbatch, and is left out; write a long option without '--', such as qos"
    items = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(item, dict | list | tuple) for item in items):
        return f"takes one text, not {shown(items[0])}, and is left out; write {name}: {quoted('TEXT')}"
    return None


def warnings_of(document: Document, kind: str) -> Found:
    """What looks wrong in the sections `slurm` of a file, although they are read. `kind` has its jobs.

    Each option once: what is misspelt in one job is often misspelt in all.
    """
    found, seen = Found(), set(Slurm.model_fields)
    for loc, section in _sections(document, kind):
        for key, value in section.items():
            name = _name(key)
            if name not in seen:
                seen.add(name)
                if name not in _OPTIONS or _why_left_out(name, value) is not None:
                    found.add(_warn, document, (*loc, key), key, value)
    return found


def _sections(document: Document, kind: str) -> Iterator[tuple[Loc, dict[str, Value]]]:
    file = document.value if isinstance(document.value, dict) else {}
    batch: tuple[Loc, Value] = ((), file)
    last: tuple[Loc, Value] = ((FINALLY,), file.get(FINALLY))
    for loc, owner in chain([batch], jobs_of(kind, file.get(kind)), [last]):
        section = owner.get("slurm") if isinstance(owner, dict) else None
        if isinstance(section, dict):
            yield (*loc, "slurm"), section


def _warn(document: Document, loc: Loc, key: str, value: Value) -> Problem:
    return Problem(document.offset(loc, of_key=True), partial(_warning, key, value))


def _warning(key: str, value: Value) -> str:
    name = _name(key)
    why = _why_left_out(name, value)
    if why is not None:
        return f"slurm: {shown(key)} {why}"
    guess = nearest(name, sorted(_OPTIONS))
    known = f"did you mean {guess!r}?" if guess else "SLURM's sbatch has no such option"
    return f"slurm: {shown(key)} is passed on to sbatch as it is; {known}"
