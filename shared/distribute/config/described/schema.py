"""Makes JSON Schemas (draft 2020-12) of the files that people write, for editors.

A schema is never stricter than the models. It is looser where a rule can't be said in it: see
`LOOSER` in tests/unit/test_schema.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticUndefined
from pydantic_core.core_schema import (
    DictSchema,
    FloatSchema,
    IntSchema,
    LiteralSchema,
    ModelSchema,
    NullableSchema,
    StringSchema,
    TaggedUnionSchema,
    WithDefaultSchema,
)

from distribute.config.described.key_docs import doc_of
from distribute.config.sections.forms import INTEGER, NUMBER, TEXT_TYPES
from distribute.config.sections.jobs_file import KINDS, ApptainerBatch, CommandBatch, JobsFile, PythonBatch
from distribute.config.sections.section import Section
from distribute.config.sections.units import format_duration, format_size
from distribute.config.settings.notify_settings import NotifySettings
from distribute.config.settings.settings import ClientSettings, NodeSettings, ServerSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Described = Literal["jobs", "node", "client", "server", "notify"]
FILES: Mapping[Described, tuple[str, type[Section]]] = {
    "jobs": ("distribute-jobs.yaml", JobsFile),
    "node": ("node.yaml", NodeSettings),
    "client": ("client.yaml", ClientSettings),
    "server": ("server.yaml", ServerSettings),
    "notify": ("notify.yaml", NotifySettings),
}
"""The files that have a schema: their usual name, and what describes them."""

_BATCHES = (PythonBatch, CommandBatch, ApptainerBatch)
_HEAD_CHARS = 300
_ORIGIN = "Made by `distribute schema"


def schema_of(kind: Described) -> dict[str, Any]:
    """The JSON Schema of a kind of file."""
    name, model = FILES[kind]
    made = model.model_json_schema(schema_generator=_Generator)
    if model is JobsFile:
        _one_kind(made)
        _jobs_or_pattern(made)
    return {"$schema": DIALECT, "$comment": f"{_ORIGIN} {kind}`, for editors", "title": name, **made}


def properties_of(section: type[Section]) -> dict[str, Any]:
    """The schemas of the keys of a section."""
    properties: dict[str, Any] = section.model_json_schema(schema_generator=_Generator)["properties"]
    return properties


def schema_text(kind: Described) -> str:
    """The JSON Schema as the text of a file."""
    return json.dumps(schema_of(kind), indent=1, ensure_ascii=False) + "\n"


def is_schema(file: Path) -> bool:
    """Is this a schema that we have made, by this version or another? Raises OSError."""
    if not file.is_file():
        return False
    with file.open(encoding="utf-8", errors="replace") as opened:
        return _ORIGIN in opened.read(_HEAD_CHARS)


def _one_kind(schema: dict[str, Any]) -> None:
    """A batch has exactly one kind. Others may stand there without a value."""
    advice = f"a batch has exactly one kind; write one of {', '.join(KINDS)}"
    schema["oneOf"] = [
        {"required": [kind], "properties": {kind: {"type": "object"}}, "errorMessage": advice}
        for kind in KINDS
    ]


def _jobs_or_pattern(schema: dict[str, Any]) -> None:
    """The section of a kind lists jobs, or has the pattern of a sweep's jobs, or both."""
    for model in _BATCHES:
        schema["$defs"][model.__name__]["anyOf"] = [
            {"required": ["jobs"], "properties": {"jobs": {"type": "array"}}},
            {"required": ["job"], "properties": {"job": {"type": "object"}}},
        ]


