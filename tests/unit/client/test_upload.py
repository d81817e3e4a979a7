"""If an input can't be stored, the error names the cause, also if many are sent at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from distribute.client.upload import upload
from distribute.core.errors import InputError, IntegrityError, StorageFull
from distribute.testing.file_store import FileStore


def tell_nobody(done: int, total: int) -> None:
    pass


class FullStore(FileStore):
    async def put_input(self, path: Path, sha256: str) -> None:
        raise StorageFull("the store has no room")


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    paths = [tmp_path / f"in-{number}" for number in range(200)]
    for path in paths:
        path.write_text(path.name)
    return {hashlib.sha256(path.name.encode()).hexdigest(): path for path in paths}


async def test_every_input_is_stored(sources: dict[str, Path], tmp_path: Path) -> None:
    await upload(FileStore(tmp_path / "store"), sources, tell_nobody)
    assert {path.name for path in (tmp_path / "store/inputs").iterdir()} == set(sources)


async def test_a_file_that_changed_after_it_was_listed_is_refused(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "in-7").write_text("changed")
    with pytest.raises(IntegrityError):
        await upload(FileStore(tmp_path / "store"), sources, tell_nobody)


async def test_a_missing_file_is_reported(sources: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "in-7").unlink()
    with pytest.raises(InputError, match=r"in-7: can't be read any more: No such file"):
        await upload(FileStore(tmp_path / "store"), sources, tell_nobody)


async def test_a_full_store_is_reported(sources: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(StorageFull, match=r"^the store has no room$"):
        await upload(FullStore(tmp_path / "store"), sources, tell_nobody)
