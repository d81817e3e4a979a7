"""What all mappings of a configuration file have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.fields import FieldInfo

from distribute.config.sections.forms import Form
from distribute.config.sections.units import DURATION, SIZE, check_size, parse_duration, parse_size
from distribute.config.yaml.yaml_syntax import LOOKED_AT
from distribute.core import ids
from distribute.core.ids import MAX_AUTHOR_BYTES, MAX_LABEL_BYTES, MAX_NAME_BYTES, check_label
from distribute.core.lean import without_fields_set
from distribute.core.spec.specs import MAX_CAPABILITIES, MAX_VARIABLES, Bytes, Grace, Timeout
from distribute.core.words import quoted

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Validation:
    """The context of a validation: what keeps a large file from taking long.

    A file of a megabyte can have a thousand jobs with an alias of a thousand files. `repeated` has the ids of
    the lists and mappings that aliases repeat. `more` counts the errors that are not among pydantic's.
    """

    def __init__(self, repeated: frozenset[int]) -> None:
        self.more = 0
        self._repeated = repeated
        self._known: dict[tuple[str, int], Any] = {}

    def validated(self, kind: str, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        """The validated value. One that failed fails only once: that is enough to refuse the file."""
        if id(value) not in self._repeated:
            return handler(value)
        place = kind, id(value)
        if place not in self._known:
            self._known[place] = type(value)()
            self._known[place] = handler(value)
        return self._known[place]


def once(kind: str) -> WrapValidator:
    """For fields of a kind whose values are long: validate each value once, however often it is repeated."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        context = info.context
        return context.validated(kind, value, handler) if isinstance(context, Validation) else handler(value)

    return WrapValidator(validate)


