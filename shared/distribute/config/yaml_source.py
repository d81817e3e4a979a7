"""Reads YAML into plain values, and knows the place of each in the file.

PyYAML parses and composes. From its nodes we take only the structure. Every scalar stays the text that the
user wrote, although YAML 1.1 gives types to `no`, `1e3`, `0123`, `1.10` and `12:30:00`; the models decide
which type a value has. A plain `null`, `~` or nothing at all is None. Anchors, aliases and the merge key `<<`
work as usual.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Any, TypeAlias, cast

import yaml

from distribute.config.yaml_syntax import MAX_DEPTH, TOO_DEEP, Lines, Problem, UnreadableYaml, explain
from distribute.core.errors import InputError

Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
Loc: TypeAlias = tuple[str | int, ...]
"""Where a value is: the keys and list indices that lead to it, as in pydantic's errors."""

Loader: TypeAlias = "type[yaml.BaseLoader] | type[yaml.CBaseLoader]"

_CORE_TAG = "tag:yaml.org,2002:"
_VALUE = "distribute_value"
"""The attribute of a node that holds its value. None: it is being read."""
_MERGES_MAPPINGS = "'<<' merges mappings; write <<: *NAME, where &NAME marks a mapping above"
_NULL = f"{_CORE_TAG}null"
_MERGE = f"{_CORE_TAG}merge"
_KNOWN_TAGS = frozenset(
    _CORE_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge")
)


def _resolving_nulls_and_merges(base: Loader) -> Loader:
    """A loader that gives a meaning to a plain null and to `<<`; all other scalars are text.

    Its `when_done`, if it has one, is given each mapping of a list once the next item of the list begins.
    """

    def descend_resolver(self: Any, parent: yaml.Node | None, index: object) -> None:
        """PyYAML calls this before it composes a node. We have nothing else to do there."""
        if index and type(parent) is yaml.SequenceNode and self.when_done is not None:
            before = parent.value[-1]
            if type(before) is yaml.MappingNode:
                self.when_done(before)

    def ascend_resolver(self: Any) -> None:
        """The counterpart of `descend_resolver`."""

    hooks = {"descend_resolver": descend_resolver, "ascend_resolver": ascend_resolver, "when_done": None}
    loader: Loader = type(base.__name__, (base,), hooks)
    loader.add_implicit_resolver(_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
    loader.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ["<"])
    return loader


# Why PyYAML and no other library. Measured with 100,000 jobs (15 MB, 1.7 million scalars), two shared cores:
#
#                                         time     peak memory
#   PyYAML 6.0.4 with libyaml, compose     5 s     708 MB (200 MB where each job is read once composed)
#   ruamel.yaml 0.19.1, typ="rt", load   130 s    1740 MB (on 10,000 jobs: 11.4 s, PyYAML 0.4 s)
#   rapidyaml 0.15.2, parse_in_arena     0.3 s     218 MB
#
# ruamel.yaml's fast typ="safe" is libyaml again, and takes twice as long as PyYAML (10,000 jobs: 0.95 s).
# It would save us the check for duplicate keys. But we would have to keep it from reading `010`, `1e3` and
# `1.10` as numbers, and to put its errors, which are PyYAML's, into our words just the same. Both import in
# 25 ms. rapidyaml's Python side has no positions of nodes.
LOADERS: tuple[Loader, ...] = tuple(
    _resolving_nulls_and_merges(base)
    for base in (getattr(yaml, "CBaseLoader", None), yaml.BaseLoader)
    if base is not None
)
"""Fastest first. The first needs libyaml, which some builds of PyYAML lack."""


class Document:
    """A YAML file: its `value`, and for each part of it the place where the user wrote it.

    `name` is what problems call the file.
    """

    def __init__(self, text: str, name: str, loader: Loader = LOADERS[0]) -> None:
        self.name = name
        self._text = text
        self._loader = loader
        self._lines = Lines(text)
        self.problems: list[Problem] = []
        """Faults of the YAML despite which we could read all of it."""
        reader = _Reader(self._lines, self.problems)
        try:
            root = self._composed(reader.reduce)
            self.value = None if root is None else reader.value(root)
        except UnreadableYaml as error:
            raise InputError(*self.lines([*self.problems, *error.problems])) from error

    @classmethod
    def read(cls, path: Path, *, if_missing: str = "write the path of an existing file") -> Document:
        """Read the YAML file at `path`. `if_missing` is the advice for a file that does not exist.

        Raises:
            InputError: the file can't be read, or is not YAML.
        """
        name = str(path) if str(path).isprintable() else repr(str(path))
        try:
            return cls(path.read_bytes().decode("utf-8-sig"), name)
        except FileNotFoundError:
            raise InputError(f"{name}: there is no such file; {if_missing}") from None
        except IsADirectoryError:
            raise InputError(f"{name}: this is a folder; write the path of a YAML file") from None
        except OSError as error:
            raise InputError(f"{name}: can't read it: {error.strerror}; make it readable for you") from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}: byte {error.start + 1} is not UTF-8 ({error.reason}); write a text file in UTF-8"
            ) from error

    def lines(self, problems: Iterable[Problem]) -> list[str]:
        """The problems as `FILE:LINE:COLUMN: text`, in order of their places, without duplicates."""
        return [
            f"{self.name}:{line}:{column}: {problem.text}"
            for problem in sorted(set(problems))
            for line, column in [self._lines.position(problem.offset)]
        ]

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

    def offset(self, loc: Loc, *, of_key: bool = False) -> int:
        """Where the value at `loc` starts, or its key. If nothing is there, that of the value around it."""
        node, offset = self._root, 0
        for depth, part in enumerate(loc, 1):
            if isinstance(node, yaml.MappingNode):
                _flatten(node)
                pair = next((pair for pair in node.value if _key_text(pair[0]) == part), None)
                if pair is not None:
                    node = pair[1]
                    offset = _offset(pair[0] if of_key and depth == len(loc) else node)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                offset = _offset(node)
        return offset

    @cached_property
    def _root(self) -> yaml.Node | None:
        """The nodes, composed again: only a wrong file needs them, and they take far more memory."""
        return self._composed()

    def _composed(self, when_done: Callable[[yaml.MappingNode], None] | None = None) -> yaml.Node | None:
        try:
            loader: Any = self._loader(self._text)
            loader.when_done = when_done
            try:
                return cast("yaml.Node | None", loader.get_single_node())
            finally:
                loader.when_done = None
                loader.dispose()
        except yaml.YAMLError as error:
            raise UnreadableYaml(*explain(self._text, error)) from error
        except RecursionError as error:  # libyaml has a limit of its own
            raise UnreadableYaml(Problem(0, TOO_DEEP)) from error


