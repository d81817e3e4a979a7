"""Fetching what a job left, and giving each of its calls what became of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from distribute.client.manifests import read_manifest
from distribute.core.errors import IntegrityError
from distribute.core.files.manifest import Manifest, StoredFile
from distribute.executor.outcomes import read_outcomes
from distribute.executor.run_calls import RESULTS
from distribute.scratch import scratch_folder

if TYPE_CHECKING:
    from distribute.core.files.manifest import Outputs
    from distribute.executor.calls import Call
    from distribute.ports import ArtifactStore

IN_MEMORY_BYTES = 1 << 20
"""A larger file of results is fetched to the disk, and read from there."""


class Resolved(NamedTuple):
    """In how many seconds each call of a job was done. `handed_back`: the job chose to begin no more."""

    seconds: Sequence[float] = ()
    handed_back: bool = False


async def resolve(
    store: ArtifactStore, outputs: Outputs | None, calls: Sequence[Call], job: str, node: str
) -> Resolved:
    """Give the calls of a job what became of them, as far as the job did them.

    Raises:
        IntegrityError: the store has lost what the job left.
        StorageFull, OSError: this computer has no room for it.
    """
    manifest = (await read_manifest(store, outputs)).manifest if outputs is not None else Manifest()
    found = next(
        (entry for entry in manifest.entries if isinstance(entry, StoredFile) and entry.path == RESULTS), None
    )
    if found is None or all(call.future.cancelled() for call in calls):
        return Resolved()
    async with _opened(store, manifest, found) as file:
        return await asyncio.to_thread(_give, calls, file, job, node)


def _give(calls: Sequence[Call], file: BinaryIO, job: str, node: str) -> Resolved:
    seconds: list[float] = []
    for call, outcome in zip(calls, read_outcomes(file, job, node), strict=False):
        if not outcome.began:
            return Resolved(seconds, handed_back=True)
        seconds.append(outcome.seconds)
        if outcome.error is not None:
            call.fails(outcome.error)
        else:
            call.returns(outcome.value)
    return Resolved(seconds)


@asynccontextmanager
async def _opened(store: ArtifactStore, manifest: Manifest, found: StoredFile) -> AsyncIterator[BinaryIO]:
    """A file that a job left, at its beginning."""
    if found.object is None:
        yield io.BytesIO()
        return
    if found.object >= len(manifest.objects):
        raise IntegrityError(f"the list of files names no object for {found.path}")
    stored = manifest.objects[found.object]
    if stored.size_bytes <= IN_MEMORY_BYTES:
        async with aclosing(store.get_result(stored)) as pieces:
            content = b"".join([piece async for piece in pieces])
        yield io.BytesIO(content[found.offset : found.offset + found.size_bytes])
        return
    with scratch_folder("results") as folder:
        path = folder / "results"
        await store.fetch_result(stored, path)
        with path.open("rb") as file:
            if found.size_bytes < stored.size_bytes:  # small files share an object, of some megabytes
                file.seek(found.offset)
                yield io.BytesIO(file.read(found.size_bytes))
            else:
                yield file
