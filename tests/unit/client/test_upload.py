"""If an input can't be stored, the error names the cause, also if many are sent at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from distribute.client.upload import upload
from distribute.core.errors import InputError, IntegrityError, StorageFull
from distribute.inputs.sources import Source, as_source
from distribute.memory.store import FileStore
from distribute.ports import OnDone
from distribute.ports import tell_nobody as ignore


def tell_nobody(done: int, total: int) -> None:
    pass


class FullStore(FileStore):
    async def put_input(self, content: Path | Source, sha256: str, on_done: OnDone = ignore) -> None:
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
    with pytest.raises(InputError, match=r"in-7: can't be read any more: there is no such file"):
        await upload(FileStore(tmp_path / "store"), sources, tell_nobody)


async def test_a_full_store_is_reported(sources: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(StorageFull, match=r"^the store has no room$"):
        await upload(FullStore(tmp_path / "store"), sources, tell_nobody)


async def test_progress_counts_the_bytes_of_each_file_as_they_go(tmp_path: Path) -> None:
    """Also of what the store has already, and of what has to be sent again."""

    class Slow(FileStore):
        async def put_input(self, content: Path | Source, sha256: str, on_done: OnDone = ignore) -> None:
            if as_source(content).size_bytes == 100:
                for done in (30, 60, 20, 100):
                    on_done(done)

    paths = {"a": tmp_path / "new", "b": tmp_path / "known"}
    paths["a"].write_bytes(b"x" * 100)
    paths["b"].write_bytes(b"x" * 5)
    told: list[tuple[int, int]] = []
    await upload(Slow(tmp_path / "store"), {"a": paths["a"]}, lambda done, total: told.append((done, total)))
    assert told == [(30, 100), (60, 100), (20, 100), (100, 100), (100, 100)]
    told.clear()
    await upload(Slow(tmp_path / "store"), paths, lambda done, total: told.append((done, total)))
    assert told[-1] == (105, 105)
