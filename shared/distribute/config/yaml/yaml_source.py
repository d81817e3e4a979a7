"""Reads a YAML file: its plain values, and for each of them its place in the file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, TypeAlias

import yaml

from distribute.config.yaml.yaml_nodes import (
    LOADERS,
    Beginning,
    Loader,
    beginning,
    composed,
    offset_of,
    pair_of,
)
from distribute.config.yaml.yaml_syntax import LOOKED_AT, Found, Lines, UnreadableYaml
from distribute.config.yaml.yaml_values import Reader, Value
from distribute.core.errors import InputError
from distribute.core.os_words import why
from distribute.core.words import MAX_TOLD, first_of

__all__ = ["LOADERS", "Document", "Loader", "Loc", "Value"]

Loc: TypeAlias = tuple[str | int, ...]
"""Where a value is: the keys and list indices that lead to it, as in pydantic's errors."""

MAX_FILE_BYTES = 512 << 20
"""A larger file is no batch that could be submitted; somebody named the wrong file."""

LONGEST_PROBLEM = 1000
"""A problem of more characters is cut. Values are cut where they are quoted already."""

KEPT_CHARS = 2 << 20
"""The nodes of a text of up to so many characters are kept for the places of problems."""


class Document:
    """A YAML file: its `value`, and for each part of it the place where the user wrote it.

    `name` is what problems call the file. `repeated` has the ids of the lists and mappings in `value` that
    occur in several places.
    """

    top: ClassVar[str] = "the top level"
    """What problems call the whole document."""

    def __init__(self, text: str, name: str, loader: Loader = LOADERS[0]) -> None:
        self.name = name
        self._text = text
        self._loader = loader
        self._lines = Lines(text)
        self.found = Found()
        """Faults of the YAML despite which we could read all of it."""
        reader = Reader(self._lines, self.found)
        is_small = len(text) <= KEPT_CHARS
        try:
            root = composed(text, loader, None if is_small else reader.reduce)
            self.value = None if root is None else reader.value(root)
        except UnreadableYaml as error:
            self.found += Found(error.problems)
            raise InputError(*self.lines(self.found)) from error
        self.repeated = frozenset(reader.repeated)
        self.excess = reader.excess
        """Why aliases make the value too large to be looked at, if they do."""
        if is_small:
            self._root = root

    @classmethod
    def read(cls, path: Path, *, if_missing: str = "write the path of an existing file") -> Document:
        """Read the YAML file at `path`. `if_missing` is the advice for a file that does not exist.

        Raises:
            InputError: the file can't be read, or is not YAML.
        """
        name = str(path) if str(path).isprintable() else repr(str(path))
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            raise InputError(f"{name}: there is no such file; {if_missing}") from None
        except IsADirectoryError:
            raise InputError(f"{name}: this is a folder; write the path of a YAML file") from None
        except OSError as error:
            raise InputError(f"{name}: can't read it: {why(error)}; make it readable for you") from error
        except ValueError:
            raise InputError(f"{name}: no file can have this name") from None
        if len(data) > MAX_FILE_BYTES:
            raise InputError(f"{name}: this is too large for a file of jobs; is it another file?")
        try:
            return cls(data.decode("utf-8-sig"), name)
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: {why_not_text(data, error.start)}") from None

    def lines(self, found: Found) -> list[str]:
        """The problems as `FILE:LINE:COLUMN: text`, in order of their places, without duplicates.

        Of many, the first, and a line that counts the others.
        """
        ordered = sorted(dict.fromkeys(found.problems), key=lambda problem: problem.offset)
        told: dict[tuple[int, str], None] = {}
        rest = iter(ordered)
        for problem in rest:
            told[problem.offset, problem.words] = None
            if len(told) == MAX_TOLD:
                break
        lines = [self._line(offset, words) for offset, words in sorted(told)]
        return first_of(lines, len(list(rest)) + found.more)

    def _line(self, offset: int, words: str) -> str:
        line, column = self._lines.position(offset)
        cut = words if len(words) <= LONGEST_PROBLEM else f"{words[:LONGEST_PROBLEM]}…"
        return f"{self.name}:{line}:{column}: {cut}"

    def at(self, loc: Loc) -> Value:
        """The value at `loc`. If nothing is there, the innermost value around it."""
        value = self.value
        for part in loc:
            if isinstance(value, dict):
                value = value.get(str(part), value)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
        return value

    def line_of(self, loc: Loc, *, of_key: bool = False) -> int:
        return self._lines.position(self.offset(loc, of_key=of_key))[0]

    def place(self, loc: Loc, *, of_key: bool = False) -> str:
        """The place of a value, or of its key, behind "here and …"."""
        return f"on line {self.line_of(loc, of_key=of_key)}"

    def option(self, loc: Loc) -> str:
        """The option of a command line that says the value at `loc`. Empty: the value is in a file."""
        return ""

    def offset(self, loc: Loc, *, of_key: bool = False) -> int:
        """Where the value at `loc` starts, or its key. If nothing is there, that of the value around it."""
        begun = self._beginning
        offset = None if begun is None else self._offset(begun.root, loc, of_key, by=begun.long)
        return (self._offset(self._root, loc, of_key) or 0) if offset is None else offset

    def _offset(
        self, root: yaml.Node | None, loc: Loc, of_key: bool, by: yaml.Node | None = None
    ) -> int | None:
        """The offset, found from these nodes. None: they end before it, or it is not in the list `by`."""
        node, value, offset, passed = root, self.value, 0, by is None
        for depth, part in enumerate(loc, 1):
            if isinstance(value, dict) and part in value and isinstance(part, str):
                assert isinstance(node, yaml.MappingNode), "values have the structure of their nodes"
                pair = pair_of(node, part)
                if pair is None:
                    return None
                node, value = pair[1], value[part]
                offset = offset_of(pair[0] if of_key and depth == len(loc) else node)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                assert isinstance(node, yaml.SequenceNode), "values have the structure of their nodes"
                if part >= len(node.value):
                    return None
                passed = passed or node is by
                node, value = node.value[part], value[part]
                offset = offset_of(node)
        return offset if passed else None

    @cached_property
    def _beginning(self) -> Beginning | None:
        """The nodes of the first of many jobs. What is wrong is often wrong in all: the first are told."""
        return None if len(self._text) <= KEPT_CHARS else beginning(self._text, self._loader, LOOKED_AT)

    @cached_property
    def _root(self) -> yaml.Node | None:
        """The nodes, composed again: only a wrong file needs them, and they take far more memory."""
        return composed(self._text, self._loader)


_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_LOOKED_AT_BYTES = 1000


def why_not_text(data: bytes, wrong_at: int, wanted: str = "a YAML file") -> str:
    """What a file is that is not UTF-8 at the byte `wrong_at`, and what to do."""
    if data[:2] in _ENCODINGS:
        return f"this is text in {_ENCODINGS[data[:2]]}; save it in UTF-8"
    if b"\0" in data[:_LOOKED_AT_BYTES]:
        return f"this is a binary file; write the path of {wanted}"
    line = data.count(b"\n", 0, wrong_at) + 1
    return f"byte {wrong_at + 1}, on line {line}, is not UTF-8; save the file in UTF-8"
