"""Texts with placeholders: names, commands, arguments, variables and paths of a sweep's jobs.

A placeholder is a parameter's name in braces, `{re}`, or with a format of Python, `{re:05d}`. All other
braces stay as they are: `${HOME}`, `{}`, `awk '{print $1}'`, JSON. `{{re}}` is the text `{re}`. Braces that
look like a placeholder, and are none, are errors.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from distribute.core.words import few, quoted
from distribute.sweeps.errors import SweepError
from distribute.sweeps.shell_quotes import Place, ShellQuotes, quoted_for
from distribute.sweeps.values import Scalar

NUMBER = "number"
"""The placeholder for the number of a job in its sweep, from 1. A parameter of this name replaces it."""

_BRACES = re.compile(r"\{\{(?P<doubled>[^{}]*)\}\}|(?P<dollar>\$?)\{(?P<inside>[^{}]*)\}")
_PLACEHOLDER = re.compile(r"(?P<name>[^\W\d]\w*)(?::(?P<format>.*))?", re.DOTALL)
_LEADING_NAME = re.compile(r"\s*([^\W\d]\w*)\b")
_FORMAT = re.compile(
    r"(?P<align>[^{}]?[<>=^])?(?P<sign>[-+ ]?)z?#?(?P<zero>0?)(?P<width>[0-9]{0,3})(?P<group>[,_]?)"
    r"(?P<digits>\.[0-9]{1,2})?(?P<type>[bdeEfFgGosxX%]?)"
)
_WHOLE = "bdoxX"
_REAL = "eEfFgG%"
_LONGEST_GUESSED = 40


class _Field(NamedTuple):
    """A placeholder. `place`: where it stands in a shell's text; None: in no such text."""

    name: str
    format: str
    place: Place | None


class TextTemplate:
    """A text with placeholders, ready to be filled. `names` are the parameters that it uses.

    `for_shell`: a shell will read the text, so values are quoted for it where they need to be.

    Raises:
        SweepError: a placeholder names no parameter, or has a wrong format.
    """

    __slots__ = ("_fields", "_form", "names", "text")

    def __init__(self, text: str, known: Collection[str], *, for_shell: bool = False) -> None:
        self.text = text
        self._form = ""
        """The text, with `%s` in the places of its fields."""
        self._fields: list[_Field] = []
        quotes = ShellQuotes(text) if for_shell else None
        self._parse(_Reader(text, known), quotes)
        self.names = frozenset(field.name for field in self._fields)

    def _parse(self, reader: _Reader, quotes: ShellQuotes | None) -> None:
        for part in reader.parts():
            if isinstance(part, str):
                if quotes is not None:
                    quotes.feed(part)
                self._form += part.replace("%", "%%")
                continue
            self._form += "%s"
            self._fields.append(_Field(*part, None if quotes is None else quotes.place))
            if quotes is not None:
                quotes.value()

    @property
    def is_constant(self) -> bool:
        """Is the filled text always the same?"""
        return not self.names

    def fill(self, point: Mapping[str, Scalar]) -> str:
        """The text with the values of `point`.

        Raises:
            SweepError: a value does not suit its format, or could mean anything where it stands.
        """
        # A loop here would take longer than all else that is done for a job.
        return self._form % tuple([_filled(field, point[field.name]) for field in self._fields])


def _filled(field: _Field, value: Scalar) -> Scalar:
    if not field.format and (field.place is None or not isinstance(value, str)):
        return value  # numbers need no quotes
    text = formatted(value, field.format, field.name) if field.format else str(value)
    if field.place is None:
        return text
    safe = quoted_for(field.place, text)
    if safe is None:
        raise SweepError(
            f"the value {quoted(text)} of {field.name} can't be quoted safely where {{{field.name}}} stands "
            "in the shell's text; put it into a variable, with env, or write the command as a list"
        )
    return safe


def formatted(value: Scalar, spec: str, name: str) -> str:
    """The value of the parameter `name`, with a format. Raises SweepError if they don't go together."""
    found = _FORMAT.fullmatch(spec)
    assert found is not None, "it was checked when the template was read"
    kind = found["type"]
    if isinstance(value, str) and kind in {*_WHOLE, *_REAL}:
        raise _unsuitable(value, spec, name, "a number")
    if isinstance(value, float) and kind and kind in _WHOLE:
        raise _unsuitable(value, spec, name, "a whole number")
    is_as_written = not (kind or found["sign"] or found["group"] or found["digits"])
    try:
        if kind == "s" or (is_as_written and (found["align"] or "<")[-1] != "="):
            return _aligned(value, found, spec)
        return format(int(value) if isinstance(value, bool) else value, spec)
    except ValueError as error:
        raise SweepError(f"{{{name}:{spec}}} can't show {quoted(str(value))}: {error}") from error


