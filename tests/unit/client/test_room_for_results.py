"""What is where results will be is found before they come: earlier ones, and what is a person's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distribute.client.pull.earlier import make_room
from distribute.client.pull.note import Origin
from distribute.core.errors import InputError, Refused
from pull_kit import BASE, JANES, Archive, Left, files_in

FIRST: Left = {"a": (1, {"u": "u of a", "sub/v": "v", "link": "-> u"}), "b": (1, {"u": "u of b"})}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with results of the batch."""
    archive, out = Archive(tmp_path / "store"), tmp_path / "out"
    archive.pulled(archive.listed(FIRST), out)
    return out


async def room(out: Path, *jobs: str, clean: bool = False, all_jobs: bool = True, of: Origin = JANES) -> int:
    names = {os.fsencode(job) for job in jobs}
    return await make_room(out, BASE, of, names, clean=clean, all_jobs=all_jobs)


async def test_where_nothing_is_there_is_room(tmp_path: Path) -> None:
    assert await room(tmp_path / "none", "a", clean=True) == 0
    assert not (tmp_path / "none").exists()


async def test_other_jobs_are_not_in_the_way(out: Path) -> None:
    before = files_in(out)
    assert await room(out, "c", "d") == 0
    assert files_in(out) == before


async def test_earlier_results_are_named_and_stay(out: Path) -> None:
    before = files_in(out)
    with pytest.raises(
        Refused, match="mc has earlier results of a, b: have them removed first, or name another"
    ):
        await room(out, "a", "b", "c")
    assert files_in(out) == before


async def test_of_the_whole_batch_all_is_removed_that_was_written_there(out: Path) -> None:
    (out / "mc" / "notes").write_text("mine")
    assert await room(out, "a", clean=True) == 4
    assert files_in(out) == {"mc/notes": "mine"}
    assert [path.name for path in (out / "mc").iterdir() if path.is_dir()] == []
    (out / "mc" / "notes").unlink()


async def test_of_some_jobs_only_theirs_are_removed(out: Path) -> None:
    assert await room(out, "a", clean=True, all_jobs=False) == 3
    assert files_in(out) == {"mc/b/u": "u of b"}
    with pytest.raises(Refused, match="earlier results of b"):
        await room(out, "b")


@pytest.mark.parametrize("clean", [False, True])
async def test_results_of_another_batch_stay(out: Path, clean: bool) -> None:
    before = files_in(out)
    with pytest.raises(Refused, match=r"holds the results of jane/mc, which a cluster ran: they stay"):
        await room(out, "a", clean=clean, of=JANES._replace(submission="run-here"))
    with pytest.raises(Refused, match=r"holds the results of jane/mc: they stay; name another folder"):
        await room(out, "z", clean=clean, of=JANES._replace(namespace="anna"))
    assert files_in(out) == before


async def test_what_a_person_changed_or_put_there_stays_and_nothing_is_removed(out: Path) -> None:
    (out / "mc/a/u").write_text("edited")
    (out / "mc/b/own").symlink_to("u")
    before = files_in(out)
    with pytest.raises(Refused, match="mc/a/u, mc/b/own were not left by an earlier run, or changed since"):
        await room(out, "a", "b", clean=True)
    assert files_in(out) == before


@pytest.mark.parametrize("clean", [False, True])
async def test_a_folder_of_a_persons_own_gets_no_note(tmp_path: Path, clean: bool) -> None:
    (tmp_path / "mc" / "a").mkdir(parents=True)
    assert await room(tmp_path, "a", clean=clean) == 0
    (tmp_path / "mc" / "a" / "data").write_text("mine")
    with pytest.raises(Refused, match="mc/a/data was not left by an earlier run"):
        await room(tmp_path, "a", clean=clean)
    assert [path.name for path in (tmp_path / "mc").iterdir()] == ["a"]


async def test_a_job_can_not_have_the_name_of_the_folders_note(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no job can be called \.distribute-pulled\.jsonl"):
        await room(tmp_path, ".distribute-pulled.jsonl")
