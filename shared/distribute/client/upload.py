"""Sending a batch's inputs to the store, each content once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.client.words import printable
from distribute.client.workers import for_each
from distribute.core.errors import InputError
from distribute.core.os_words import why

if TYPE_CHECKING:
    from distribute.ports import ArtifactStore

PARALLEL_FILES = 128
"""How many files are handed to the store at once. The store itself knows how many to send at a time."""

OnBytes = Callable[[int, int], None]
"""Is told how many bytes are done, and of how many."""


async def upload(store: ArtifactStore, sources: Mapping[str, Path], on_bytes: OnBytes) -> None:
    """Store the files of `sources` (by sha256) that the store lacks.

    Raises:
        IntegrityError: a file changed since its digest was taken.
        InputError: a file can't be read any more.
        StorageFull: the cluster has no room.
    """
    try:
        sizes = {path: path.stat().st_size for path in sources.values()}
        total, sent = sum(sizes.values()), 0

        async def put(source: tuple[str, Path]) -> None:
            sha256, path = source
            of_this = 0

            def advance(done_bytes: int) -> None:
                nonlocal sent, of_this
                sent, of_this = sent + done_bytes - of_this, done_bytes
                on_bytes(sent, total)

            await store.put_input(path, sha256, advance)
            advance(sizes[path])  # what the store has already is not sent

        await for_each(sources.items(), put, at_once=min(PARALLEL_FILES, len(sources)))
    except OSError as error:
        if not error.filename:
            raise
        raise InputError(f"{printable(str(error.filename))}: can't be read any more: {why(error)}") from error
