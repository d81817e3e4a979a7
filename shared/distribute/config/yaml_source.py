"""YAML text -> plain values, each with the place it stands at.

Only the shape of the YAML is used: every scalar is the text that was written, whatever YAML 1.1 would
make of it (`no`, `1e3`, `0123`, `1.10`, `12:30:00`); the models say what type a value has. A plain
`null`, `~` or nothing at all is None. Of YAML's other features, anchors, aliases and the merge key
`<<` work as usual.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from sys import intern
from typing import TypeAlias

import yaml

from distribute.config.yaml_syntax import Lines, Problem, UnreadableYaml, explain
from distribute.core.errors import InputError

Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
Loc: TypeAlias = tuple[str | int, ...]
"""Where a value is: the keys and list indices that lead to it, as in pydantic's errors."""

# libyaml's parser is some ten times faster, but not on every platform.
_LOADER: type[yaml.CBaseLoader] | type[yaml.BaseLoader] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_MAX_DEPTH = 50
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_CORE_TAG = "tag:yaml.org,2002:"
_CORE_TYPES = frozenset({"str", "int", "float", "bool", "null", "timestamp", "seq", "map"})


class Document:
    """A YAML file: its `value`, and for every part of it the place where it was written.

    `name` is what problems call the file.
    """

    def __init__(
        self, text: str, name: str, loader: type[yaml.CBaseLoader] | type[yaml.BaseLoader] = _LOADER
    ) -> None:
        self.name = name
        self._lines = Lines(text)
        composer = _Composer(yaml.parse(text, Loader=loader), self._lines)
        try:
            self.value = composer.document()
        except yaml.YAMLError as error:
            raise InputError(*self.lines([*composer.problems, *explain(text, error)])) from error
        except UnreadableYaml as error:
            raise InputError(*self.lines([*composer.problems, error.problem])) from error
        self._places = composer.places
        self.problems = composer.problems
        """What is wrong with the YAML itself, although all of it could be read."""

    @classmethod
    def read(cls, path: Path, *, if_missing: str = "write the path of one") -> Document:
        """The YAML file at `path`. `if_missing` is what to tell of a file that is not there.

        Raises:
            InputError: it can't be read, or is no YAML.
        """
        name = str(path) if str(path).isprintable() else repr(str(path))
        try:
            return cls(path.read_bytes().decode("utf-8-sig"), name)
        except FileNotFoundError:
            raise InputError(f"{name}: there is no such file; {if_missing}") from None
        except IsADirectoryError:
            raise InputError(f"{name}: this is a folder; write the path of a YAML file") from None
        except OSError as error:
            raise InputError(f"{name}: can't be read: {error.strerror}; make it readable for you") from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}: byte {error.start + 1} is not UTF-8 ({error.reason}); write a text file in UTF-8"
            ) from error

    def lines(self, problems: Iterable[Problem]) -> list[str]:
        """The problems as `FILE:LINE:COLUMN: text`, in order of their places, each once."""
        return [
            f"{self.name}:{line}:{column}: {problem.text}"
            for problem in sorted(set(problems))
            for line, column in [self._lines.position(problem.offset)]
        ]

    def line_of(self, loc: Loc, *, of_key: bool = False) -> int:
        return self._lines.position(self.offset(loc, of_key=of_key))[0]

    def offset(self, loc: Loc, *, of_key: bool = False) -> int:
        """Where the value at `loc` starts, or its key; where nothing is, the innermost value around it."""
        value, offset = self.value, 0
        for depth, part in enumerate(loc, 1):
            if isinstance(value, dict) and part in value:
                index = 2 * list(value).index(str(part)) + (0 if of_key and depth == len(loc) else 1)
                offset, value = self._places.of(value, index), value[str(part)]
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                offset, value = self._places.of(value, part), value[part]
        return offset


class _Places:
    """The offsets of what lists and mappings hold: one an item in a list, key and value in a mapping.

    All lie in one array: a hundred thousand jobs have millions of them, and objects of their own would
    cost hundreds of megabytes, and seconds in the garbage collector.
    """

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._starts: dict[int, int] = {}

    def add(self, holder: Value, offsets: list[int]) -> None:
        self._starts[id(holder)] = len(self._offsets)
        self._offsets.extend(offsets)

    def of(self, holder: Value, index: int) -> int:
        return self._offsets[self._starts[id(holder)] + index]


