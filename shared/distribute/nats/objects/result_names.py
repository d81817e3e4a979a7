"""Names of results, and the subjects of their chunks.

`NAMESPACE/BATCH/JOB/ATTEMPT/N`, sent by a node, lies on
`<node>.<namespace>.<batch>.<job>.<attempt>.<n>.<ulid>`, each part escaped to one token. A build's output has
no job: `NAMESPACE/BATCH//NODE/N`.
"""

from __future__ import annotations

import re

from distribute.core.errors import IntegrityError
from distribute.core.ids import BatchId
from distribute.core.manifest import StoredObject
from distribute.nats.stream.subjects import escape, unescape

_BUILD = "%build"
"""Stands for "no job". No escaped name is equal to it: there, two hex digits follow a `%`."""

_PARTS = 5
_JOB = 2
_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}", re.ASCII)


def place_of(name: str, node: str) -> str:
    """The tokens below which a result's chunks go.

    Raises:
        ValueError: `name` is no name of a result.
    """
    parts = name.split("/")
    if len(parts) != _PARTS or not node or not all(part or place == _JOB for place, part in enumerate(parts)):
        raise ValueError(
            f"{name!r} of node {node!r} is no result's name: write NAMESPACE/BATCH/JOB/ATTEMPT/N"
        )
    return ".".join([escape(node), *(escape(part) if part else _BUILD for part in parts)])


def name_of(nuid: str) -> str:
    """The name of the result whose chunks lie there."""
    tokens = nuid.split(".")[1:-1]
    return "/".join("" if token == _BUILD else unescape(token) for token in tokens)


def chunks_of_batch(batch: BatchId) -> str:
    """The wildcard for all chunks of a batch's results."""
    return f"*.{escape(batch.namespace)}.{escape(batch.batch)}.>"


def check_nuid(stored: StoredObject) -> None:
    """Raises `IntegrityError` unless the object's chunks lie where those of its name must: what a node says
    of another's chunks, or with a wildcard, is not believed."""
    node, _, _ = stored.nuid.partition(".")
    place, _, last = stored.nuid.rpartition(".")
    try:
        right = place == place_of(stored.name, unescape(node)) and _ULID.fullmatch(last) is not None
    except ValueError:
        right = False
    if not right:
        raise IntegrityError(f"result {stored.name!r}: its chunks can't lie on {stored.nuid!r}")
