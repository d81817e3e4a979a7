"""Finds the line that a person meant, where YAML forbids what they wrote.

A corrected line is told only if a parser accepts it: it then finds nothing wrong, or only on later lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import inf
from typing import TypeAlias

import yaml

Compose: TypeAlias = Callable[[str], object]
"""Parses a text. Raises yaml.YAMLError if it is not YAML."""

MAX_CHARS = 100_000
"""Nobody has written a longer text by hand, and each attempt to correct it would take a second."""

LONGEST_LINE = 120
"""A longer line is not told."""
_WIDTHS = (2, 4, 8, 0, 1)
"""So many spaces a tab may mean. 0: somebody put it behind the right number of spaces."""

_INDENTATION = re.compile(r"^[ \t]*(?:-[ \t]+)*", re.MULTILINE)
_BLOCK_LINE = re.compile(r"([ \t]*(?:- +)*(?:[\w.-]+: +|(?!- |[\w.-]+: )))([^\s\"'\[{].*?)((?: +#.*)?)")
_FLOW_TEXT = re.compile(r"[^,\[\]{}\n]*[^,\[\]{}\s]")


def with_spaces(text: str, offset: int, compose: Compose) -> str | None:
    """The line at the offset with spaces for the tabs in its indentation. None: we don't know how many.

    The line may also lack quotes.
    """
    if len(text) > MAX_CHARS:
        return None
    number = text.count("\n", 0, offset)
    best: tuple[float, str] | None = None
    for width in _WIDTHS:
        candidate = _INDENTATION.sub(lambda match: match[0].replace("\t", " " * width), text)  # noqa: B023
        wrong_at = _wrong_at(candidate, compose)
        reached = _line_of(candidate, wrong_at)
        if reached == number and wrong_at is not None:
            reached = max([number, *(line for _, line in _mended(candidate, wrong_at, compose))])
        if reached > number and (best is None or reached > best[0]):
            best = reached, candidate
    return None if best is None else _told(best[1], number)


def with_quotes(text: str, offset: int, compose: Compose) -> str | None:
    """The line at the offset with quotes around what is meant as text there. None: we found no such line."""
    if len(text) > MAX_CHARS:
        return None
    number = text.count("\n", 0, offset)
    mended = next((mended for mended, reached in _mended(text, offset, compose) if reached > number), None)
    told = None if mended is None else _told(mended, number)
    return told and told.strip()


def _mended(text: str, offset: int, compose: Compose) -> Iterator[tuple[str, float]]:
    """The text with quotes in the line at the offset, and the line where it still is wrong."""
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", start)
    line = text[start:] if end < 0 else text[start:end]
    for candidate in _quoted(line, offset - start):
        mended = text[:start] + candidate + text[start + len(line) :]
        yield mended, _line_of(mended, _wrong_at(mended, compose))


def _quoted(line: str, column: int) -> Iterator[str]:
    """The line with quotes around the value of its key, or around the text that starts at the column."""
    block = _BLOCK_LINE.fullmatch(line.rstrip("\r"))
    if block is not None:
        before, value, after = block.groups()
        yield f"{before}{_in_quotes(value)}{after}"
    flow = _FLOW_TEXT.match(line, column)
    if flow is not None:
        yield f"{line[:column]}{_in_quotes(flow[0])}{line[flow.end() :]}"


def _in_quotes(value: str) -> str:
    if '"' in value or "\\" in value:
        doubled = value.replace("'", "''")
        return f"'{doubled}'"
    return f'"{value}"'


def _wrong_at(text: str, compose: Compose) -> int | None:
    """Where the text stops being YAML. None: it is YAML."""
    try:
        compose(text)
    except yaml.MarkedYAMLError as error:
        return error.problem_mark.index if error.problem_mark is not None else 0
    except (yaml.YAMLError, RecursionError):
        return 0
    return None


def _line_of(text: str, offset: int | None) -> float:
    """The line, counted from 0; behind all lines if there is no offset."""
    return inf if offset is None else text.count("\n", 0, offset)


def _told(text: str, number: int) -> str | None:
    line = text.split("\n")[number].rstrip()
    return line if len(line) <= LONGEST_LINE and line.isprintable() else None
