"""Says in the user's words why a text is not YAML: where, and what to write instead."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, ParamSpec, TypeAlias

import yaml
from yaml.reader import Reader, ReaderError

from distribute.config.yaml.yaml_mending import LONGEST_LINE, Compose, with_quotes, with_spaces
from distribute.core.words import quoted

MAX_DEPTH = 50
TOO_DEEP = f"nested more than {MAX_DEPTH} deep; close the brackets before this"

_NOT_YAML = "this is not YAML; put quotes around what is text, and close every quote and bracket"
_WORD = re.compile(r"[^\s,\[\]{}]{0,60}")
_TAB_IN_INDENTATION = re.compile(r"^[ ]*(?:-[ ]*)?(\t)", re.MULTILINE)
_UNQUOTED_AT = re.compile(
    r"^([ \t]*(?:-[ \t]+)?(?:[\w.-]+:[ \t]+)?)(@[^\s#]*)([ \t]*(?:#.*)?)$", re.MULTILINE
)
_LINES_TOLD = 5
"""So many line numbers are told. More are counted."""

P = ParamSpec("P")

Words: TypeAlias = "str | Callable[[], str]"
"""What is wrong, or a function that makes it: of thousands of problems, we only show the first."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at an offset of the text, in characters."""

    offset: int
    text: Words

    @property
    def words(self) -> str:
        """What is wrong, and what to write instead."""
        return written(self.text)


def written(words: Words) -> str:
    """The words, which a function may have to make."""
    return words if isinstance(words, str) else words()


LOOKED_AT = 1000
"""Of so many problems of one kind we find out the place. Of the others we only know that they are there."""


class Found:
    """Problems that were found. Of many of a kind, the first ones, and how many `more` there are."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self.problems = list(problems)
        self.more = 0

    def add(self, make: Callable[P, Problem], *args: P.args, **kwargs: P.kwargs) -> None:
        """Add a problem. `make` finds its place, which takes long where a file has 100,000 problems."""
        if len(self.problems) < LOOKED_AT:
            self.problems.append(make(*args, **kwargs))
        else:
            self.more += 1

    def __iadd__(self, other: Found) -> Found:
        self.problems += other.problems
        self.more += other.more
        return self

    def __bool__(self) -> bool:
        return bool(self.problems)


class Lines:
    """The lines of a text, to turn offsets into lines and columns."""

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
    """These problems keep us from reading the YAML. `Document` turns it into an InputError."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*(problem.words for problem in problems))
        self.problems = problems


class _Words(NamedTuple):
    """Our words for one of PyYAML's errors.

    The error is known by a part of its context and a part of its problem: the parts that libyaml and
    PyYAML's own parser share. `at_start`: we report where the context starts, not where the parser gave up.
    `with_line`: what we say if we know the `line` that would be right, with quotes.
    """

    context: str
    problem: str
    text: str
    at_start: bool = False
    with_line: str = ""


_WORDS = (
    _Words(
        "",
        "undefined alias",
        '*{word} refers to an anchor that is not above it; if you mean text, put quotes around it: "*{word}"',
        with_line="*{word} refers to an anchor that is not above it; if you mean text, write {line}",
    ),
    _Words(
        "duplicate anchor", "", "the anchor &{word} is on line {start_line} already; rename one of the two"
    ),
    _Words("single document", "", "a second document starts here; write one batch a file"),
    _Words("", "nesting depth", TOO_DEEP),
    _Words(
        "",
        "cannot start any token",
        "{character!r} can't start a text without quotes; put quotes around it",
        with_line="{character!r} can't start a text without quotes; write {line}",
    ),
    _Words(
        "",
        "mapping values are not allowed",
        "no key can end here; indent the line like its neighbours or, if this ':' is part of a text, "
        "put quotes around the text",
        with_line="no key can end here; indent the line like its neighbours or, if this ':' is part of a "
        "text, write {line}",
    ),
    _Words(
        "scanning an alias",
        "",
        "'*' starts a reference to an anchor; if you mean text, put quotes around it",
        at_start=True,
        with_line="'*' starts a reference to an anchor; if you mean text, write {line}",
    ),
    _Words("scanning a simple key", "", "a key without ':'; write KEY: VALUE", at_start=True),
    _Words(
        "quoted scalar",
        "escape",
        r"in double quotes '\' starts an escape; write '\\', or use single quotes",
    ),
    _Words("quoted scalar", "", "this quote is never closed; write the closing quote", at_start=True),
    _Words(
        "flow sequence",
        "",
        "the '[' on line {start_line} is not closed before this; write ',' between items, ']' after them",
    ),
    _Words(
        "flow mapping",
        "",
        "the '{{' on line {start_line} is not closed before this; write ',' between items, '}}' after them",
    ),
    _Words(
        "block",
        "",
        "this does not line up with what begins on line {start_line}; indent it equally, or deeper",
    ),
    _Words(
        "",
        "<document start>",
        "this belongs to nothing above; start top-level keys at the beginning of their lines",
    ),
)