def _offset(event: yaml.Event) -> int:
    mark = event.start_mark
    assert mark is not None  # only events built by hand have none
    return mark.index


class _Composer:
    """Builds plain values from the parser's events, and keeps the place of each."""

    def __init__(self, events: Iterator[yaml.Event], lines: Lines) -> None:
        self._events = events
        self._lines = lines
        self._anchors: dict[str, Value] = {}
        self.places = _Places()
        self.problems: list[Problem] = []

    def document(self) -> Value:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), 0)
        next(self._events)  # the document's end
        another = next(self._events)
        if not isinstance(another, yaml.StreamEndEvent):
            raise UnreadableYaml(_offset(another), "a second document starts here; write one batch a file")
        return value

    def _value(self, event: yaml.Event, depth: int) -> Value:
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        value: Value
        if isinstance(event, yaml.ScalarEvent):
            # Only a plain scalar, which has no style, can be null.
            value = None if event.value in _NULLS and not event.style and event.tag is None else event.value
        elif depth > _MAX_DEPTH:
            raise UnreadableYaml(
                _offset(event), f"nested more than {_MAX_DEPTH} deep; close the brackets before"
            )
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(depth + 1)
        else:
            value = self._mapping(depth + 1)
        if event.tag is not None:
            self._check_tag(event, event.tag)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _aliased(self, event: yaml.AliasEvent) -> Value:
        if event.anchor not in self._anchors:
            raise UnreadableYaml(
                _offset(event),
                f"*{event.anchor} refers to an anchor that is not above it; if it is meant as text, "
                f'put quotes around it: "*{event.anchor}"',
            )
        return self._anchors[event.anchor]

    def _list(self, depth: int) -> Value:
        items: list[Value] = []
        offsets: list[int] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            offsets.append(_offset(event))
            items.append(self._value(event, depth))
        self.places.add(items, offsets)
        return items

    def _mapping(self, depth: int) -> Value:
        items: dict[str, Value] = {}
        offsets: list[int] = []
        merges: list[tuple[int, Value]] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            offset, key = _offset(event), self._key(event, depth)
            value_event = next(self._events)
            value = self._value(value_event, depth)
            if key == "<<":
                merges += [(offset, source) for source in (value if isinstance(value, list) else [value])]
            elif key in items:
                first, _ = self._lines.position(offsets[2 * list(items).index(key)])
                self.problems.append(
                    Problem(offset, f"the key {key!r} is on line {first} already; take one of the two out")
                )
            else:
                items[key] = value
                offsets += offset, _offset(value_event)
        for offset, source in merges:
            self._merge(source, items, offsets, offset)
        self.places.add(items, offsets)
        return items

    def _key(self, event: yaml.Event, depth: int) -> str:
        key = self._value(event, depth)
        if isinstance(key, str):
            return intern(key)  # the same few keys, in every job
        if key is None:
            return ""
        found = "a mapping in {…}" if isinstance(key, dict) else "a list in […]"
        raise UnreadableYaml(
            _offset(event),
            f"a key must be text, and this is {found}; put quotes around what is text",
        )

    def _merge(self, source: Value, items: dict[str, Value], offsets: list[int], here: int) -> None:
        if not isinstance(source, dict):
            raise UnreadableYaml(
                here, "'<<' merges mappings; write <<: *NAME, where &NAME marks a mapping above"
            )
        for index, (key, value) in enumerate(source.items()):
            if key not in items:
                items[key] = value
                offsets += self.places.of(source, 2 * index), self.places.of(source, 2 * index + 1)

    def _check_tag(self, event: yaml.Event, tag: str) -> None:
        if tag.removeprefix(_CORE_TAG) not in _CORE_TYPES:
            shown = f"!!{tag.removeprefix(_CORE_TAG)}" if tag.startswith(_CORE_TAG) else tag
            self.problems.append(
                Problem(_offset(event), f"the tag {shown} means nothing here; take it out, or quote the text")
            )