class _Generator(GenerateJsonSchema):
    """Writes for each value the forms in which a person may write it."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Pydantic makes titles of the keys. They say nothing more."""
        return False

    def str_schema(self, schema: StringSchema) -> JsonSchemaValue:
        return super().str_schema(schema) | {"type": list(TEXT_TYPES)}

    def int_schema(self, schema: IntSchema) -> JsonSchemaValue:
        number = {"type": ["integer", "string"], "pattern": f"^(?:{INTEGER})$"}
        return super().int_schema(schema) | number | {"patternErrorMessage": "write a whole number"}

    def float_schema(self, schema: FloatSchema) -> JsonSchemaValue:
        number = {"type": ["number", "string"], "pattern": f"^(?:{NUMBER})$"}
        return super().float_schema(schema) | number | {"patternErrorMessage": "write a number"}

    def dict_schema(self, schema: DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        return made | {"additionalProperties": False} if "patternProperties" in made else made

    def literal_schema(self, schema: LiteralSchema) -> JsonSchemaValue:
        return {"type": "string", "enum": list(schema["expected"])}

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """Any key that may be absent may have no value: `_or_nothing` says so."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """`_key` writes the default as people would."""
        return self.generate_inner(schema["schema"])

    def tagged_union_schema(self, schema: TaggedUnionSchema) -> JsonSchemaValue:
        """One schema with all types, if it may be: an editor then says better what is wrong."""
        choices = [self.generate_inner(choice) for choice in schema["choices"].values()]
        if any("$ref" in choice for choice in choices):
            return {"anyOf": choices}
        types = dict.fromkeys(name for choice in choices for name in _types(choice))
        patterns = [choice["pattern"] for choice in choices if "pattern" in choice]
        merged: dict[str, Any] = {}
        for choice in choices:
            merged |= choice
        return merged | {"type": list(types)} | ({"pattern": "|".join(patterns)} if patterns else {})

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        section = schema["cls"]
        for unwanted in ("title", "description"):
            made.pop(unwanted, None)
        for key, value in made["properties"].items():
            made["properties"][key] = _key(section, key, value)
        if section.one_of:
            made["required"] = [key for key in made["required"] if key not in section.one_of]
            made["anyOf"] = [
                {"required": [key], "properties": {key: {"not": {"type": "null"}}}} for key in section.one_of
            ]
        if section.model_config.get("extra") == "allow":
            made["additionalProperties"] = True
        if section.text_key:
            made |= {"type": [*TEXT_TYPES, "object"], "minLength": 1}
        return made


def _key(section: type[Section], key: str, value: JsonSchemaValue) -> JsonSchemaValue:
    """The schema of a key: its value, what it means, its default and an example."""
    field = section.known_keys()[key]
    value.pop("examples", None)  # as texts
    if value.pop("format", None) == "path":
        value |= {"type": list(TEXT_TYPES), "$comment": "a path"}
    made = value if field.is_required() else _or_nothing(value)
    made["description"] = _description(section, key)
    default = default_of(section, key)
    if default is not None and not (default == [] and "minItems" in made):
        made["default"] = default
    examples = [yaml.safe_load(example) for example in field.examples or ()]
    return made | ({"examples": examples} if examples else {})


def default_of(section: type[Section], key: str) -> Any:
    """The default of a key as people write it; None if it has none that a file can have."""
    default = section.known_keys()[key].get_default()
    if default is PydanticUndefined or isinstance(default, Section):
        return None
    match default, section.unit_of(key):
        case float(), "s":
            return format_duration(default)
        case int(), "bytes" if default:
            return format_size(default)
        case ((tuple() | frozenset()), _):
            return list(default)
    return default


def _description(section: type[Section], key: str) -> str:
    meaning, default = doc_of(section, key)
    return f"{meaning}. Without this key: {default}." if default else f"{meaning}."


def _or_nothing(value: JsonSchemaValue) -> JsonSchemaValue:
    """The schema, for a key that may have no value: it is then treated as absent."""
    if "type" in value:
        words = {"enum": [*value["enum"], None]} if "enum" in value else {}
        return value | {"type": [*_types(value), "null"]} | words
    if "anyOf" in value:
        return value | {"anyOf": [*value["anyOf"], {"type": "null"}]}
    return {"anyOf": [value, {"type": "null"}]}


def _types(value: JsonSchemaValue) -> list[str]:
    written = value["type"]
    return [written] if isinstance(written, str) else list(written)
