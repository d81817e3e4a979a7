"""Small files of different jobs, which share objects of the store where there are many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from distribute.core.files.folder_listing import SMALL_BYTES
from distribute.core.spec.specs import InputObject
from distribute.inputs.listed import Hasher
from distribute.inputs.sources import Source
from distribute.inputs.tree import TreeFile

MANY_FILES = 1000
"""From so many small files on, they share objects. A few are sent one by one: each is found in later batches,
whatever comes with it."""


class PlaceInPack(NamedTuple):
    """Where the content of a file lies: in an object of the store, from `offset` on."""

    pack: InputObject
    offset: int


@dataclass(slots=True)
class Together:
    """The places of files that share objects, by their names, and these objects by sha256."""

    places: dict[str, PlaceInPack] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)


def put_together(files: Mapping[str, tuple[TreeFile, str]], hasher: Hasher) -> Together:
    """Have the small ones of these files share objects, if they are many. Equal ones are there once.

    `files` are the files and their SHA-256, by name. What is not in `places` is to be sent by itself.

    Raises:
        InputError: files can't be read any more, or have changed. It names them, one line each.
    """
    small = {name: each for name, each in sorted(files.items()) if 0 < each[0].size_bytes < SMALL_BYTES}
    first: dict[str, TreeFile] = {}
    for file, sha256 in small.values():
        first.setdefault(sha256, file)
    found = Together()
    if len(first) < MANY_FILES:
        return found
    by_content: dict[bytes, PlaceInPack] = {}
    for packed in hasher.packed(list(first.values())):
        if len(packed.files) == 1:
            continue  # an object of its own has the digest of its content
        pack, offset = InputObject(sha256=packed.sha256, size_bytes=packed.size_bytes), 0
        found.sources[packed.sha256] = packed.source()
        for file, digest in zip(packed.files, packed.digests, strict=True):
            by_content[digest] = PlaceInPack(pack, offset)
            offset += file.size_bytes
    for name, (_, sha256) in small.items():
        if (place := by_content.get(bytes.fromhex(sha256))) is not None:
            found.places[name] = place
    return found