def _aligned(value: Scalar, found: re.Match[str], spec: str) -> str:
    """The value as its author wrote it, filled up to a width: numbers on the left, texts on the right."""
    text, width = str(value), int(found["width"] or 0)
    if found["type"] == "s" or found["align"]:
        return format(text, spec)
    if isinstance(value, str):
        return text.ljust(width)
    return text.zfill(width) if found["zero"] else text.rjust(width)


def _unsuitable(value: Scalar, spec: str, name: str, wanted: str) -> SweepError:
    return SweepError(
        f"{{{name}:{spec}}} takes {wanted}, and {name} is {quoted(str(value))}; write {{{name}}}"
    )


class _Reader:
    """Finds the placeholders of a text."""

    def __init__(self, text: str, known: Collection[str]) -> None:
        self._text = text
        self._known = known

    def parts(self) -> list[str | tuple[str, str]]:
        """Texts, and placeholders as their names and formats."""
        found: list[str | tuple[str, str]] = []
        at = 0
        for braces in _BRACES.finditer(self._text):
            found.append(self._text[at : braces.start()])
            found.append(self._part(braces))
            at = braces.end()
        return [part for part in [*found, self._text[at:]] if part]

    def _part(self, braces: re.Match[str]) -> str | tuple[str, str]:
        if (doubled := braces["doubled"]) is not None:
            if doubled != doubled.strip() and doubled.strip() in self._known:
                name = doubled.strip()
                raise SweepError(
                    f"{braces[0]} is written {{{name}}} here; {{{{ {name} }}}} is for template files"
                )
            return f"{{{doubled}}}"
        inside = braces["inside"]
        if not inside:
            return braces[0]
        leading = _LEADING_NAME.match(inside)
        is_known = leading is not None and leading[1] in self._known
        if braces["dollar"]:
            if is_known and leading is not None:
                raise self._both(leading[1], inside)
            return braces[0]
        return self._placeholder(inside, is_known)

    def _placeholder(self, inside: str, is_known: bool) -> str | tuple[str, str]:
        found = _PLACEHOLDER.fullmatch(inside)
        is_formatted = found is not None and _FORMAT.fullmatch(found["format"] or "") is not None
        if found is not None and is_known and is_formatted:
            return found["name"], found["format"] or ""
        if is_known:
            name = (_LEADING_NAME.match(inside) or [""])[1] if found is None else found["name"]
            if found is not None:
                advice = f"write a format of Python, such as {{{name}:05d}}, {{{name}:.3f}} or {{{name}:>8}}"
                raise SweepError(
                    f"{_shown(inside)}: {quoted(found['format'])} is no format of a value; {advice}"
                )
            raise SweepError(
                f"{_shown(inside)} is no placeholder; write {{{name}}} for the value, "
                f"or {_shown(inside, twice=True)} for the text itself"
            )
        if found is not None and is_formatted:
            raise self._unknown(found["name"], inside)
        return f"{{{inside}}}"

    def _unknown(self, name: str, inside: str) -> SweepError:
        near = get_close_matches(name, self._known, n=1) if len(name) <= _LONGEST_GUESSED else []
        meant = f"did you mean {{{near[0]}}}? " if near else ""
        return SweepError(
            f"{_shown(inside)} names no parameter: {meant}there are {few(list(self._known))}; "
            f"for the text itself write {_shown(inside, twice=True)}"
        )

    def _both(self, name: str, inside: str) -> SweepError:
        return SweepError(
            f"is ${_shown(inside)} a variable of the shell, or the parameter {name}? "
            f"Write {{{name}}} for the parameter, or ${_shown(inside, twice=True)} for the variable"
        )


def _shown(inside: str, *, twice: bool = False) -> str:
    short = inside if len(inside) <= _LONGEST_GUESSED else f"{inside[:_LONGEST_GUESSED]}…"
    return f"{{{{{short}}}}}" if twice else f"{{{short}}}"
