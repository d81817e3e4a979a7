"""Puts pydantic's errors into the user's words: where, what, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache, partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from distribute.config.sections.section import Section, Validation
from distribute.config.sections.units import longest_duration
from distribute.config.yaml.yaml_source import Document, Loc
from distribute.config.yaml.yaml_syntax import LOOKED_AT, Found, Problem
from distribute.core.errors import InputError
from distribute.core.words import quoted

S = TypeVar("S", bound=Section)

_LONGEST_GUESSED = 40
"""For a longer word we don't look for the nearest key: that takes long, and finds nothing."""

MAX_GUESSES = 1000
"""For so many unknown keys of a file we find out if they are misspelt, before we say what is missing."""

_ITEM_NAMES = {"jobs": "a job", "required_files": "a file"}
_EXPECTED = {
    "dict_type": "keys with values",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "path_type": "a path",
}
_TEXTS = {"string_type", "tuple_type"}
"""What pydantic says of a mapping where a text, or a text or a list, should stand."""

_UNITS = {"s": "a duration", "bytes": "a size"}
"""What a value with this unit is, in words."""

_LIMITS = {
    "greater_than": "more than {}",
    "greater_than_equal": "{} or more",
    "less_than": "less than {}",
    "less_than_equal": "{} or less",
}


def validate(document: Document, model: type[S]) -> tuple[S | None, Found]:
    """The document as a `model`, or None and the problems."""
    if document.excess is not None:
        return None, Found([document.excess])
    context = Validation(document.repeated)
    try:
        # Of an empty document we report the missing keys: that helps more than "this is not a mapping".
        written = {} if document.value is None else document.value
        return model.model_validate(written, context=context), Found()
    except ValidationError as error:
        found = _problems(document, model, error.errors(include_url=False))
        found.more += context.more
        return None, found


def valid(document: Document, model: type[S]) -> S:
    """The document as a `model`.

    Raises:
        InputError: it holds every problem, one line each.
    """
    section, found = validate(document, model)
    found += document.found
    if section is None or found:
        raise InputError(*document.lines(found))
    return section


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that the user probably meant by `word`."""
    return None if len(word) > _LONGEST_GUESSED else _nearest(word, tuple(known))


@lru_cache(maxsize=1 << 10)  # one key is often misspelt in every job
def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    return next(iter(get_close_matches(word.lower().replace("-", "_"), known, n=1)), None)


def shown(value: object) -> str:
    """A value for a message: quoted, on one line, and not too long."""
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple | dict):
        return "a mapping" if isinstance(value, dict) else "a list"
    return quoted(value) if isinstance(value, str) else repr(value)


class _Place(NamedTuple):
    """What a loc leads to. `field` is None if the model has no such key."""

    key: str
    is_item: bool
    field: FieldInfo | None
    section: type[Section] | None
    unit: str = ""
    """The last word of the field's name in the code: `s`, `bytes`."""
    top: str = ""
    """What the whole document is called."""
    option: str = ""
    """The option that says the value, if no file does."""

    def limit(self, number: float) -> str:
        """A limit of the value, as people write it."""
        if self.unit == "s" and number > 0:
            return longest_duration(number)
        return f"{number:g}" if number % 1 else f"{number:.0f}"

    @property
    def called(self) -> str:
        if self.option:
            return self.option
        if not self.key:
            return self.top
        return _ITEM_NAMES.get(self.key, f"an item of {self.key}") if self.is_item else self.key

    @property
    def advice(self) -> str:
        if self.field is None or not self.field.examples:
            return ""
        if self.option:
            example = self.field.examples[0].strip("[]").replace(", ", ",")
            return f"; write {self.option} {example}" if self.option.startswith("-") else ""
        return f"; write {self.key}: {self.field.examples[0]}"


