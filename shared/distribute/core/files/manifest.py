"""Manifests: what a job left, and where in the results bucket its bytes are.

Small files share an object (a pack), a large file has its own. An object is named
`<namespace>/<batch>/<job>/<attempt>/<n>` and its chunks lie on a subject of the node that sent it.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from distribute.core.spec.specs import Bytes, Frozen, Mode, Nanoseconds, Sha256

INLINE_ENTRIES = 200
"""Manifests of more entries than this are stored as an object; the event then only points to it."""

STDOUT_NAME = "stdout.txt"


MAX_PATH_BYTES = 4096
MAX_PART_BYTES = 255
"""The longest name of a file or folder that common file systems take."""
MAX_LINE = 10_000
MAX_LARGEST = 5
MAX_SHOWN_PATH = 200
"""The longest path of a file that is only told of, in characters."""


def build_output_name(batch: str, node: str, is_job: Callable[[str], bool] = lambda name: False) -> str:
    """The name of the file with what a build printed, in the folder of its batch.

    `is_job` tells whether a job of the batch has a name, and so the folder that it needs. The file then gets
    a number. No other node's file can have the same name: a number stands before its hyphen.
    """
    numbered = (_build_output_name(batch, node, number) for number in itertools.count(1))
    return next(name for name in numbered if not is_job(name))


def is_build_output_name(name: str, batch: str, node: str) -> bool:
    """Can this be the name of the file with what a build printed?"""
    number = _NUMBERED.search(name)
    return name == _build_output_name(batch, node, int(number[1]) if number else 1)


def _build_output_name(batch: str, node: str, number: int) -> str:
    """If it is too long for a file system, it lacks the batch's name, which the folder has anyway."""
    name = f"build_output{f'_{number}' if number > 1 else ''}-{node}.txt"
    full = f"{batch}_{name}"
    return full if len(full.encode()) <= MAX_PART_BYTES else name


_NUMBERED = re.compile(r"build_output_([0-9]{1,6})-")


Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A count within bounds."""

_MAX_RAW_PATH = 4 * -(-MAX_PATH_BYTES // 3)


def check_path(path: str) -> str:
    """Return `path` if it is relative and normalized, so that it can't lead out of its folder.

    Raises:
        ValueError: it is not, or it is longer than `MAX_PATH_BYTES`, or a part than `MAX_PART_BYTES`.
    """
    _check_path_bytes(path.encode("utf-8", "surrogateescape"))
    return path


def _check_path_bytes(path: bytes) -> None:
    if len(path) > MAX_PATH_BYTES:
        raise ValueError(f"a path of {len(path)} bytes; it may have {MAX_PATH_BYTES}")
    parts = path.split(b"/")
    if b"\0" in path or not {b"", b".", b".."}.isdisjoint(parts):
        raise ValueError(f"{path[:80]!r} is no relative, normalized path")
    if (longest := max(map(len, parts))) > MAX_PART_BYTES:
        raise ValueError(f"{path[:80]!r} has a part of {longest} bytes; it may have {MAX_PART_BYTES}")


def _check_raw_path(raw_path: str) -> str:
    _check_path_bytes(_raw_bytes(raw_path, "path"))
    return raw_path


def _raw_bytes(raw: str, what: str) -> bytes:
    """The bytes of a raw path or target, which is their base64. Raises `ValueError` if it is not."""
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a raw {what} is not base64: {error}") from error


def job_of(result: str) -> str:
    """The job of the result of this name, NAMESPACE/BATCH/JOB/ATTEMPT/N. Empty: a build printed it."""
    return result.split("/")[2]


class StoredObject(Frozen):
    """An object of the results bucket: its name, the place of its chunks, their number, size and digest."""

    name: str = Field(max_length=MAX_PATH_BYTES)
    nuid: str = Field(max_length=MAX_PATH_BYTES)
    size_bytes: Bytes
    chunks: Count
    sha256: Sha256


_PART = r"(?:\.{0,2}[^./\x00][^/\x00]{0,60}|\.{3}[^/\x00]{0,60})"
_PlainPath = Annotated[
    str, StringConstraints(max_length=MAX_PATH_BYTES // 4, pattern=f"^{_PART}(?:/{_PART})*$")
]
"""A path that is short enough in every encoding, as each of its parts is, and none is empty, `.` or `..`."""

RelativePath = Annotated[
    _PlainPath | Annotated[str, AfterValidator(check_path)],
    Field(union_mode="left_to_right"),
    WithJsonSchema({"type": "string"}),
]
"""A path below the job's folder, as `check_path` has it. The pattern passes nearly all: a replay reads
millions, and a function of ours costs ten times as much."""

RawPath = Annotated[str, Field(max_length=_MAX_RAW_PATH), AfterValidator(_check_raw_path)]
"""The base64 of a path's bytes, if these are not valid UTF-8; `path` only shows them then."""


