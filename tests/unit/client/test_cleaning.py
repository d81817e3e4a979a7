"""`clean` removes what can be had again, and nothing else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from distribute.client.pull.cleaning import CHANGED, LOST, NOT_LISTED, Cleaned, clean
from distribute.client.pull.listing import Listing
from distribute.client.pull.local_batch import held
from distribute.client.pull.note import NOTE_NAME
from distribute.client.pull.settling import Edited
from distribute.client.pull.target_folder import Found, Parts, TargetFolder
from distribute.core.errors import InputError, Refused
from pull_kit import BASE, JANES, Archive, Left, files_in

LEFT: Left = {
    "a": (1, {"r": "1", "deep/er/s": "1", "newest": "-> r"}),
    "b": (1, {"r": "1", "empty": ""}),
    "nothing": (1, {}),
}


def names(cleaned: Cleaned) -> set[str]:
    return {os.fsdecode(b"/".join(removable.parts[1:])) for removable in cleaned.removed}


async def pulled(archive: Archive, out: Path, left: Left = LEFT) -> Listing:
    listing = await archive.list(left, builds={"mc_build_output-ws1.txt": "built"})
    listing.folders.append((*BASE, b"a", b"hollow", b"er"))
    assert (await archive.pull(listing, out)).problems == []
    return listing


async def test_all_that_was_pulled_is_removed_with_its_folders(archive: Archive, out: Path) -> None:
    listing = await pulled(archive, out)
    there = files_in(out / "mc")
    dry = await clean(archive.store, listing, out, dry=True)
    assert files_in(out / "mc") == there
    cleaned = await clean(archive.store, listing, out)
    assert names(cleaned) == names(dry) == set(there)
    assert (cleaned.size_bytes, cleaned.kept, cleaned.others) == (len("111built"), [], [])
    assert list(out.iterdir()) == []
    await archive.pull(listing, out)
    assert files_in(out / "mc") == there


async def test_a_clean_that_is_interrupted_removes_no_more(
    archive: Archive, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = await pulled(archive, out)
    there = files_in(out / "mc")
    loop, remove = asyncio.get_running_loop(), TargetFolder.remove

    def interrupted(target: TargetFolder, parts: Parts, found: Found) -> None:
        remove(target, parts, found)
        loop.call_soon_threadsafe(cleaning.cancel)

    monkeypatch.setattr(TargetFolder, "remove", interrupted)
    cleaning = asyncio.create_task(clean(archive.store, listing, out))
    with pytest.raises(asyncio.CancelledError):
        await cleaning
    await loop.shutdown_default_executor()  # a thread may go on after its task
    assert len(files_in(out / "mc")) == len(there) - 1


async def test_what_a_person_changed_or_wrote_stays(archive: Archive, out: Path) -> None:
    listing = await pulled(archive, out)
    (out / "mc/a/r").write_text("changed")
    (out / "mc/b/r").unlink()
    (out / "mc/b/r").symlink_to("../a/r")
    (out / "mc/a/deep/mine").write_text("mine")
    (out / "mc/mine").symlink_to("a")
    for dry in (True, False):
        cleaned = await clean(archive.store, listing, out, dry=dry)
        assert cleaned.kept == [((b"mc", b"a", b"r"), CHANGED), ((b"mc", b"b", b"r"), CHANGED)]
        assert cleaned.others == [(b"mc", b"a", b"deep", b"mine"), (b"mc", b"mine")]
        assert len(cleaned.removed) == 4
    stays = {"a/r": "changed", "b/r": "-> ../a/r", "a/deep/mine": "mine", "mine": "-> a"}
    assert files_in(out / "mc") == stays
    assert {path.name for path in (out / "mc").iterdir() if path.is_dir()} == {"a", "b", "mine"}
    again = await clean(archive.store, listing, out)
    assert (again.removed, again.kept) == ([], cleaned.kept)
    assert (await archive.pull(listing, out)).edited == [parts for parts, _ in cleaned.kept]


async def test_what_an_earlier_attempt_left_stays(archive: Archive, out: Path) -> None:
    await pulled(archive, out)
    retried = await archive.list({**LEFT, "a": (2, {"r": "2"})})
    cleaned = await clean(archive.store, retried, out)
    assert {reason for _, reason in cleaned.kept} == {NOT_LISTED}
    assert files_in(out / "mc") == {
        "a/r": "1",
        "a/deep/er/s": "1",
        "a/newest": "-> r",
        "mc_build_output-ws1.txt": "built",
    }


async def test_what_the_cluster_has_lost_stays(archive: Archive, out: Path, tmp_path: Path) -> None:
    listing = await pulled(archive, out)
    stored = next(stored for stored, wanted in listing.files if wanted.parts[1] == b"b" and stored)
    (tmp_path / "store" / "results" / stored.nuid).unlink()
    cleaned = await clean(archive.store, listing, out)
    assert cleaned.kept == [((b"mc", b"b", b"r"), LOST)]
    assert files_in(out / "mc") == {"b/r": "1"}


async def test_the_archives_copy_beside_a_changed_file_is_removed(archive: Archive, out: Path) -> None:
    listing = await pulled(archive, out)
    (out / "mc/a/r").write_text("changed")
    await archive.pull(listing, out, edited=Edited.BESIDE)
    assert (out / "mc/a/r.theirs").exists()
    await clean(archive.store, listing, out)
    assert files_in(out / "mc") == {"a/r": "changed"}


async def test_a_part_that_was_pulled_is_removed(archive: Archive, out: Path) -> None:
    listing = await archive.list(LEFT)
    files = listing.files
    listing.files, listing.links, listing.folders = files[:1], [], []
    await archive.pull(listing, out)
    (out / "mc/b").mkdir()
    (out / "mc/b/r").write_text("1")
    listing.files = files
    cleaned = await clean(archive.store, listing, out)
    assert names(cleaned) == {"a/r"}
    assert cleaned.others == [(b"mc", b"b", b"r")], "no pull wrote it, though it is the same"
    assert files_in(out / "mc") == {"b/r": "1"}


async def test_another_batchs_folder_is_left_alone(archive: Archive, out: Path) -> None:
    listing = await pulled(archive, out)
    there = files_in(out / "mc")
    for other in (JANES._replace(submission="01JOTHER"), JANES._replace(namespace="bob")):
        with pytest.raises(Refused, match="the cluster may not have these any more, so they stay"):
            await clean(archive.store, await archive.list(LEFT, other), out)
    with held(out, BASE), pytest.raises(Refused, match="another program"):
        await clean(archive.store, listing, out)
    assert files_in(out / "mc") == there


async def test_a_folder_to_which_nothing_was_pulled_is_left_alone(archive: Archive, out: Path) -> None:
    listing = await archive.list(LEFT)
    for make in (lambda: None, out.mkdir, (out / "mc").mkdir, (out / "mc/mine").touch):
        make()
        with pytest.raises(InputError, match="mc: nothing was pulled here"):
            await clean(archive.store, listing, out)
    assert [path.name for path in (out / "mc").iterdir()] == ["mine"]
    (out / "mc" / os.fsdecode(NOTE_NAME)).touch()
    cleaned = await clean(archive.store, listing, out)
    assert (cleaned.removed, cleaned.others) == ([], [(b"mc", b"mine")])