def _follow(model: type[Section], loc: Loc, top: str = "") -> _Place:
    """Follow a loc through the models. Skips parts that are not keys, such as the tag of a union."""
    place = _Place("", is_item=False, field=None, section=model, top=top)
    for part in loc:
        if isinstance(part, int):
            place = place._replace(is_item=True)
        elif place.section is not None and part in place.section.known_keys():
            field = place.section.known_keys()[part]
            place = _Place(
                part,
                is_item=False,
                field=field,
                section=_section_in(field.annotation),
                unit=place.section.unit_of(part),
            )
        elif place.section is not None and place.section.model_config.get("extra") == "allow":
            place = _Place(part, is_item=False, field=None, section=None)
    return place


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def _problems(document: Document, model: type[Section], errors: list[ErrorDetails]) -> Found:
    misspelt = _misspelt(model, errors)
    found = Found()
    told: dict[tuple[int, str, Loc], Problem] = {}

    def problem(error: ErrorDetails) -> Problem:
        kind, loc = error["type"], error["loc"]
        if kind == "value_error":
            # Its frames hold the document, and what we return here: only the collector could free them.
            error["ctx"]["error"].__traceback__ = None
        is_about_key = loc[-1:] == ("[key]",)
        loc = loc[:-1] if is_about_key else loc
        offset = document.offset(loc, of_key=is_about_key or kind == "extra_forbidden")
        # What an alias repeats has one place, and its problem is told once.
        return told.setdefault(
            (offset, kind, loc[-1:]), Problem(offset, partial(_told, document, model, loc, error))
        )

    def is_shown(error: ErrorDetails) -> bool:
        if error["type"] == "missing":
            return error["loc"] not in misspelt
        return not error["input"]  # pydantic counts only the right entries, and has reported the others

    judged = {"too_short", *(["missing"] if misspelt else [])}
    wrong = (error for error in errors if error["type"] not in judged or is_shown(error))
    for error in islice(wrong, LOOKED_AT):
        found.add(problem, error)
    found.more += sum(1 for _ in wrong)
    return found


def _misspelt(model: type[Section], errors: list[ErrorDetails]) -> set[Loc]:
    """The missing keys that stand there, but misspelt. The unknown key is told; that it is missing is not."""
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    if not unknown:
        return set()
    missing = {error["loc"][:-1] for error in errors if error["type"] == "missing"}
    misspelt: set[Loc] = set()
    for loc in islice((loc for loc in unknown if loc[:-1] in missing), MAX_GUESSES):
        section = _follow(model, loc[:-1]).section
        guess = nearest(str(loc[-1]), section.known_keys()) if section is not None else None
        if guess is not None:
            misspelt.add((*loc[:-1], guess))
    return misspelt


def _told(document: Document, model: type[Section], loc: Loc, error: ErrorDetails) -> str:
    place = _follow(model, loc, document.top)._replace(option=document.option(loc))
    kind, found, context = error["type"], shown(error["input"]), error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(_follow(model, loc[:-1], document.top), str(loc[-1]))
    if kind == "missing":
        return f"{_follow(model, loc[:-1], document.top).called} needs the key {place.key!r}{place.advice}"
    if kind == "value_error":
        return f"{place.called}: {context['error']}"
    if kind in _LIMITS:
        (limit,) = context.values()
        written = shown(str(document.at(loc)).strip())[1:-1]
        return f"{place.called}: {written} is out of range; write {_LIMITS[kind].format(place.limit(limit))}"
    if kind == "too_short" or kind == "string_too_short":
        return f"{place.called} is empty{place.advice}"
    if kind == "too_long":
        most = context["max_length"]
        return f"{place.called}: {context['actual_length']} are too many; write files with {most} each"
    if kind == "model_type" and place.section is not None:
        return f"{place.called} takes {place.section.takes}, not {found}{place.advice}"
    if kind in {"list_type", "tuple_type"} and isinstance(error["input"], str):
        return f"{place.called} takes a list, not {found}; write {place.key}: [{found}]"
    if kind == "string_type" and error["input"] is None:
        return f'{place.called} takes a text, not nothing; write "" for an empty text'
    if kind in _TEXTS and (meant := _braces(error["input"])):
        return f'{place.called} takes a text, not a mapping; write "{meant}", with the quotes'
    if kind == "int_parsing_size":
        return f"{place.called}: {found} is out of range{place.advice}"
    if kind in _EXPECTED:
        expected = _UNITS.get(place.unit, _EXPECTED[kind])
        return f"{place.called} takes {expected}, not {found}{place.advice}"
    if kind == "literal_error":
        choices = context["expected"].replace("'", "")
        return f"{place.called}: {found} is not allowed here; write {place.key}: {choices}"
    return f"{place.called}: {found} is not allowed here{place.advice}"


def _braces(written: object) -> str:
    """The placeholder that was probably meant by a mapping; empty if none was: YAML reads `{re}` as one."""
    match written:
        case {**keys} if (
            len(keys) == 1 and list(keys.values()) == [None] and len(str(*keys)) <= _LONGEST_GUESSED
        ):
            return f"{{{next(iter(keys))}}}"
    return ""


def _unknown_key(place: _Place, key: str) -> str:
    keys = place.section.known_keys() if place.section else {}
    guess = nearest(key, keys)
    advice = f"write {guess!r}" if guess else f"it may have {', '.join(keys)}"
    if place.section is not None and key in place.section.elsewhere:
        advice = place.section.elsewhere[key]
    return f"{place.called} has no key {shown(key)}; {advice}"
