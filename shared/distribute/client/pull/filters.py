"""Which of a batch's files are wanted: regular expressions, searched for in `JOB/path`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from distribute.client.words import argument, printable
from distribute.core.errors import InputError


class Filter(NamedTuple):
    """Files that match any of `include` (if it is empty: all files) and none of `exclude`."""

    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()

    @property
    def is_all(self) -> bool:
        """Are all files wanted?"""
        return not self.include and not self.exclude

    def wants(self, path: str) -> bool:
        """Is the file at `JOB/path` wanted?"""
        if self.include and not any(pattern.search(path) for pattern in self.include):
            return False
        return not any(pattern.search(path) for pattern in self.exclude)


def make_filter(include: Sequence[str], exclude: Sequence[str]) -> Filter:
    """A filter of regular expressions.

    Raises:
        InputError: some are not valid; it names each, with the place and the cause.
    """
    problems: list[str] = []
    made = Filter(tuple(_compiled(include, problems)), tuple(_compiled(exclude, problems)))
    if problems:
        raise InputError(*problems)
    return made


def _compiled(texts: Iterable[str], problems: list[str]) -> Iterable[re.Pattern[str]]:
    for text in texts:
        try:
            yield re.compile(text)
        except re.error as error:
            where = f" at character {error.pos + 1}" if error.pos is not None else ""
            problems.append(
                f"'{printable(text)}' is not a regular expression: {error.msg}{where}; "
                f"to search for it as plain text, write {argument(re.escape(text))}"
            )
