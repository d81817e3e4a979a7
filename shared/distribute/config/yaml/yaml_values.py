"""Turns the nodes of a YAML file into plain values.

From the nodes we take only the structure. Every scalar stays the text that the user wrote, although YAML 1.1
gives types to `no`, `1e3`, `0123`, `1.10` and `12:30:00`; the models decide which type a value has. A plain
`null`, `~` or nothing at all is None. Anchors, aliases and the merge key `<<` work as usual.
"""

from __future__ import annotations

from sys import intern
from typing import TypeAlias, cast

import yaml

from distribute.config.yaml.yaml_nodes import CORE_TAG, MERGE, NULL, key_text, offset_of, own_pair
from distribute.config.yaml.yaml_syntax import MAX_DEPTH, TOO_DEEP, Found, Lines, Problem, UnreadableYaml
from distribute.core.words import quoted

Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"

MAX_REPEATED = 1_000_000
"""Max. values that aliases repeat, and keys that are merged. A batch with more could not be submitted, and
would take minutes to check."""

_A_VALUE_CHARS = 100
"""As many characters count as one value."""

_VALUE = "distribute_value"
"""The attribute of a node that holds its value. None: it is being read."""
_EARLY = "distribute_early"
"""The attribute of a node that was read before its list was, and that no alias has named since."""

_MERGES_MAPPINGS = "'<<' merges mappings; write <<: *NAME, where &NAME marks a mapping above"
_REPEATED = (
    f"aliases repeat what starts here until the file has more than {MAX_REPEATED} values; "
    "write files that all jobs need once, under initialize, or pack them into one archive"
)
_MERGED = f"up to here, '<<' merges more than {MAX_REPEATED} keys; write several files with fewer jobs"
_KNOWN_TAGS = frozenset(
    CORE_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge")
)


class Reader:
    """Turns nodes into plain values. Adds faults that do not stop it to `found`.

    `repeated` has the ids of the lists and mappings that occur in several places, by aliases or merges: what
    is found out about one of them need not be found out again. `excess` says that aliases repeat too much.
    """

    def __init__(self, lines: Lines, found: Found) -> None:
        self.repeated: set[int] = set()
        self.excess: Problem | None = None
        self._lines = lines
        self._found = found
        self._sizes: dict[int, int] = {}
        self._repeated_values = 0
        self._merged_keys = 0
        self._merged: dict[int, dict[str, Value]] = {}  # by id: so they are kept, and no other gets the id

    def reduce(self, node: yaml.MappingNode) -> None:
        """Read a mapping that is composed, and let its nodes go: those of 100,000 jobs take 700 MB."""
        self.value(node)
        node.value = []
        node.__dict__[_EARLY] = True

    def value(self, node: yaml.Node, depth: int = 0) -> Value:
        """The value of a node.

        Raises:
            UnreadableYaml: it is nested too deep, contains itself, or merges too many keys.
        """
        if node.tag not in _KNOWN_TAGS:
            self._report_tag(node)
        if isinstance(node, yaml.ScalarNode):
            return None if node.tag == NULL else self._text(node)
        # An alias is one more reference to its anchor's node. Reading each node once keeps a file with
        # aliases of aliases from growing exponentially.
        done = node.__dict__.get(_VALUE)
        if done is not None:
            if not node.__dict__.pop(_EARLY, False):
                self._count_again(node, done)
            return cast("Value", done)
        if _VALUE in node.__dict__ or node.end_mark is None:  # we are, or PyYAML is, still inside this node
            text = "what starts here contains an alias of itself; remove the alias, or quote the '*'"
            raise UnreadableYaml(Problem(offset_of(node), text))
        if depth > MAX_DEPTH:
            raise UnreadableYaml(Problem(offset_of(node), TOO_DEEP))
        node.__dict__[_VALUE] = None
        value: Value
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node, depth + 1)
        else:
            value = [self.value(item, depth + 1) for item in node.value]
        node.__dict__[_VALUE] = value
        return value

    def _text(self, node: yaml.ScalarNode) -> str:
        text: str = node.value
        if len(text) > _A_VALUE_CHARS:
            if _VALUE in node.__dict__:
                self._count_again(node, text)
            node.__dict__[_VALUE] = text
        return text

    def _count_again(self, node: yaml.Node, value: Value) -> None:
        """Count a value that an alias repeats."""
        self.repeated.add(id(value))
        self._repeated_values += self._sizes.get(id(value)) or self._size(value)
        if self._repeated_values > MAX_REPEATED and self.excess is None:
            self.excess = Problem(offset_of(node), _REPEATED)

    def _size(self, value: Value) -> int:
        """How many values are in a value. Looks at each list and mapping once."""
        if value is None:
            return 1
        if isinstance(value, str):
            return 1 + len(value) // _A_VALUE_CHARS
        known = self._sizes.get(id(value))
        if known is None:
            items = value.values() if isinstance(value, dict) else value
            known = self._sizes[id(value)] = 1 + sum(map(self._size, items))
        return known

    def _mapping(self, node: yaml.MappingNode, depth: int) -> Value:
        items: dict[str, Value] = {}
        merges: list[tuple[yaml.Node, yaml.Node]] = []
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                merges.append((key_node, value_node))
                continue
            key = self._key(key_node)
            if key in items:
                self._report_duplicate(node, key_node, key)
            else:
                items[key] = self.value(value_node, depth)
        for key_node, value_node in merges:
            merged = self.value(value_node, depth)  # raises if this mapping would merge itself
            for source in merged if isinstance(merged, list) else [merged]:
                if not isinstance(source, dict):
                    raise UnreadableYaml(Problem(offset_of(key_node), _MERGES_MAPPINGS))
                self._merged_keys += len(source)
                if self._merged_keys > MAX_REPEATED:
                    raise UnreadableYaml(Problem(offset_of(key_node), _MERGED))
                items = source | items if items else source  # nothing is added to it from here on
                self._note_merged(source)
        return items

    def _note_merged(self, source: dict[str, Value]) -> None:
        """Note that the values of `source` occur in several places. Looks at each mapping once."""
        if id(source) not in self._merged:
            self._merged[id(source)] = source
            self.repeated.update(id(value) for value in source.values() if isinstance(value, list | dict))

    def _key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in _KNOWN_TAGS:
                self._report_tag(node)
            return intern(key_text(node))  # the same few keys, in every job
        found = "a mapping in {…}" if isinstance(node, yaml.MappingNode) else "a list in […]"
        text = f"a key must be text, and this is {found}; put quotes around what is text"
        raise UnreadableYaml(Problem(offset_of(node), text))

    def _report_duplicate(self, node: yaml.MappingNode, second: yaml.Node, key: str) -> None:
        def problem() -> Problem:
            line, _ = self._lines.position(offset_of(own_pair(node, key)[0]))
            text = f"the key {quoted(key)} is on line {line} already; remove one of the two"
            return Problem(offset_of(second), text)

        self._found.add(problem)

    def _report_tag(self, node: yaml.Node) -> None:
        tag = f"!!{node.tag.removeprefix(CORE_TAG)}" if node.tag.startswith(CORE_TAG) else node.tag
        tag = tag if len(tag) <= _A_VALUE_CHARS else f"{tag[:_A_VALUE_CHARS]}…"
        text = f"the tag {tag} means nothing here; remove it, or quote the text"
        self._found.add(Problem, offset_of(node), text)
