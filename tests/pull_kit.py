"""Listings of what attempts left, for tests that pull them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from distribute.client.pull.fetching import Pulled, fetch
from distribute.client.pull.listing import Listing, StoredContent, WantedFile
from distribute.client.pull.local_batch import OWN_NAMES
from distribute.client.pull.note import Origin
from distribute.memory.store import FileStore

BASE = (b"mc",)
JANES = Origin("jane", "mc", "01JFIRST", 1_893_456_000.0)

Left = Mapping[str, tuple[int, Mapping[str, str]]]
"""By job: the attempt, and what it left: by path, a file's content, or `-> TARGET` for a link."""


class Archive:
    """A store, and listings of it."""

    def __init__(self, folder: Path) -> None:
        self.store = FileStore(folder)

    async def list(
        self, left: Left, origin: Origin = JANES, builds: Mapping[str, str] | None = None
    ) -> Listing:
        """Store what jobs left, and list it: of each attempt, the files share an object."""
        listing = Listing(origin, BASE, complete=True)
        for job, (attempt, files) in left.items():
            name = os.fsencode(job)
            listing.attempts[name] = attempt
            listing.folders.append((*BASE, name))
            await self._add(listing, f"{job}/{attempt}", (*BASE, name), files)
        if builds:
            await self._add(listing, "/ws1", BASE, builds)
        return listing

    async def _add(
        self, listing: Listing, name: str, base: tuple[bytes, ...], files: Mapping[str, str]
    ) -> None:
        contents = {path: text.encode() for path, text in files.items() if not text.startswith("-> ")}

        async def pieces() -> AsyncGenerator[bytes, None]:
            for content in contents.values():
                yield content

        stored = await self.store.put_result(f"{listing.origin}/{name}/0", "ws1", pieces())
        await self.store.commit_result(stored)
        offset = 0
        for path, content in contents.items():
            file = StoredContent(len(content), hashlib.sha256(content).hexdigest(), offset=offset)
            place = (*base, *os.fsencode(path).split(b"/"))
            listing.files.append((stored if content else None, WantedFile(place, file)))
            offset += len(content)
        for path, text in files.items():
            if text.startswith("-> "):
                listing.links.append(((*base, *os.fsencode(path).split(b"/")), text.removeprefix("-> ")))

    async def pull(self, listing: Listing, folder: Path, **options: Any) -> Pulled:
        """Pull what is listed."""
        return await fetch(self.store, listing, folder, **options)

    def listed(self, left: Left, origin: Origin = JANES) -> Listing:
        """As `list`, in an event loop of its own."""
        return asyncio.run(self.list(left, origin))

    def pulled(self, listing: Listing, folder: Path, **options: Any) -> Pulled:
        """As `pull`, in an event loop of its own."""
        return asyncio.run(self.pull(listing, folder, **options))


def files_in(folder: Path) -> dict[str, str]:
    """All files and links below a folder, as `Left` has them, but for what pull has there for itself."""
    return {
        os.fsdecode(path.relative_to(folder)): f"-> {path.readlink()}"
        if path.is_symlink()
        else path.read_text()
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and OWN_NAMES.isdisjoint(map(os.fsencode, path.parts))
    }
