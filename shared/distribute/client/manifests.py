"""Reading manifests, the lists of what jobs left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

from distribute.core.errors import IntegrityError
from distribute.core.files.manifest import Entry, Manifest, Outputs
from distribute.core.words import format_size

if TYPE_CHECKING:
    from distribute.ports import ArtifactStore

MAX_MANIFEST_BYTES = 1 << 30
"""A larger list of files is refused: it would have some five million entries."""

_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)


class ReadManifest(NamedTuple):
    """A manifest, without the entries that can't be read: `problems` names those."""

    manifest: Manifest
    problems: tuple[str, ...] = ()


async def read_manifest(store: ArtifactStore, outputs: Outputs) -> ReadManifest:
    """Read the manifest of outputs. Fetches it if the event only points to it.

    Raises:
        IntegrityError: it is missing in the store, damaged, or too large.
        ValueError: it is not a manifest.
    """
    if outputs.inline is not None:
        return ReadManifest(outputs.inline)
    if outputs.stored is None:
        return ReadManifest(Manifest())
    if outputs.stored.size_bytes > MAX_MANIFEST_BYTES:
        raise IntegrityError(
            f"a list of files of {format_size(outputs.stored.size_bytes)} is too large to be read"
        )
    text = bytearray()
    async for piece in store.get_result(outputs.stored):
        text += piece
        if len(text) > MAX_MANIFEST_BYTES:
            raise IntegrityError(
                f"a list of files of more than {format_size(MAX_MANIFEST_BYTES)} is not read"
            )
    try:
        return ReadManifest(Manifest.model_validate_json(bytes(text)))
    except ValidationError:
        return _without_bad_entries(orjson.loads(text))


def _without_bad_entries(written: Any) -> ReadManifest:
    """The manifest without its bad entries. Raises ValueError if anything else in it is bad."""
    entries = written.get("entries") if isinstance(written, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is not a list of files")  # noqa: TRY004
    good: list[Entry] = []
    problems: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            good.append(_ENTRY.validate_python(entry))
        except ValidationError as error:
            problems.append(f"entry {number} of its list of files: {error.errors()[0]['msg']}")
    manifest = Manifest.model_validate(written | {"entries": []})
    return ReadManifest(manifest.model_copy(update={"entries": tuple(good)}), tuple(problems))
