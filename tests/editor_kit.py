"""What an editor finds wrong in a YAML file, by its JSON Schema."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from distribute.config.described.schema import Described, schema_of
from distribute.config.loading import load
from distribute.core.errors import InputError

VERSIONS = ("1.2", "1.1")
"""Of YAML. Editors read 1.2, a few of them 1.1, in which `no`, `1:30` and `010` are other values."""


@cache
def validator(kind: Described) -> Draft202012Validator:
    schema = schema_of(kind)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def marked(text: str, kind: Described = "jobs") -> list[str]:
    """What an editor would mark, whatever version of YAML it reads."""
    return [
        f"YAML {version}: {error.json_path}: {error.message}"
        for version in VERSIONS
        for error in validator(kind).iter_errors(as_json(text, version))
    ]


def as_json(text: str, version: str = "1.2") -> Any:
    """The values of a YAML file as an editor has them: as JSON."""
    read = yaml.safe_load if version == "1.1" else YAML(typ="safe", pure=True).load
    return json.loads(json.dumps(read(text), default=str))


def refused(text: str) -> tuple[str, ...]:
    """The problems that the loader has with a file."""
    path = Path("written.yaml")
    path.write_text(text, newline="")
    try:
        load(path)
    except InputError as error:
        return error.problems
    return ()


def assert_valid(text: str) -> None:
    """The loader takes the file, and an editor marks nothing."""
    assert (refused(text), marked(text)) == ((), [])