def explain(text: str, error: yaml.YAMLError, compose: Compose) -> list[Problem]:
    """Why PyYAML, which `compose` asks, could not read `text`.

    A parser stops at its first problem. Tabs and unquoted `@` rarely come alone: we find all of them.
    """
    if isinstance(error, ReaderError):
        return [_forbidden_character(text, error)]
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return [Problem(0, _NOT_YAML)]
    offset = error.problem_mark.index
    line_start = text.rfind("\n", 0, offset) + 1
    tab = _TAB_IN_INDENTATION.match(text, line_start)
    if tab is not None or text[offset : offset + 1] == "@":
        found = [*_tabs(text, line_start, compose), *_unquoted_ats(text, line_start)]
        if tab is not None or any(problem.offset == offset for problem in found):
            return found
    return [_in_our_words(text, error, offset, compose)]


def _tabs(text: str, start: int, compose: Compose) -> Iterator[Problem]:
    """The tabs behind `start`: before it, the parser found nothing wrong."""
    tabs = [match.start(1) for match in _TAB_IN_INDENTATION.finditer(text, start)]
    if tabs:
        line = with_spaces(text, tabs[0], compose)
        advice = (
            "write spaces instead" if line is None else f"write spaces instead: {quoted(line, len(line))}"
        )
        yield Problem(tabs[0], f"a tab in the indentation{_more_lines(text, tabs[1:])}; {advice}")


def _more_lines(text: str, offsets: list[int]) -> str:
    """`, here and on lines 4 and 6`."""
    if not offsets:
        return ""
    lines = Lines(text)
    numbers = [str(lines.position(offset)[0]) for offset in offsets[:_LINES_TOLD]]
    if len(offsets) > len(numbers):
        return f", here and on lines {', '.join(numbers)} and {len(offsets) - len(numbers)} more"
    *first, last = numbers
    return f", here and on lines {', '.join(first)} and {last}" if first else f", here and on line {last}"


def _unquoted_ats(text: str, start: int) -> Iterator[Problem]:
    for match in _UNQUOTED_AT.finditer(text, start):
        before, user, behind = match.groups()
        line = f'{before}"{user}"{behind}'.strip()
        advice = f"write {line}" if len(line) <= LONGEST_LINE else "put quotes around it"
        yield Problem(match.start(2), f"'@' can't start a text without quotes; {advice}")


def _forbidden_character(text: str, error: ReaderError) -> Problem:
    match = Reader.NON_PRINTABLE.search(text)
    if match is None:
        return Problem(0, "this is not text that YAML can hold; write a text file in UTF-8")
    code = ord(match.group())
    escape = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return Problem(
        match.start(),
        f'YAML does not allow the character U+{code:04X} itself; write it as "{escape}", or remove it',
    )


def _in_our_words(text: str, error: yaml.MarkedYAMLError, offset: int, compose: Compose) -> Problem:
    problem, context = error.problem or "", error.context or ""
    start = error.context_mark.index if error.context_mark is not None else offset
    character = text[offset : offset + 1]
    if character == "\t":
        return Problem(offset, "a tab, where YAML takes spaces only; write spaces")
    for words in _WORDS:
        if words.context in context and words.problem in problem:
            place = start if words.at_start else offset
            line = with_quotes(text, place, compose) if words.with_line else None
            told = (words.text if line is None else words.with_line).format(
                line=line,
                character=character,
                word=_WORD.match(text, offset + 1)[0],  # type: ignore[index]
                start_line=text.count("\n", 0, start) + 1,
            )
            return Problem(place, told)
    return Problem(offset, _NOT_YAML)