def _first_wrong(items: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Validate a list. If far more is wrong with it than is looked at, report the first and count the rest.

    To give a place and words to each of 200,000 errors takes as long as to find them.
    """
    context = info.context
    try:
        return handler(items)
    except ValidationError as error:
        all_errors = error.error_count()
        if all_errors < _MANY_ERRORS or not isinstance(context, Validation):
            raise
    # That error has ended here: it would be the context of all that follow, and live as long as they do.
    length = LOOKED_AT
    while True:
        try:
            handler(items[:length])
        except ValidationError as error:
            if error.error_count() >= LOOKED_AT or length >= len(items):
                context.more += all_errors - error.error_count()
                raise
        length *= _LONGER


_MANY_ERRORS = 10 * LOOKED_AT
_LONGER = 4
"""So many times as long is the next part of a list in which we look for the first errors."""

FirstWrong = WrapValidator(_first_wrong)
"""For a list of up to 100,000 mappings."""


class Section(BaseModel):
    """A mapping in a file. Unknown keys are errors; a known key without a value is treated as absent.

    A field's first example is what we advise to write instead of something wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    takes: ClassVar[str] = "keys with values"
    """What to write for this section, in words."""
    text_key: ClassVar[str] = ""
    """The key whose value a bare text is, in place of the mapping. Empty: a bare text is wrong."""
    one_of: ClassVar[tuple[str, ...]] = ()
    """Keys of which one is required."""
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Keys that other tools have, or older versions had: what to write instead."""

    @classmethod
    def known_keys(cls) -> dict[str, FieldInfo]:
        """The fields, by the key they have in the file."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    @classmethod
    def unit_of(cls, key: str) -> str:
        """The unit of a key's value, which stands last in the name of its field: `s`, `bytes`."""
        names = [name for name, field in cls.model_fields.items() if (field.alias or name) == key]
        return names[0].rpartition("_")[2] if names else ""

    @model_validator(mode="before")
    @classmethod
    def _in_full(cls, data: object) -> object:
        if cls.text_key and isinstance(data, str):
            return {cls.text_key: data}
        if not isinstance(data, dict) or None not in data.values():
            return data
        empty = [key for key, value in data.items() if value is None]
        known = _known(cls).intersection(empty)
        return {key: value for key, value in data.items() if key not in known} if known else data


class LeanSection(Section):
    """A section of which a file may have 100,000. It does not keep which keys it has in the file."""

    @model_validator(mode="after")
    def _forget_keys(self) -> Self:
        return without_fields_set(self)


@cache
def _known(section: type[Section]) -> frozenset[str]:
    """The keys of a section. A file may have 100,000 sections."""
    return frozenset(section.known_keys())


def _check_text(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"{quoted(text)} contains a NUL, which can't be passed to a program; remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{quoted(text)} is not valid Unicode; write the characters themselves"
            ) from None
    return text


Text = Annotated[str, AfterValidator(_check_text)]
"""Text that can be passed to a program."""

NonEmpty = Annotated[Text, Field(min_length=1)]


_FORM_OF_NAME = Form(
    "a name",
    pattern=r"(?!\.{1,2}(?![\s\S]))[^/\x00]+",
    advice="a name becomes a folder: write one without '/'",
    longest=MAX_NAME_BYTES,
)

Name = Annotated[ids.Name, _FORM_OF_NAME]
"""A checked name."""

AuthorName = Annotated[ids.AuthorName, replace(_FORM_OF_NAME, longest=MAX_AUTHOR_BYTES)]
"""A checked name of a node."""

Capability = Annotated[NonEmpty, AfterValidator(check_label), Form(longest=MAX_LABEL_BYTES)]


@dataclass(frozen=True, slots=True)
class _AtMost(BeforeValidator):
    """What `at_most` returns."""

    count: int = 0

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        return schema | {"maxProperties" if schema["type"] == "object" else "maxItems": self.count}


def at_most(count: int, what: str) -> BeforeValidator:
    """A check that a list or mapping has no more than so many entries, which are called `what`.

    It comes before the checks of the entries, which take long if there are too many.
    """

    def check(entries: object) -> object:
        if isinstance(entries, list | tuple | dict) and len(entries) > count:
            raise ValueError(f"{len(entries)} {what} are too many; write {count} at most")
        return entries

    return _AtMost(check, count=count)


Capabilities = Annotated[tuple[Capability, ...], at_most(MAX_CAPABILITIES, "capabilities")]


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _bytes(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return check_size(value, value)
    return parse_size(value) if isinstance(value, str) else value


_AS_DURATION = "write 90s, 45m, 2h or 1h30m10s; a plain number means seconds"

Duration = Annotated[
    Timeout,
    BeforeValidator(_seconds),
    Form("a duration", ("string", "number"), rf"\s*(?=[^1-9]*[1-9])(?:{DURATION})\s*", _AS_DURATION),
]
"""Seconds. Also accepts what `parse_duration` accepts."""

GraceTime = Annotated[
    Grace,
    BeforeValidator(_seconds),
    Form("a duration", ("string", "number"), rf"\s*(?=[0-9])(?:{DURATION})\s*", _AS_DURATION),
]
"""Seconds of a grace period, as in `Duration`. May be 0."""

Size = Annotated[
    Bytes,
    BeforeValidator(_bytes),
    Form(
        "a size",
        ("string", "number"),
        rf"\s*(?:{SIZE})\s*",
        "write 8G, 512M or 10K; a plain number means bytes",
    ),
]
"""Bytes. Also accepts what `parse_size` accepts."""


def _check_env_name(name: str) -> str:
    if not _ENV_NAME.fullmatch(name):
        raise ValueError(
            f"{quoted(name)} can't name a variable; use letters, digits and '_', as in MY_SETTING"
        )
    if name.startswith("DISTRIBUTE_"):
        raise ValueError(f"distribute itself sets {quoted(name)}; choose a name without DISTRIBUTE_")
    return name


EnvName = Annotated[
    str, AfterValidator(_check_env_name), Form(pattern=rf"(?!DISTRIBUTE_){_ENV_NAME.pattern}")
]
Env = Annotated[dict[EnvName, Text], at_most(MAX_VARIABLES, "variables"), once("env")]
"""Environment variables, by name."""
