"""Composes YAML into PyYAML's nodes, and finds keys among them.

PyYAML's tree has the place of each node in the text. `yaml_values` turns it into plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias, cast

import yaml

from distribute.config.yaml.yaml_syntax import MAX_DEPTH, TOO_DEEP, Problem, UnreadableYaml, explain

Loader: TypeAlias = "type[yaml.BaseLoader] | type[yaml.CBaseLoader]"
Pair: TypeAlias = tuple[yaml.Node, yaml.Node]
"""A key and its value."""

MAX_ITEMS = 200_000
"""We stop composing a list that is longer: no key takes so many items."""

CORE_TAG = "tag:yaml.org,2002:"
NULL = f"{CORE_TAG}null"
MERGE = f"{CORE_TAG}merge"
_TEXT = f"{CORE_TAG}str"
_SEQUENCE = f"{CORE_TAG}seq"
_MAPPING = f"{CORE_TAG}map"

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_KEYS = "distribute_keys"
"""The attribute of a mapping's node that holds its `_Keys`."""


class _TooDeep(yaml.YAMLError):
    """The text is nested too deep, as seen at `offset`, in characters."""

    def __init__(self, offset: int) -> None:
        super().__init__(TOO_DEEP)
        self.offset = offset


def _resolving_nulls_and_merges(base: Loader) -> Loader:
    """A loader that gives a meaning to a plain null and to `<<`; all other scalars are text.

    Its `when_done`, if it has one, is given each mapping of a list once the next item of the list begins.
    """

    def resolve(self: Any, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        """The tag of a node that has none. PyYAML's own, which knows more tags, takes twice as long."""
        if kind is not yaml.ScalarNode:
            return _SEQUENCE if kind is yaml.SequenceNode else _MAPPING
        if not implicit[0]:  # it is in quotes
            return _TEXT
        return NULL if value in _NULLS else MERGE if value == "<<" else _TEXT

    def descend_resolver(self: Any, parent: yaml.Node | None, index: object) -> None:
        """PyYAML calls this before it composes a node. We have nothing else to do there."""
        self.depth += 1
        if self.depth > _MAX_COMPOSED_DEPTH:
            raise _TooDeep(offset_of(cast("yaml.Node", parent)))
        if index and type(parent) is yaml.SequenceNode:
            if index == MAX_ITEMS:
                raise UnreadableYaml(Problem(offset_of(parent), _TOO_LONG))
            if self.when_done is not None:
                before = parent.value[-1]
                if type(before) is yaml.MappingNode:
                    self.when_done(before)

    def ascend_resolver(self: Any) -> None:
        """The counterpart of `descend_resolver`."""
        self.depth -= 1

    hooks = {
        "resolve": resolve,
        "descend_resolver": descend_resolver,
        "ascend_resolver": ascend_resolver,
        "when_done": None,
        "depth": 0,
    }
    loader: Loader = type(base.__name__, (base,), hooks)
    return loader


_MAX_COMPOSED_DEPTH = 2 * MAX_DEPTH
"""Whoever reads the nodes says where they are too deep. This comes before Python's limit, which varies."""
_TOO_LONG = f"a list of more than {MAX_ITEMS} items starts here; write several files with fewer"

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


def composed(
    text: str, make: Loader, when_done: Callable[[yaml.MappingNode], None] | None = None
) -> yaml.Node | None:
    """The root of the text's nodes; None if it holds nothing.

    Args:
        text: the YAML.
        make: one of `LOADERS`.
        when_done: is given each mapping of a list once the next item of the list begins.

    Raises:
        UnreadableYaml: it is not YAML.
    """
    try:
        return _composed(text, make, when_done)
    except _TooDeep as error:
        raise UnreadableYaml(Problem(error.offset, TOO_DEEP)) from error
    except yaml.YAMLError as error:
        raise UnreadableYaml(*explain(text, error, lambda mended: _composed(mended, make))) from error
    except RecursionError as error:  # libyaml has a limit of its own
        raise UnreadableYaml(Problem(0, TOO_DEEP)) from error


def _composed(
    text: str, make: Loader, when_done: Callable[[yaml.MappingNode], None] | None = None
) -> yaml.Node | None:
    loader: Any = make(text)
    loader.when_done = when_done
    try:
        return cast("yaml.Node | None", loader.get_single_node())
    finally:
        loader.when_done = None
        loader.dispose()


class Beginning(NamedTuple):
    """The nodes of a text up to an item of a `long` list. What is around it is there as far as it goes."""

    root: yaml.Node
    long: yaml.SequenceNode


class _Enough(Exception):
    """The beginning is composed."""


def beginning(text: str, make: Loader, items: int) -> Beginning | None:
    """The beginning of a text that was composed before, with so many items of the first list that has more.

    None: no list has more.
    """
    around: list[tuple[Any, Any]] = []
    """The nodes that are being composed, each with the key or number of what is composed in it."""

    def descend_resolver(self: Any, parent: yaml.Node | None, index: object) -> None:
        around.append((parent, index))
        if type(parent) is yaml.SequenceNode and index == items:
            raise _Enough

    def ascend_resolver(self: Any) -> None:
        around.pop()

    hooks = {"descend_resolver": descend_resolver, "ascend_resolver": ascend_resolver}
    try:
        _composed(text, type(make.__name__, (make,), hooks))
    except _Enough:
        for (parent, index), (node, _) in pairwise(around[1:]):
            parent.value.append((index, node) if type(parent) is yaml.MappingNode else node)
        return Beginning(around[1][0], around[-1][0])
    return None


def offset_of(node: yaml.Node) -> int:
    """Where a node starts, in characters."""
    return node.start_mark.index


def key_text(node: yaml.Node) -> str:
    """A key as the user wrote it."""
    return "" if node.tag == NULL else str(node.value)


class _Keys(NamedTuple):
    """A mapping's own pairs by their keys, of equal ones the first; and the mappings that it merges.

    `pairs` also holds merged pairs that were looked up before.
    """

    pairs: dict[str, Pair]
    merged: tuple[yaml.MappingNode, ...]


def own_pair(mapping: yaml.MappingNode, key: str) -> Pair:
    """The first pair of a mapping that has this key. There is one."""
    return _keys(mapping).pairs[key]


def pair_of(mapping: yaml.MappingNode, key: str) -> Pair | None:
    """The pair of a mapping that has this key, or of what it merges: there, too, the first counts."""
    known = _keys(mapping).pairs
    if key not in known:
        for each in _with_merged(mapping):
            if (pair := _keys(each).pairs.get(key)) is not None:
                known[key] = pair
                break
    return known.get(key)


def _with_merged(mapping: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
    """A mapping, and all that it merges, directly or not, each once."""
    seen, rest = {id(mapping)}, [mapping]
    while rest:
        each = rest.pop()
        yield each
        for source in reversed(_keys(each).merged):
            if id(source) not in seen:
                seen.add(id(source))
                rest.append(source)


def _keys(mapping: yaml.MappingNode) -> _Keys:
    keys: _Keys | None = mapping.__dict__.get(_KEYS)
    if keys is None:
        pairs: dict[str, Pair] = {}
        merged: list[yaml.MappingNode] = []
        for pair in mapping.value:
            key, value = pair
            if key.tag != MERGE:
                pairs.setdefault(key_text(key), pair)
            else:
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                merged += [source for source in sources if isinstance(source, yaml.MappingNode)]
        keys = mapping.__dict__[_KEYS] = _Keys(pairs, tuple(merged))
    return keys
