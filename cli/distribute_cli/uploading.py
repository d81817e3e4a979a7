"""Sending a batch's inputs to the store, each content once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.core.errors import InputError
from distribute_cli.output import Bar, printable

if TYPE_CHECKING:
    from distribute.ports import ArtifactStore

PARALLEL_FILES = 128
"""Asked for at once; the store itself knows how many to send at a time."""


async def upload(store: ArtifactStore, sources: Mapping[str, Path], bar: Bar) -> None:
    """Store the files of `sources` (by sha256) that are not stored yet.

    Raises:
        IntegrityError: a file changed since it was read.
        InputError: a file can't be read any more.
        StorageFull: the cluster has no room.
    """
    try:
        sizes = {path: path.stat().st_size for path in sources.values()}
        total, sent = sum(sizes.values()), 0

        async def work(queue: Iterator[tuple[str, Path]]) -> None:
            nonlocal sent
            for sha256, path in queue:
                await store.put_input(path, sha256)
                sent += sizes[path]
                bar.update(sent, total)

        queue = iter(sources.items())
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(PARALLEL_FILES, len(sources))):
                tasks.create_task(work(queue))
    except OSError as error:
        raise _unreadable(error) from error
    except ExceptionGroup as errors:
        # Several at once have one cause, as a rule (no room): the first one tells it.
        first = errors.exceptions[0]
        raise (_unreadable(first) if isinstance(first, OSError) and first.filename else first) from errors


def _unreadable(error: OSError) -> InputError:
    return InputError(f"{printable(str(error.filename))}: can't be read any more: {error.strerror}")
