"""Why a text is no YAML, in the user's words: where, and what to write instead."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import yaml
from yaml.reader import Reader, ReaderError

_TAB_IN_INDENTATION = re.compile(r"^[ ]*(?:-[ ]*)?(\t)", re.MULTILINE)
_UNQUOTED_AT = re.compile(r"^[ \t]*(?:-[ \t]+)?(?:[\w.-]+:[ \t]+)?(@[^\s,\]}#]*)", re.MULTILINE)


class Problem(NamedTuple):
    """Something wrong at an offset of the text, in characters."""

    offset: int
    text: str


class Lines:
    """The lines of a text, to tell the place of an offset."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self._text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from one."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


class UnreadableYaml(Exception):
    """The YAML can't be understood beyond this problem. `Document` makes it an InputError."""

    def __init__(self, offset: int, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(offset, text)


def explain(text: str, error: yaml.YAMLError) -> list[Problem]:
    """What to tell of a text that PyYAML could not parse.

    A parser stops at its first problem, but tabs and unquoted `@` come in company: of them, all are found.
    """
    if isinstance(error, ReaderError):
        return [_forbidden_character(text, error)]
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return [Problem(0, f"not YAML: {error}; write a YAML file")]
    offset = error.problem_mark.index
    line_start = text.rfind("\n", 0, offset) + 1
    tab = _TAB_IN_INDENTATION.match(text, line_start)
    if tab is not None or text[offset : offset + 1] == "@":
        found = [*_tabs(text), *_unquoted_ats(text)]
        if tab is not None or any(problem.offset == offset for problem in found):
            return found
    return [_other(text, error, offset)]


def _tabs(text: str) -> Iterator[Problem]:
    tabs = [match.start(1) for match in _TAB_IN_INDENTATION.finditer(text)]
    if tabs:
        others = len(tabs) - 1
        more = f", here and on {others} more line{'s' if others > 1 else ''}" if others else ""
        yield Problem(tabs[0], f"a tab in the indentation{more}; write spaces instead")


def _unquoted_ats(text: str) -> Iterator[Problem]:
    for match in _UNQUOTED_AT.finditer(text):
        yield Problem(match.start(1), f"'@' can't start a text without quotes; write \"{match.group(1)}\"")


def _forbidden_character(text: str, error: ReaderError) -> Problem:
    match = Reader.NON_PRINTABLE.search(text)
    if match is None:
        return Problem(0, f"not YAML: {error}; write a text file in UTF-8")
    code = ord(match.group())
    escape = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return Problem(
        match.start(),
        f'the character U+{code:04X} can\'t stand in YAML; write it as "{escape}", or take it out',
    )


def _other(text: str, error: yaml.MarkedYAMLError, offset: int) -> Problem:
    """The parser's words differ between libyaml and PyYAML; what is looked for here is in both."""
    problem, context = error.problem or "", error.context or ""
    start = error.context_mark.index if error.context_mark is not None else offset
    begin_line = text.count("\n", 0, start) + 1
    if text[offset : offset + 1] == "\t":
        return Problem(offset, "a tab, where YAML takes spaces only; write spaces")
    if "cannot start any token" in problem:
        return Problem(
            offset, f"{text[offset : offset + 1]!r} can't start a text without quotes; put quotes around it"
        )
    if "mapping values are not allowed" in problem:
        return Problem(
            offset,
            "no key can end here; indent the line like its neighbours or, if this ':' is part of a text, "
            "put quotes around the text",
        )
    if "scanning an alias" in context:
        return Problem(
            start, "'*' starts a reference to an anchor; if it is meant as text, put quotes around it"
        )
    if "scanning a simple key" in context:
        return Problem(start, "a key without ':'; write KEY: VALUE")
    if "quoted scalar" in context and "escape" in problem:
        return Problem(offset, r"in double quotes '\' starts an escape; write '\\', or use single quotes")
    if "quoted scalar" in context:
        return Problem(start, "this quote is never closed; write the closing quote")
    if "flow sequence" in context or "flow mapping" in context:
        bracket = "']'" if "sequence" in context else "'}'"
        return Problem(
            offset,
            f"what opens on line {begin_line} has no end; write ',' between items, {bracket} behind them",
        )
    if "block" in context:
        return Problem(
            offset,
            f"does not line up with what begins on line {begin_line}; indent it like that, or deeper",
        )
    if "<document start>" in problem:
        return Problem(
            offset, "belongs to nothing above; start top-level keys at the beginning of their lines"
        )
    said = " ".join(filter(None, (context, problem)))
    return Problem(
        offset, f"not YAML: {said}; put quotes around what is text, and close every quote and bracket"
    )
