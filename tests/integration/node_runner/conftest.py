"""A store, a cache and workspaces on a real disk."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest

from distribute.core.spec.specs import InputFile
from distribute.memory.store import FileStore
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.workspace import Workspaces
from integration.node_runner.keeping_kit import Kept, keeper
from integration.node_runner.left_kit import Left

AddInput = Callable[..., Coroutine[None, None, InputFile]]


@pytest.fixture(params=["with cgroups", "with signals"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    """A keeper that holds units by cgroups, if this computer lets it, or by signals."""
    use_cgroups = request.param == "with cgroups"
    async with keeper(tmp_path, use_cgroups=use_cgroups) as kept:
        if use_cgroups and kept.keeping.current.freezes_by != "cgroup":
            pytest.skip("no cgroup of version 2 can be made here")
        yield kept


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


@pytest.fixture
def left(tmp_path: Path, store: FileStore) -> Left:
    return Left(tmp_path, store)


@pytest.fixture
def cache(tmp_path: Path, store: FileStore) -> InputCache:
    return InputCache(tmp_path / "cache", store)


@pytest.fixture
def workspaces(tmp_path: Path, cache: InputCache) -> Workspaces:
    return Workspaces(tmp_path / "work", cache)


@pytest.fixture
def add_input(tmp_path: Path, store: FileStore) -> AddInput:
    """Store content as an input, and return its entry for the specification."""

    async def add(content: bytes, alias: str = "data", *, executable: bool = False) -> InputFile:
        sha256 = hashlib.sha256(content).hexdigest()
        path = tmp_path / f"to_add_{sha256[:16]}"
        path.write_bytes(content)
        await store.put_input(path, sha256)
        return InputFile(alias=alias, sha256=sha256, size_bytes=len(content), executable=executable)

    return add
