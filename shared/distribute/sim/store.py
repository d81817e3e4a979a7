"""The files as a simulated process sees them: `ports.ArtifactStore`, with transfers that take time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container
from pathlib import Path

from distribute.core.errors import IntegrityError
from distribute.core.files.manifest import StoredObject
from distribute.core.ids import BatchId
from distribute.inputs.sources import PIECE_BYTES, Source, as_source
from distribute.ports import OnDone, StoredInput, tell_nobody
from distribute.sim.network import Link


class SimulatedStore:
    """A process's access to files. Inputs and results wait for a silent broker; other transfers give up."""

    def __init__(self, link: Link, new_id: Callable[[], str]) -> None:
        self._link = link
        self._files = link.broker.files
        self._new_id = new_id

    async def put_input(self, content: Path | Source, sha256: str, on_done: OnDone = tell_nobody) -> None:
        """As `ports.ArtifactStore.put_input`."""
        source = as_source(content)
        whole = b"".join(source.pieces(PIECE_BYTES))
        if hashlib.sha256(whole).hexdigest() != sha256:
            raise IntegrityError(f"{source.label}: its content was changed after it was listed")
        await self._transfer()
        now = self._link.broker
        await self._link.ask(lambda: self._files.put_input(sha256, whole, now.clock), patient=False)
        on_done(len(whole))

    async def get_input(self, sha256: str, path: Path) -> None:
        """As `ports.ArtifactStore.get_input`."""
        await self._transfer()
        content = await self._link.ask(lambda: self._files.inputs.get(sha256))
        if content is None:
            raise IntegrityError(f"input {sha256}: the store does not have it")
        path.write_bytes(content)

    async def inputs_unused_for(self, unused_s: float) -> AsyncGenerator[StoredInput, None]:
        """As `ports.ArtifactStore.inputs_unused_for`."""
        now = self._link.broker
        for unused in await self._link.ask(
            lambda: self._files.inputs_before(now.clock - unused_s), patient=False
        ):
            yield unused

    async def remove_input(self, unused: StoredInput) -> bool:
        """As `ports.ArtifactStore.remove_input`."""
        return await self._link.ask(lambda: self._files.remove_input(unused), patient=False)

    async def remove_unnamed_inputs(self, unused_s: float) -> int:
        """As `ports.ArtifactStore.remove_unnamed_inputs`. Here a broken upload leaves nothing."""
        return 0

    async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
        """As `ports.ArtifactStore.put_result`."""
        content = b"".join([piece async for piece in source])
        nuid = self._new_id()
        await self._transfer()
        now = self._link.broker
        await self._link.ask(lambda: self._files.send(nuid, name, content, now.clock))
        digest = hashlib.sha256(content).hexdigest()
        return StoredObject(name=name, nuid=nuid, size_bytes=len(content), chunks=1, sha256=digest)

    async def has_result(self, stored: StoredObject) -> bool:
        """As `ports.ArtifactStore.has_result`."""
        return await self._link.ask(lambda: self._files.has_chunks(stored), patient=False)

    async def commit_result(self, stored: StoredObject) -> None:
        """As `ports.ArtifactStore.commit_result`."""
        await self._link.ask(lambda: self._files.commit(stored), patient=False)

    async def get_result(self, stored: StoredObject) -> AsyncGenerator[bytes, None]:
        """As `ports.ArtifactStore.get_result`."""
        await self._transfer()
        yield await self._link.ask(lambda: self._files.content(stored), patient=False)

    async def fetch_result(self, stored: StoredObject, path: Path, on_done: OnDone = tell_nobody) -> None:
        """As `ports.ArtifactStore.fetch_result`."""
        async for content in self.get_result(stored):
            path.write_bytes(content)
            on_done(len(content))

    async def delete_results(self, batch: BatchId, before: float, but: Container[str] = ()) -> None:
        """As `ports.ArtifactStore.delete_results`."""
        await self._transfer()
        await self._link.ask(lambda: self._files.delete(batch, before, but), patient=False)

    async def put_snapshot(self, name: str, data: bytes) -> None:
        """As `ports.ArtifactStore.put_snapshot`."""
        await self._transfer()
        await self._link.ask(lambda: self._files.keep_snapshot(name, data), patient=False)

    async def replace_snapshot(self, name: str, old: bytes | None, new: bytes) -> None:
        """As `ports.ArtifactStore.replace_snapshot`."""
        await self._transfer()
        await self._link.ask(lambda: self._files.replace_snapshot(name, old, new), patient=False)

    async def get_snapshot(self, name: str) -> bytes | None:
        """As `ports.ArtifactStore.get_snapshot`."""
        await self._transfer()
        return await self._link.ask(lambda: self._files.snapshots.get(name), patient=False)

    async def _transfer(self) -> None:
        await asyncio.sleep(self._link.transfer_s())
