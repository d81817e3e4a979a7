"""Reading the list of what a job left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.core.errors import IntegrityError
from distribute.core.manifest import Manifest, Outputs

if TYPE_CHECKING:
    from distribute.ports import ArtifactStore

MAX_MANIFEST_BYTES = 1 << 30
"""A larger list of files is refused: it would have some five million entries."""


async def read_manifest(store: ArtifactStore, outputs: Outputs) -> Manifest:
    """The manifest of some outputs, fetched if the event only points to it.

    Raises:
        IntegrityError: it is not in the store, or damaged, or too large.
        ValueError: it is no manifest.
    """
    if outputs.inline is not None:
        return outputs.inline
    if outputs.stored is None:
        return Manifest()
    if outputs.stored.size_bytes > MAX_MANIFEST_BYTES:
        raise IntegrityError(f"a list of files of {outputs.stored.size_bytes} bytes is too large to be read")
    text = bytearray()
    async for piece in store.get_result(outputs.stored):
        text += piece
        if len(text) > MAX_MANIFEST_BYTES:
            raise IntegrityError(f"a list of files of more than {MAX_MANIFEST_BYTES} bytes is not read")
    return Manifest.model_validate_json(bytes(text))