class _Stored(Frozen):
    """An entry of a manifest. Old clients read new manifests, so they ignore fields that they do not know."""

    model_config = ConfigDict(extra="ignore")


class StoredFile(_Stored):
    """A file of a job: `size_bytes` bytes of objects[`object`], from `offset` on.

    An empty file has no object. `mode` and `mtime_ns` are as the job left them; older versions lack them.
    """

    kind: Literal["file"] = "file"
    path: RelativePath
    raw_path: RawPath | None = None
    size_bytes: Bytes
    sha256: Sha256
    executable: bool = False
    mode: Mode | None = None
    mtime_ns: Nanoseconds | None = None
    object: Count | None = None
    offset: Bytes = 0


class StoredLink(_Stored):
    """A symbolic link whose target stays inside the job's folder.

    `raw_target` is the base64 of the target's bytes, if these are not valid UTF-8; `target` only shows them
    then.
    """

    kind: Literal["link"] = "link"
    path: RelativePath
    raw_path: RawPath | None = None
    target: str = Field(max_length=MAX_PATH_BYTES)
    raw_target: str | None = Field(default=None, max_length=_MAX_RAW_PATH)

    @model_validator(mode="after")
    def _stays_inside(self) -> StoredLink:
        path = entry_bytes(self).decode("utf-8", "surrogateescape")
        if not link_stays_inside(path, link_target(self)):
            raise ValueError(f"the link {path!r} to {self.target[:80]!r} leads out of the job's folder")
        return self


class StoredFolder(_Stored):
    """An empty folder."""

    kind: Literal["folder"] = "folder"
    path: RelativePath
    raw_path: RawPath | None = None


Entry = Annotated[StoredFile | StoredLink | StoredFolder, Field(discriminator="kind")]


class Manifest(Frozen):
    """Everything a job left. `left_out` names what was not archived, with the reason.

    Old clients read new manifests, so fields that they do not know are ignored.
    """

    model_config = ConfigDict(extra="ignore")

    v: Literal[1] = 1
    entries: tuple[Entry, ...] = Field(default=(), fail_fast=True)
    objects: tuple[StoredObject, ...] = Field(default=(), fail_fast=True)
    left_out: tuple[Annotated[str, Field(max_length=MAX_LINE)], ...] = Field(default=(), fail_fast=True)


class OutsideFile(Frozen):
    """A file that a job left outside its folder of results."""

    path: str = Field(max_length=MAX_SHOWN_PATH)
    size_bytes: Bytes


class Outside(Frozen):
    """The files that a job left outside its folder of results, so that they are lost, with the largest.

    `is_part`: the node saw only a part of the job's folder.
    """

    files: Count
    size_bytes: Bytes
    largest: Annotated[tuple[OutsideFile, ...], Field(max_length=MAX_LARGEST, fail_fast=True)] = ()
    is_part: bool = False


class Outputs(Frozen):
    """A job's manifest as its `finished` event carries it: inline, or by the object that holds its JSON.

    `left_out` counts what the manifest names as not archived. `outside`: what is not even in the manifest.
    None: nothing, or an older version did not look.
    """

    inline: Manifest | None = None
    stored: StoredObject | None = None
    objects: Count = 0
    files: Count = 0
    size_bytes: Bytes = 0
    left_out: Count | None = None
    outside: Outside | None = None


def entry_bytes(entry: Entry) -> bytes:
    """The entry's path as the bytes it had on the node's file system."""
    if entry.raw_path is not None:
        return _raw_bytes(entry.raw_path, "path")
    return entry.path.encode("utf-8", "surrogateescape")


def link_target(link: StoredLink) -> str:
    """Where a link leads, as `os.fsdecode` gives it.

    Raises:
        ValueError: its raw target is not base64.
    """
    if link.raw_target is None:
        return link.target
    return _raw_bytes(link.raw_target, "target").decode("utf-8", "surrogateescape")


def link_stays_inside(path: str, target: str) -> bool:
    """Return True if the link at `path` to `target` can't lead out of the job's folder.

    `..` may only stand at the beginning of a target. Further on, it would apply to the target of a link
    before it, which can't be known from names.
    """
    parts = [part for part in target.split("/") if part not in {"", "."}]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    inside = climbs <= path.count("/") and ".." not in parts[climbs:]
    return inside and bool(target) and not target.startswith("/") and "\0" not in target
