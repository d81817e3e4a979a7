"""Where in a shell's text a value stands, and how it is written there so that it stays one value.

This knows the quoting of POSIX shells (https://pubs.opengroup.org/onlinepubs/9799919799/, chapter 2.2). In
constructs beyond it (a here-document, backquotes, arithmetic), it calls the place unclear: values that a
shell could take for anything else are refused there.
"""

from __future__ import annotations

import re
import shlex
from enum import Enum

PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
"""Values that mean themselves wherever they stand in a shell's text."""

_SIMPLE_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_BEYOND = re.compile(r"`|\$\(\(|\$\{|\$['\"]|<<|\(\(")
_CASE = re.compile(r"\besac\b")
_ESCAPED_IN_DOUBLE = re.compile(r'([\\$`"])')


class Place(Enum):
    """Where a value stands."""

    BARE = "bare"
    SINGLE = "single"
    DOUBLE = "double"
    UNCLEAR = "unclear"


class ShellQuotes:
    """Follows a shell's text, part by part. `whole` is all of it."""

    def __init__(self, whole: str) -> None:
        self._stack = [Place.UNCLEAR if _CASE.search(whole) else Place.BARE]
        self._comment = False
        self._before = " "
        """The character before: a backslash or a dollar changes what comes next."""

    @property
    def place(self) -> Place:
        """Where a value would stand that comes next."""
        if self._comment or self._before in "\\$":
            return Place.UNCLEAR
        return self._stack[-1]

    def value(self) -> None:
        """A value comes next."""
        self._before = "x"

    def feed(self, text: str) -> None:
        """A part of the text comes next."""
        at = 0
        while at < len(text) and self._stack[-1] is not Place.UNCLEAR:
            at += self._step(text, at)

    def _step(self, text: str, at: int) -> int:
        """Look at one character, or at a construct. Returns its length."""
        place, char, before = self._stack[-1], text[at], self._before
        self._before = char
        if self._comment:
            self._comment = char != "\n"
        elif place is Place.SINGLE:
            self._leave_at(char, "'")
        elif before == "\\":
            self._before = "x"  # what is escaped escapes nothing
        elif variable := _SIMPLE_VARIABLE.match(text, at):
            self._before = "x"
            return len(variable[0])
        elif (beyond := _BEYOND.match(text, at)) and (place is Place.BARE or beyond[0][0] in "`$"):
            if place is Place.DOUBLE and beyond[0] in {'$"', "$'"}:
                return 1  # a dollar before the closing quote
            self._stack[-1] = Place.UNCLEAR
        elif text.startswith("$(", at):
            self._stack.append(Place.BARE)
            self._before = " "
            return 2
        elif place is Place.DOUBLE:
            self._leave_at(char, '"')
        else:
            self._step_bare(char, before)
        return 1

    def _leave_at(self, char: str, end: str) -> None:
        if char == end:
            self._stack.pop()
            self._before = "x"

    def _step_bare(self, char: str, before: str) -> None:
        if char == "'":
            self._stack.append(Place.SINGLE)
        elif char == '"':
            self._stack.append(Place.DOUBLE)
        elif char == "(":
            self._stack.append(Place.BARE)
        elif char == ")" and len(self._stack) > 1:
            self._stack.pop()
        elif char == "#" and before in " \t\n;&|()":
            self._comment = True


def quoted_for(place: Place, value: str) -> str | None:
    """The value as it is written there. None: it can't be written there without risk."""
    if PLAIN.fullmatch(value):
        return value
    match place:
        case Place.BARE:
            return shlex.quote(value)
        case Place.SINGLE:
            return value.replace("'", "'\\''")
        case Place.DOUBLE:
            return _ESCAPED_IN_DOUBLE.sub(r"\\\1", value)
        case Place.UNCLEAR:
            return None
