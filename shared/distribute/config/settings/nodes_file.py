"""Read the nodes file of the first `distribute`, `distribute-nodes.yaml`: names and capabilities of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field

from distribute.config.sections.problems import validate
from distribute.config.sections.section import AuthorName, Capabilities, NonEmpty, Section, at_most
from distribute.config.yaml.yaml_source import Document
from distribute.config.yaml.yaml_syntax import Found, Problem
from distribute.core.errors import InputError
from distribute.core.spec.specs import MAX_LISTED
from distribute.core.words import few, quoted

_JOBS = "this is a key of a batch's file: `distribute add` takes that"


class NodeEntry(Section):
    """A node. Its address and ports are not needed: nodes connect to the head."""

    name: AuthorName | None = Field(default=None, examples=["ws07"])
    capabilities: Capabilities = Field(default=(), examples=["[gfortran, gpu]"])
    ip: NonEmpty | None = Field(default=None, examples=['"192.0.2.7"'])
    transport_port: int | None = Field(default=None, ge=1, le=65535, examples=["8953"])
    keepalive_port: int | None = Field(default=None, ge=1, le=65535, examples=["8954"])
    cancel_port: int | None = Field(default=None, ge=1, le=65535, examples=["8955"])


class _NodesFile(Section):
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(("meta", "python", "apptainer", "command"), _JOBS)

    nodes: Annotated[tuple[NodeEntry, ...], at_most(MAX_LISTED, "nodes")] = Field(
        examples=["[{name: ws07, capabilities: [gfortran]}]"]
    )


class ListedNodes(NamedTuple):
    """What a nodes file says.

    `capabilities` are by the name of the node. `unused` says in one line each what is not used, and why.
    """

    capabilities: Mapping[str, frozenset[str]]
    unused: tuple[str, ...]


def load_nodes_file(path: Path) -> ListedNodes:
    """The nodes in the file at `path`.

    Raises:
        InputError: the file can't be read, or something in it is wrong; it holds every problem.
    """
    document = Document.read(
        path, if_missing="write the path of a file with nodes, or leave out --nodes-file"
    )
    file, found = validate(document, _NodesFile)
    if file is not None:
        found += Found(_repeated(document, file))
    found += document.found
    if file is None or found:
        raise InputError(*document.lines(found))
    return ListedNodes(
        {entry.name: frozenset(entry.capabilities) for entry in file.nodes if entry.name is not None},
        tuple(_unused(document, file)),
    )


def _repeated(document: Document, file: _NodesFile) -> Iterator[Problem]:
    """The names that stand in the file a second time."""
    first: dict[str, int] = {}
    for number, entry in enumerate(file.nodes):
        if entry.name is None:
            continue
        if entry.name in first:
            line = document.line_of(("nodes", first[entry.name], "name"))
            yield Problem(
                document.offset(("nodes", number, "name")),
                f"the node {quoted(entry.name)} is on line {line} already; give each its own name",
            )
        first.setdefault(entry.name, number)


def _unused(document: Document, file: _NodesFile) -> Iterator[str]:
    if any(entry.ip is not None or _ports(entry) for entry in file.nodes):
        yield f"{document.name}: addresses and ports are not needed: nodes connect to the head"
    nameless = [number for number, entry in enumerate(file.nodes) if entry.name is None]
    if nameless:
        lines = [str(document.line_of(("nodes", number))) for number in nameless]
        place = f"{document.name}:{lines[0]}"
        if len(lines) == 1:
            yield f"{place}: a node without a name is not listed; write name: and its host name"
        else:
            yield (
                f"{place}: {len(lines)} nodes without a name are not listed, on lines {few(lines)}; "
                "write name: and the host name of each"
            )


def _ports(entry: NodeEntry) -> bool:
    return any(port is not None for port in (entry.transport_port, entry.keepalive_port, entry.cancel_port))
