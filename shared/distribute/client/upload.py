"""Sending a batch's inputs to the store, each content once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.client.words import printable
from distribute.client.workers import for_each
from distribute.core.errors import InputError
from distribute.core.os_words import why
from distribute.inputs.sources import as_source

if TYPE_CHECKING:
    from distribute.inputs.sources import Source
    from distribute.ports import ArtifactStore

PARALLEL_FILES = 128
"""How many files are handed to the store at once. The store itself knows how many to send at a time."""

OnBytes = Callable[[int, int], None]
"""Is told how many bytes are done, and of how many."""


async def upload(store: ArtifactStore, sources: Mapping[str, Path | Source], on_bytes: OnBytes) -> None:
    """Store the contents of `sources` (by sha256) that the store lacks. A path is that of a file.

    Raises:
        IntegrityError: a file changed since its digest was taken.
        InputError: a file can't be read any more, or has changed since it was listed.
        StorageFull: the cluster has no room.
    """
    try:
        contents = {sha256: as_source(content) for sha256, content in sources.items()}
        total, sent = sum(content.size_bytes for content in contents.values()), 0

        async def put(sha256: str) -> None:
            content, of_this = contents[sha256], 0

            def advance(done_bytes: int) -> None:
                nonlocal sent, of_this
                sent, of_this = sent + done_bytes - of_this, done_bytes
                on_bytes(sent, total)

            await store.put_input(content, sha256, advance)
            advance(content.size_bytes)  # what the store has already is not sent

        await for_each(contents, put, at_once=min(PARALLEL_FILES, len(contents)))
    except OSError as error:
        if not error.filename:
            raise
        raise InputError(f"{printable(str(error.filename))}: can't be read any more: {why(error)}") from error
