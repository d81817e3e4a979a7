"""Reading parts of one object of the archive, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator

from distribute.core.errors import IntegrityError


class ObjectStream:
    """An object's bytes as they arrive. `name` is for messages."""

    def __init__(self, chunks: AsyncIterator[bytes], name: str) -> None:
        self._chunks = chunks
        self._name = name
        self._rest = memoryview(b"")
        self._position = 0

    async def skip_to(self, offset: int) -> None:
        """Skip what lies before `offset`."""
        async for _ in self.take(offset - self._position):
            pass

    async def take(self, size_bytes: int) -> AsyncIterator[memoryview]:
        """The next bytes, in pieces.

        Raises:
            IntegrityError: the object ends before.
        """
        while size_bytes > 0:
            if not self._rest:
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    raise IntegrityError(f"{self._name}: the archive holds less of it than the job left")
                self._rest = memoryview(chunk)
            piece, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
            self._position += len(piece)
            size_bytes -= len(piece)
            yield piece
