"""What all mappings of a configuration file have in common."""

from __future__ import annotations

import re
from collections.abc import Sized
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.fields import FieldInfo

from distribute.config.units import check_size, parse_duration, parse_size
from distribute.core.ids import check_label
from distribute.core.specs import MAX_CAPABILITIES, MAX_VARIABLES, Bytes, Timeout
from distribute.core.words import quoted

Entries = TypeVar("Entries", bound=Sized)

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Once:
    """The context of a validation: what is known of the lists and mappings that aliases repeat.

    A file of a megabyte can have a thousand jobs with an alias of a thousand files.
    """

    def __init__(self, repeated: frozenset[int]) -> None:
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
        return context.validated(kind, value, handler) if isinstance(context, Once) else handler(value)

    return WrapValidator(validate)


class Section(BaseModel):
    """A mapping in a file. Unknown keys are errors; a known key without a value is treated as absent.

    A field's first example is what we advise to write instead of something wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    takes: ClassVar[str] = "keys with values"
    """What to write for this section, in words."""

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
    def _drop_empty_keys(cls, data: object) -> object:
        if not isinstance(data, dict) or None not in data.values():
            return data
        known = cls.known_keys()
        return {key: value for key, value in data.items() if value is not None or key not in known}


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


Capability = Annotated[NonEmpty, AfterValidator(check_label)]


def at_most(count: int, what: str) -> AfterValidator:
    """A check that a list or mapping has no more than so many entries, which are called `what`."""

    def check(entries: Entries) -> Entries:
        if len(entries) > count:
            raise ValueError(f"{len(entries)} {what} are too many; write {count} at most")
        return entries

    return AfterValidator(check)


Capabilities = Annotated[tuple[Capability, ...], at_most(MAX_CAPABILITIES, "capabilities")]


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _bytes(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return check_size(value, value)
    return parse_size(value) if isinstance(value, str) else value


Duration = Annotated[Timeout, BeforeValidator(_seconds)]
"""Seconds. Also accepts what `parse_duration` accepts."""

Size = Annotated[Bytes, BeforeValidator(_bytes)]
"""Bytes. Also accepts what `parse_size` accepts."""


def _check_env_name(name: str) -> str:
    if not _ENV_NAME.fullmatch(name):
        raise ValueError(
            f"{quoted(name)} can't name a variable; use letters, digits and '_', as in MY_SETTING"
        )
    if name.startswith("DISTRIBUTE_"):
        raise ValueError(f"distribute itself sets {quoted(name)}; choose a name without DISTRIBUTE_")
    return name


EnvName = Annotated[str, AfterValidator(_check_env_name)]
Env = Annotated[dict[EnvName, Text], at_most(MAX_VARIABLES, "variables"), once("env")]
"""Environment variables, by name."""
