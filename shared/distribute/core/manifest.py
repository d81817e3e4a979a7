"""What a job left behind, and where in the results bucket its bytes are.

Small files share an object (a pack), a large file has its own. An object is named
`<namespace>/<batch>/<job>/<attempt>/<n>` and its chunks lie on a subject of the node that sent it.
"""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from distribute.core.specs import Frozen

INLINE_ENTRIES = 200
"""Manifests of more entries than this are stored as an object; the event then only points to it."""

STDOUT_NAME = "stdout.txt"


class StoredObject(Frozen):
    """An object of the results bucket: its name, where its chunks lie, and what they must add up to."""

    name: str
    nuid: str
    size_bytes: int = Field(ge=0)
    chunks: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class StoredFile(Frozen):
    """A file of a job: `size_bytes` bytes of objects[`object`] from `offset` on. Empty files have no object.

    `raw_path` is the base64 of the path's bytes, where these are not valid UTF-8 and `path` only shows them.
    """

    kind: Literal["file"] = "file"
    path: str
    raw_path: str | None = None
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    executable: bool = False
    object: int | None = Field(default=None, ge=0)
    offset: int = Field(default=0, ge=0)


class StoredLink(Frozen):
    """A symbolic link whose `target` stays inside the job's folder."""

    kind: Literal["link"] = "link"
    path: str
    raw_path: str | None = None
    target: str


class StoredFolder(Frozen):
    """An empty folder."""

    kind: Literal["folder"] = "folder"
    path: str
    raw_path: str | None = None


Entry = Annotated[StoredFile | StoredLink | StoredFolder, Field(discriminator="kind")]


class Manifest(Frozen):
    """Everything a job left. `left_out` names what was not archived, with the reason.

    Old clients read new manifests, so fields that they do not know are ignored.
    """

    model_config = ConfigDict(extra="ignore")

    v: Literal[1] = 1
    entries: tuple[Entry, ...] = ()
    objects: tuple[StoredObject, ...] = ()
    left_out: tuple[str, ...] = ()


class Outputs(Frozen):
    """A job's manifest as its `finished` event carries it: inline, or by the object that holds its JSON."""

    inline: Manifest | None = None
    stored: StoredObject | None = None
    objects: int = Field(default=0, ge=0)
    files: int = Field(default=0, ge=0)
    size_bytes: int = Field(default=0, ge=0)


def entry_bytes(entry: Entry) -> bytes:
    """The entry's path as the bytes it had on the node's file system."""
    if entry.raw_path is not None:
        return base64.b64decode(entry.raw_path, validate=True)
    return entry.path.encode()


def link_stays_inside(path: str, target: str) -> bool:
    """True where the link at `path`, pointing to `target`, can't lead out of the job's folder.

    `..` may only begin a target: further on it would be taken of whatever a link before it leads to,
    and names alone don't tell where that is.
    """
    parts = [part for part in target.split("/") if part not in {"", "."}]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    inside = climbs <= path.count("/") and ".." not in parts[climbs:]
    return inside and bool(target) and not target.startswith("/") and "\0" not in target
