"""Names of results, and the subjects of their chunks.

A node stores the chunks of the result `NAMESPACE/BATCH/JOB/ATTEMPT/N` on
`<node>.<namespace>.<batch>.<job>.<attempt>.<n>.<ulid>`, each part escaped to one token. The output of a build
has no job; its name is `NAMESPACE/BATCH//NODE/N`.
"""

from __future__ import annotations

import re

from distribute.core.errors import IntegrityError
from distribute.core.files.manifest import StoredObject
from distribute.core.ids import BatchId
from distribute.nats.stream.tokens import escape, unescape

_BUILD = "%build"
"""The token for "no job". No escaped name equals it: in those, two hex digits follow each `%`."""

_PARTS = 5
_JOB = 2
_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}", re.ASCII)


def place_of(name: str, node: str) -> str:
    """The tokens before the ulid in the subject of a result's chunks.

    Raises:
        ValueError: `name` is not a result's name.
    """
    parts = name.split("/")
    if len(parts) != _PARTS or not node or not all(part or place == _JOB for place, part in enumerate(parts)):
        raise ValueError(
            f"{name!r} of node {node!r} is no result's name: write NAMESPACE/BATCH/JOB/ATTEMPT/N"
        )
    return ".".join([escape(node), *(escape(part) if part else _BUILD for part in parts)])


def name_of(nuid: str) -> str:
    """The name of the result whose chunks lie on `nuid`."""
    tokens = nuid.split(".")[1:-1]
    return "/".join("" if token == _BUILD else unescape(token) for token in tokens)


def chunks_of_batch(batch: BatchId) -> str:
    """The wildcard that matches all chunks of a batch's results."""
    return f"*.{escape(batch.namespace)}.{escape(batch.batch)}.>"


def check_nuid(stored: StoredObject) -> None:
    """Check that an object's chunks lie on the subject that belongs to its name.

    A node could otherwise name the chunks of another job, or a wildcard.

    Raises:
        IntegrityError: they do not.
    """
    node, _, _ = stored.nuid.partition(".")
    place, _, last = stored.nuid.rpartition(".")
    try:
        right = place == place_of(stored.name, unescape(node)) and _ULID.fullmatch(last) is not None
    except ValueError:
        right = False
    if not right:
        raise IntegrityError(f"result {stored.name!r}: its chunks can't lie on {stored.nuid!r}")
