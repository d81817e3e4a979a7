"""Writes a jobs file as YAML: the keys of the first `distribute` always, as it does, others if they are set.

So whatever reads what its Python package wrote finds the same keys here, also those without a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import yaml

from distribute.config.sections.file_refs import FileRef, InputRef
from distribute.config.sections.jobs_file import (
    ApptainerInitialize,
    ApptainerJob,
    CommandInitialize,
    CommandJob,
    JobsFile,
    Meta,
    PythonInitialize,
    PythonJob,
)
from distribute.config.sections.section import Section
from distribute.config.sections.slurm_section import Slurm

_ALWAYS: dict[type[Section], tuple[str, ...]] = {
    FileRef: ("path", "alias"),
    InputRef: ("path", "alias"),
    Meta: ("batch_name", "namespace", "matrix", "capabilities"),
    ApptainerInitialize: ("sif", "required_files", "required_mounts"),
    PythonInitialize: ("build_file", "required_files"),
    CommandInitialize: ("required_files",),
    ApptainerJob: ("name", "required_files", "slurm"),
    PythonJob: ("name", "file", "required_files", "slurm"),
    CommandJob: ("name", "command", "required_files", "slurm"),
    Slurm: tuple(Slurm.model_fields),
}
"""The keys that are written even if they have no value, in their order."""

_LIKE_NUMBERS = re.compile(r"[0-9+~=<-]|\.[0-9iInN]")
"""A text that begins like this is quoted: some reader of YAML takes it for something else."""

_WIDTH = 10_000


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # it depends on libyaml
    """Quotes every text that could be a number or a time to some reader."""


def _text(dumper: Any, text: str) -> yaml.ScalarNode:
    style = "'" if _LIKE_NUMBERS.match(text) else None
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


_Dumper.add_representer(str, _text)


def yaml_of(jobs_file: JobsFile) -> str:
    """The text of a `distribute-jobs.yaml` that means this."""
    kind = jobs_file.kind
    value = {"meta": plain(jobs_file.meta), kind: plain(jobs_file.work), "slurm": plain(jobs_file.slurm)}
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


def plain(value: Any) -> Any:
    """A section, or a value in one, as YAML has it: mappings, lists, texts and numbers."""
    if isinstance(value, Section):
        return {key: plain(inner) for key, inner in _written(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _written(section: Section) -> Iterator[tuple[str, Any]]:
    """The keys that are written, with their values."""
    keys = type(section).known_keys()
    names = {field.alias or name: name for name, field in type(section).model_fields.items()}
    always = _ALWAYS.get(type(section), ())
    for key in (*always, *(key for key in keys if key not in always)):
        value = getattr(section, names[key])
        if key in always or value != keys[key].get_default(call_default_factory=True):
            yield key, sorted(set(value)) if key == "capabilities" else value
    yield from (section.model_extra or {}).items()