def _offset(node: yaml.Node) -> int:
    return node.start_mark.index


def _key_text(node: yaml.Node) -> str:
    return "" if node.tag == _NULL else str(node.value)


def _flatten(mapping: yaml.MappingNode) -> None:
    """Replace the merge keys of a mapping by the keys that they merge. Of equal keys, the first counts.

    PyYAML's `flatten_mapping` is no use: in 6.0.4, the last of several merged mappings wins, not the first.
    """
    merges = [pair for pair in mapping.value if pair[0].tag == _MERGE]
    if not merges:
        return
    pairs = [pair for pair in mapping.value if pair[0].tag != _MERGE]
    known = {_key_text(key) for key, _ in pairs}
    for merge, sources in merges:
        for source in sources.value if isinstance(sources, yaml.SequenceNode) else [sources]:
            if not isinstance(source, yaml.MappingNode):
                raise UnreadableYaml(Problem(_offset(merge), _MERGES_MAPPINGS))
            _flatten(source)
            new = [pair for pair in source.value if _key_text(pair[0]) not in known]
            known.update(_key_text(key) for key, _ in new)
            pairs += new
    mapping.value = pairs


class _Reader:
    """Turns nodes into plain values. Adds faults that do not stop it to `problems`."""

    def __init__(self, lines: Lines, problems: list[Problem]) -> None:
        self._lines = lines
        self._problems = problems

    def reduce(self, node: yaml.MappingNode) -> None:
        """Read a mapping that is composed, and let its nodes go: those of 100,000 jobs take 700 MB."""
        self.value(node)
        node.value = []

    def value(self, node: yaml.Node, depth: int = 0) -> Value:
        self._check_tag(node)
        if isinstance(node, yaml.ScalarNode):
            return None if node.tag == _NULL else str(node.value)
        # An alias is one more reference to its anchor's node. Reading each node once keeps a file with
        # aliases of aliases from growing exponentially.
        done = node.__dict__.get(_VALUE)
        if done is not None:
            return cast("Value", done)
        if _VALUE in node.__dict__ or node.end_mark is None:  # we are, or PyYAML is, still inside this node
            text = "what starts here contains an alias of itself; remove the alias, or quote the '*'"
            raise UnreadableYaml(Problem(_offset(node), text))
        if depth > MAX_DEPTH:
            raise UnreadableYaml(Problem(_offset(node), TOO_DEEP))
        node.__dict__[_VALUE] = None
        value: Value
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node, depth + 1)
        else:
            value = [self.value(item, depth + 1) for item in node.value]
        node.__dict__[_VALUE] = value
        return value

    def _mapping(self, node: yaml.MappingNode, depth: int) -> Value:
        items: dict[str, Value] = {}
        merges: list[tuple[yaml.Node, yaml.Node]] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merges.append((key_node, value_node))
                continue
            key = self._key(key_node)
            if key in items:
                self._report_duplicate(node, key_node)
            else:
                items[key] = self.value(value_node, depth)
        for key_node, value_node in merges:
            merged = self.value(value_node, depth)  # raises if this mapping would merge itself
            for source in merged if isinstance(merged, list) else [merged]:
                if not isinstance(source, dict):
                    raise UnreadableYaml(Problem(_offset(key_node), _MERGES_MAPPINGS))
                for key, value in source.items():
                    items.setdefault(key, value)
        return items

    def _key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode):
            self._check_tag(node)
            return intern(_key_text(node))  # the same few keys, in every job
        found = "a mapping in {…}" if isinstance(node, yaml.MappingNode) else "a list in […]"
        text = f"a key must be text, and this is {found}; put quotes around what is text"
        raise UnreadableYaml(Problem(_offset(node), text))

    def _report_duplicate(self, node: yaml.MappingNode, second: yaml.Node) -> None:
        first = next(key for key, _ in node.value if _key_text(key) == _key_text(second))
        line, _ = self._lines.position(_offset(first))
        text = f"the key {_key_text(second)!r} is on line {line} already; remove one of the two"
        self._problems.append(Problem(_offset(second), text))

    def _check_tag(self, node: yaml.Node) -> None:
        if node.tag in _KNOWN_TAGS:
            return
        tag = f"!!{node.tag.removeprefix(_CORE_TAG)}" if node.tag.startswith(_CORE_TAG) else node.tag
        text = f"the tag {tag} means nothing here; remove it, or quote the text"
        self._problems.append(Problem(_offset(node), text))
