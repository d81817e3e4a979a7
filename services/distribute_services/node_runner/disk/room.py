"""Room on this computer's disk: jobs wait for it, and the node leaves if there is none.

A full disk is seldom the fault of the job that meets it. A job that does not fit beside the others waits
until one of them is gone. If there are no others, there are two cases. Either the job is too large for this
computer; then it fails. Or files of others fill the disk; then the node leaves, its jobs run on other nodes,
and it joins again once there is room.

While jobs run, `host.disk_guard` sees to it that some room stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from distribute.core.errors import StorageFull
from distribute.core.words import counted, format_size
from distribute_services.node_runner.disk.files import folder_bytes, folder_files

log = logging.getLogger(__name__)

KEEP_FREE_BYTES = 1 << 30
KEEP_FREE_FILES = 1000
KEEP_FREE_SHARE = 0.02
"""Work begins only if this much room is free; on a small disk, only if this share of it is free."""

LOOK_EVERY_S = 5.0

T = TypeVar("T")


class Room:
    """The room on the disk of `folders`, which hold only this node's workspaces and builds.

    `evict` removes what is kept but not in use, and returns False if there is nothing. `is_busy` tells
    whether an attempt has a workspace. `on_full` is called if no work has room.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        evict: Callable[[], Awaitable[bool]],
        is_busy: Callable[[], bool],
        on_full: Callable[[], None],
        keep_free_bytes: int | None = None,
    ) -> None:
        """`keep_free_bytes` None: a part of the disk that suits its size."""
        self._keep_free_bytes = keep_free_bytes
        self._folder = folders[0]
        self._folders = folders
        self._evict = evict
        self._is_busy = is_busy
        self._on_full = on_full
        self._changing = 0
        self._tight = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def free(self) -> Space:
        """What is free now."""
        disk = os.statvfs(self._folder)
        return Space(disk.f_bavail * disk.f_frsize, disk.f_favail)

    @property
    def needed(self) -> Space:
        """What must be free for work to begin.

        A file system without a limit of files, such as btrfs, reports 0 files in all, so our share is 0.
        """
        disk = os.statvfs(self._folder)
        share_bytes = int(disk.f_blocks * disk.f_frsize * KEEP_FREE_SHARE)
        return Space(
            min(KEEP_FREE_BYTES, share_bytes) if self._keep_free_bytes is None else self._keep_free_bytes,
            min(KEEP_FREE_FILES, int(disk.f_files * KEEP_FREE_SHARE)),
        )

    @property
    def shortage(self) -> str:
        """How little room there is, for the owner of a job."""
        free = self.free
        if free.size_bytes < self.needed.half.size_bytes:
            return f"the disk of its node was nearly full ({format_size(free.size_bytes)} free)"
        return f"the disk of its node was nearly out of inodes ({counted(free.files, 'file')} more)"

    async def is_nearly_full(self) -> bool:
        """Is less than half of what is needed free, even without what is kept for later?"""
        if self.free.has(self.needed.half):
            return False
        return not await self._evict() or not self.free.has(self.needed.half)

    async def enough(self) -> None:
        """Wait until there is room for work."""
        if not await self._is_short():
            return
        log.warning("%s: no work begins until there is room", self._no_room())
        while await self._is_short():  # noqa: ASYNC110 (nothing notifies us of free room)
            await asyncio.sleep(LOOK_EVERY_S)

    async def give(self, make: Callable[[], Awaitable[T]]) -> T:
        """Make a workspace by `make` as soon as there is room for it. Takes about 5 µs if there is room.

        Raises:
            StorageFull: there is no room, although no other work of this node takes any.
        """
        try:
            return await self._try(make)
        except StorageFull as error:
            log.info("%s: waiting for room", error)
            self._note_freed()  # `make` removed its incomplete workspace, so another may fit
        async with self._tight:  # one at a time: otherwise two that each fit alone could block each other
            while True:
                freed = self._freed
                try:
                    return await self._try(make)
                except StorageFull:
                    if not freed.is_set() and not self._changing and not self._is_busy():
                        if not await self._is_full():
                            raise
                        self._on_full()
                        await asyncio.Event().wait()  # until the node has left
                await freed.wait()

    @contextlib.contextmanager
    def freeing(self) -> Iterator[None]:
        """Enter this context while removing something that takes room."""
        self._changing += 1
        try:
            yield
        finally:
            self._changing -= 1
            self._note_freed()

    def _note_freed(self) -> None:
        self._freed.set()
        self._freed = asyncio.Event()

    async def _try(self, make: Callable[[], Awaitable[T]]) -> T:
        if await self._is_short():
            raise self._no_room()
        self._changing += 1
        try:
            return await make()
        finally:
            self._changing -= 1

    async def _is_short(self) -> bool:
        if self.free.has(self.needed):
            return False
        return not await self._evict() or not self.free.has(self.needed)

    async def _is_full(self) -> bool:
        """Would there be too little room even without the files of this node?"""
        size_bytes, files = self.free
        for folder in self._folders:
            size_bytes += await folder_bytes(folder)
            files += await folder_files(folder)
        all_there_is = Space(size_bytes, files)
        return not all_there_is.has(self.needed)

    def _no_room(self) -> StorageFull:
        free, needed = self.free, self.needed
        return StorageFull(
            f"{self._folder}: no room for work: {format_size(free.size_bytes)} free of"
            f" {format_size(needed.size_bytes)} needed, and {free.files} of {counted(needed.files, 'file')}"
        )


class Space(NamedTuple):
    """An amount of room: bytes, and a number of files."""

    size_bytes: int
    files: int

    def has(self, needed: Space) -> bool:
        return self.size_bytes >= needed.size_bytes and self.files >= needed.files

    @property
    def half(self) -> Space:
        return Space(self.size_bytes // 2, self.files // 2)

    @classmethod
    async def taken_by(cls, folder: Path) -> Space:
        """What a folder takes on the disk, with everything in it."""
        return cls(await folder_bytes(folder), await folder_files(folder))


NO_SPACE = Space(0, 0)
