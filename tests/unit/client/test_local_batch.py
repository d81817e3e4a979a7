"""Nothing of a person's is lost to a pull, and two batches or attempts are not mixed in silence."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distribute.client.pull.local_batch import PARTS_NAME, held
from distribute.client.pull.note import NOTE_NAME, Origin, lines_of
from distribute.client.pull.settling import Edited
from distribute.core.errors import InputError, Refused, StorageFull
from distribute.core.ways import Way
from integration.node_runner.small_disk import small_disk
from pull_kit import BASE, JANES, Archive, Left, files_in

FIRST: Left = {"a": (1, {"r": "1", "step-900": "1", "newest": "-> step-900"}), "b": (1, {"r": "1", "e": ""})}
RETRIED: Left = {"a": (2, {"r": "2", "newest": "-> r"}), "b": (1, {"r": "1", "e": ""})}
NOTE = os.fsdecode(NOTE_NAME)


def note_of(out: Path) -> list[bytes]:
    return list(lines_of((out / "mc" / NOTE).read_bytes()))


async def test_a_file_that_a_person_changed_stays_and_is_named(archive: Archive, out: Path) -> None:
    listing = await archive.list(FIRST)
    await archive.pull(listing, out)
    (out / "mc/a/r").write_text("1, my own note")
    (out / "mc/a/newest").unlink()
    (out / "mc/a/newest").symlink_to("my-own")
    (out / "mc/b/r").unlink()
    (out / "mc/b/r").symlink_to("../moved")
    (out / "mc/b/mine").write_text("mine")
    mine = {"a/r": "1, my own note", "a/newest": "-> my-own", "b/r": "-> ../moved", "b/mine": "mine"}
    for now in (listing, await archive.list(RETRIED), await archive.list({**RETRIED, "b": (2, {"r": "2"})})):
        pulled = await archive.pull(now, out)
        assert pulled.edited == [(b"mc", b"a", b"r"), (b"mc", b"b", b"r"), (b"mc", b"a", b"newest")]
        assert pulled.problems == []
        assert {path: text for path, text in files_in(out / "mc").items() if path in mine} == mine


async def test_a_changed_file_is_overwritten_if_that_is_wanted(archive: Archive, out: Path) -> None:
    await archive.pull(await archive.list(FIRST), out)
    (out / "mc/a/r").write_text("changed")
    (out / "mc/a/newest").unlink()
    (out / "mc/a/newest").write_text("changed")
    (out / "mc/mine").write_text("mine")
    pulled = await archive.pull(await archive.list(FIRST), out, edited=Edited.OVERWRITTEN)
    assert (pulled.edited, pulled.problems) == ([], [])
    assert files_in(out / "mc") == {**flat(FIRST), "mine": "mine"}


async def test_the_archives_file_is_written_beside_a_changed_one(archive: Archive, out: Path) -> None:
    await archive.pull(await archive.list(FIRST), out)
    (out / "mc/a/r").write_text("changed")
    for left, theirs in ((FIRST, "1"), (FIRST, "1"), (RETRIED, "2")):
        pulled = await archive.pull(await archive.list(left), out, edited=Edited.BESIDE)
        assert pulled.beside == [(b"mc", b"a", b"r.theirs")]
        assert pulled.problems == []
        assert (out / "mc/a/r").read_text() == "changed"
        assert (out / "mc/a/r.theirs").read_text() == theirs
    (out / "mc/a/r.theirs").write_text("changed, too")
    pulled = await archive.pull(await archive.list(FIRST), out, edited=Edited.BESIDE)
    assert "/mc/a/r.theirs: it is where the archive's belongs; move it away" in pulled.problems[0]
    assert (out / "mc/a/r.theirs").read_text() == "changed, too"


async def test_all_files_are_looked_through_once_however_many_were_changed(
    archive: Archive, out: Path
) -> None:
    class Counted(list[Any]):
        iterations = 0

        def __iter__(self) -> Iterator[Any]:
            self.iterations += 1
            return super().__iter__()

    listing = await archive.list({"a": (1, {f"r{number}": "1" for number in range(9)})})
    await archive.pull(listing, out)
    counts = set[int]()
    for number in range(9):
        (out / f"mc/a/r{number}").write_text("changed")
        listing.files = Counted(listing.files)
        pulled = await archive.pull(listing, out, edited=Edited.BESIDE)
        assert len(pulled.beside) == number + 1
        counts.add(listing.files.iterations)
    assert len(counts) == 1


async def test_a_file_of_the_job_is_not_taken_for_the_archives_copy_of_another(
    archive: Archive, out: Path
) -> None:
    left: Left = {"a": (1, {"r": "1", "r.theirs": "the job's own"})}
    await archive.pull(await archive.list(left), out)
    (out / "mc/a/r").write_text("changed")
    pulled = await archive.pull(await archive.list(left), out, edited=Edited.BESIDE)
    assert len(pulled.problems) == 1
    assert files_in(out / "mc/a") == {"r": "changed", "r.theirs": "the job's own"}


async def test_what_an_earlier_attempt_left_is_replaced_or_named(archive: Archive, out: Path) -> None:
    await archive.pull(await archive.list(FIRST), out)
    for _ in range(2):
        pulled = await archive.pull(await archive.list(RETRIED), out)
        assert pulled.leftovers == [(b"mc", b"a", b"step-900")]
        assert files_in(out / "mc") == {**flat(RETRIED), "a/step-900": "1"}
    pulled = await archive.pull(await archive.list(RETRIED), out, replace=True)
    assert (pulled.leftovers, pulled.removed) == ([], 1)
    assert files_in(out / "mc") == flat(RETRIED)


async def test_a_leftover_that_a_person_changed_is_theirs(archive: Archive, out: Path) -> None:
    await archive.pull(await archive.list(FIRST), out)
    (out / "mc/a/step-900").write_text("changed")
    pulled = await archive.pull(await archive.list(RETRIED), out, replace=True)
    assert (pulled.leftovers, pulled.removed) == ([], 0)
    assert (out / "mc/a/step-900").read_text() == "changed"


async def test_a_folder_takes_the_place_of_an_earlier_attempts_file_if_that_is_wanted(
    archive: Archive, out: Path
) -> None:
    file, folder = {"a": (1, {"x": "1"})}, {"a": (2, {"x/y/z": "2"})}
    for before, after in ((file, folder), (folder, file)):
        place = out / str(before["a"][0])
        await archive.pull(await archive.list(before), place)
        listing = await archive.list({"a": (3, after["a"][1])})
        assert len((await archive.pull(listing, place)).problems) == 1
        assert (await archive.pull(listing, place, replace=True)).problems == []
        assert files_in(place / "mc") == flat(after)


OTHERS = {
    "holds the results of bob/mc: ": Origin("bob", "mc", "01JBOB"),
    "holds the results of jane/mc2: ": Origin("jane", "mc2", "01JFIRST"),
    "holds the results of jane/mc that was submitted at 2029-": JANES._replace(
        submission="01J", submitted_at=1_890_000_000.0
    ),
}


@pytest.mark.parametrize(("why", "other"), OTHERS.items())
async def test_another_batch_is_not_mixed_in(archive: Archive, out: Path, why: str, other: Origin) -> None:
    before = await archive.list({"a": (1, {"r": "0", "x": "0"}), "dropped": (1, {"r": "0", "s": "0"})}, other)
    await archive.pull(before, out)
    (out / "mc/dropped/s").write_text("changed")
    there = files_in(out / "mc")
    listing = await archive.list(FIRST)
    with pytest.raises(Refused, match=why) as caught:
        await archive.pull(listing, out)
    assert f"pull into another folder, such as {out}/mc-2, or have what is here removed" in str(caught.value)
    assert caught.value.ways == (Way.ANOTHER_FOLDER_OF_BATCH, Way.REPLACE_LOCAL)
    assert files_in(out / "mc") == there
    pulled = await archive.pull(listing, out, replace=True)
    assert (pulled.edited, pulled.problems) == ([], [])
    assert files_in(out / "mc") == {**flat(FIRST), "dropped/s": "changed"}
    assert (await archive.pull(listing, out)).kept == 4
    with pytest.raises(Refused, match=r"holds the results of jane/mc"):
        await archive.pull(before, out)


async def test_what_came_before_in_a_batch_that_is_followed_is_no_leftover(
    archive: Archive, out: Path
) -> None:
    """After the first pull, who follows a batch gets lists of what came since."""
    await archive.pull(await archive.list(FIRST, OTHERS["holds the results of bob/mc: "]), out)
    for left in ({"a": FIRST["a"]}, {"b": FIRST["b"]}, {"a": (2, {"r": "2"})}, {"c": (1, {"r": "1"})}):
        pulled = await archive.pull(await archive.list(left), out, replace=True)
        assert (pulled.edited, pulled.problems) == ([], [])
    assert files_in(out / "mc") == {"a/r": "2", "b/r": "1", "b/e": "", "c/r": "1"}


async def test_a_scheduler_that_does_not_tell_the_submission_is_no_other_batch(
    archive: Archive, out: Path
) -> None:
    await archive.pull(await archive.list(FIRST, JANES._replace(submission=None)), out)
    assert (await archive.pull(await archive.list(FIRST), out)).kept == 4


async def test_a_part_of_a_batch_and_then_another_add_up(archive: Archive, out: Path) -> None:
    listing = await archive.list(FIRST)
    files = listing.files
    for part in (files[:2], files[2:], files):
        listing.files = part
        assert (await archive.pull(listing, out)).problems == []
        assert len(note_of(out)) <= 4
    assert files_in(out / "mc") == flat(FIRST)


async def test_a_pull_without_news_writes_nothing(archive: Archive, out: Path) -> None:
    await archive.pull(await archive.list(FIRST, builds={"mc_build_output-ws1.txt": "built"}), out)
    before = note_of(out)
    assert len(before) == 4
    inodes = {path: path.lstat().st_ino for path in out.rglob("*")}
    for _ in range(2):
        await archive.pull(await archive.list(FIRST, builds={"mc_build_output-ws1.txt": "built"}), out)
    assert note_of(out) == before
    assert {path: path.lstat().st_ino for path in out.rglob("*")} == inodes


async def test_other_tasks_run_between_two_files(archive: Archive, out: Path) -> None:
    """Otherwise Ctrl-C and the broker's pings would wait for the last of 100,000 files."""
    listing = await archive.list({"a": (1, {f"r{number}": "1" for number in range(9)})})
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    for is_kept in (False, True):
        seen = set[int]()
        pulled = await archive.pull(listing, out, on_bytes=lambda done, total, seen=seen: seen.add(turns))
        assert (pulled.kept == 9, len(seen)) == (is_kept, 9)
    other.cancel()


async def test_one_program_at_a_time_pulls_to_a_folder(archive: Archive, out: Path) -> None:
    listing = await archive.list(FIRST)
    with held(out, BASE):
        with pytest.raises(Refused, match="mc: another program pulls to it; wait for its end"):
            await archive.pull(listing, out)
        await archive.pull(listing, out / "elsewhere")
    await archive.pull(listing, out)


async def test_what_a_killed_pull_left_is_removed(archive: Archive, out: Path) -> None:
    parts = out / "mc" / os.fsdecode(PARTS_NAME)
    parts.mkdir(parents=True)
    (parts / ".distribute-0123.part").touch()
    (parts / ".0123-4567.part").touch()
    await archive.pull(await archive.list(FIRST), out)
    assert not parts.exists()


async def test_a_pull_that_ends_early_keeps_only_what_can_be_resumed(archive: Archive, out: Path) -> None:
    parts = out / "mc" / os.fsdecode(PARTS_NAME)
    parts.mkdir(parents=True)
    (parts / ".distribute-0123.part").touch()
    (parts / ".0123-4567.part").touch()

    def interrupt(done: int, total: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await archive.pull(await archive.list(FIRST), out, on_bytes=interrupt)
    assert [path.name for path in parts.iterdir()] == [".0123-4567.part"]


@pytest.mark.parametrize("lost", [1, 40, 90, 10_000])
async def test_a_torn_note_is_no_harm(archive: Archive, out: Path, lost: int) -> None:
    await archive.pull(await archive.list(FIRST), out)
    text = (out / "mc" / NOTE).read_bytes()
    (out / "mc" / NOTE).write_bytes(text[:-lost])
    pulled = await archive.pull(await archive.list(FIRST), out)
    assert (pulled.kept, pulled.edited, pulled.problems) == (4, [], [])
    assert (out / "mc" / NOTE).read_bytes() == text


async def test_a_line_that_can_t_be_read_costs_only_what_it_lists(archive: Archive, out: Path) -> None:
    await archive.pull(await archive.list(FIRST), out)
    head, _, of_b = note_of(out)
    for wrong in (b"[]", b"{", b'{"job": 3}', b'{"job": "a", "files": {"x": "no digest"}}', b"\xff"):
        (out / "mc" / NOTE).write_bytes(b"\n".join([head, wrong, of_b, b""]))
        pulled = await archive.pull(await archive.list({**RETRIED, "b": (2, {"r": "2"})}), out)
        assert pulled.edited == [(b"mc", b"a", b"r"), (b"mc", b"a", b"newest")]
        assert pulled.unreadable == 1
        assert (out / "mc/b/r").read_text() == "2"


async def test_a_note_of_a_newer_version_is_not_touched(archive: Archive, out: Path) -> None:
    (out / "mc").mkdir(parents=True)
    (out / "mc" / NOTE).write_text('{"v": 2}\n')
    with pytest.raises(Refused, match="is of a newer distribute: upgrade this one"):
        await archive.pull(await archive.list(FIRST), out)
    assert (out / "mc" / NOTE).read_text() == '{"v": 2}\n'


@pytest.mark.parametrize("room_kib", [0, 4, 8, 100])
async def test_a_full_disk_costs_nothing_that_is_there(
    archive: Archive, tmp_path: Path, room_kib: int
) -> None:
    listing = await archive.list(FIRST)
    large = await archive.list({**FIRST, "large": (1, {f"f{number}": "x" * 9999 for number in range(20)})})
    with small_disk(tmp_path / "disk", 1) as disk:
        await archive.pull(listing, disk)
        (disk / "mc/a/r").write_text("changed")
        space = os.statvfs(disk)
        with (disk / "fill").open("wb") as fill:
            fill.write(b"x" * (space.f_bavail * space.f_bsize - (room_kib << 10)))
        with pytest.raises(StorageFull, match="no room left here; make room"):
            await archive.pull(large, disk)
        assert (disk / "mc/a/r").read_text() == "changed"
        (disk / "fill").unlink()
        pulled = await archive.pull(large, disk)
        assert (pulled.edited, pulled.problems) == ([(b"mc", b"a", b"r")], [])
        assert files_in(disk / "mc") == {
            **flat(FIRST),
            **{f"large/f{number}": "x" * 9999 for number in range(20)},
            "a/r": "changed",
        }


async def test_links_where_pull_keeps_its_own_files_lead_nowhere(archive: Archive, out: Path) -> None:
    listing = await archive.list(FIRST)
    reasons = {
        NOTE_NAME: "can't be written: its links lead in a circle",
        PARTS_NAME: "pull needs this name here",
    }
    for name, why in reasons.items():
        place = out / os.fsdecode(name)
        (place / "mc").mkdir(parents=True)
        (place / "outside").mkdir()
        (place / "mc" / os.fsdecode(name)).symlink_to("../outside")
        with pytest.raises(InputError, match=why):
            await archive.pull(listing, place)
        assert files_in(place / "outside") == {}


async def test_jobs_with_the_names_of_pulls_own_files_are_reported(archive: Archive, out: Path) -> None:
    odd: Left = {NOTE: (1, {"r": "1"}), os.fsdecode(PARTS_NAME): (1, {"x": "-> y"}), "b": (1, {"r": "1"})}
    pulled = await archive.pull(await archive.list(odd), out)
    assert all("pull needs this name in the batch's folder for itself" in line for line in pulled.problems)
    assert files_in(out / "mc") == {"b/r": "1"}


async def test_names_that_are_not_text_are_noted(archive: Archive, out: Path) -> None:
    job, odd = "a\n'\"\\", os.fsdecode(b"a\xff\n'\"\\")
    await archive.pull(await archive.list({job: (1, {odd: "1", "l": f"-> {odd}"})}), out)
    pulled = await archive.pull(await archive.list({job: (2, {odd: "2"})}), out, replace=True)
    assert (pulled.edited, pulled.removed) == ([], 1)
    assert files_in(out / "mc") == {f"{job}/{odd}": "2"}


async def test_a_file_that_can_t_be_written_does_not_count_as_fetched(archive: Archive, out: Path) -> None:
    (out / "mc").mkdir(parents=True)
    (out / "mc/b").symlink_to("elsewhere")
    for empty_or_not in ("", "1"):
        pulled = await archive.pull(await archive.list({"b": (1, {"r": empty_or_not})}), out)
        assert (pulled.fetched, pulled.size_bytes) == (0, 0)
        told = ["mc/b: a link or file is where a folder belongs" in line for line in pulled.problems]
        assert told == [True, True], "of the folder and of the file"


async def test_read_only_files_are_replaced(archive: Archive, out: Path) -> None:
    await archive.pull(await archive.list(FIRST), out)
    (out / "mc/a/r").chmod(0o444)
    assert (await archive.pull(await archive.list(RETRIED), out)).edited == []
    assert (out / "mc/a/r").read_text() == "2"


async def test_the_current_folder_can_be_a_batchs_folder(
    archive: Archive, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = await archive.list({"a": (1, {"r": "1"})})
    listing.base = ()
    listing.folders = [parts[1:] for parts in listing.folders]
    listing.files = [(stored, wanted._replace(parts=wanted.parts[1:])) for stored, wanted in listing.files]
    out.mkdir()
    monkeypatch.chdir(out)
    await archive.pull(listing, Path())
    assert files_in(out) == {"a/r": "1"}
    listing.origin = OTHERS["holds the results of bob/mc: "]
    with pytest.raises(Refused, match=f"pull into another folder, such as {out}-2"):
        await archive.pull(listing, Path())


async def test_another_folder_is_proposed_whose_name_is_not_too_long(archive: Archive, out: Path) -> None:
    longest = "n" * 255
    listing = await archive.list({"a": (1, {"r": "1"})})
    listing.base = (longest.encode(),)
    listing.folders = [(longest.encode(), *parts[1:]) for parts in listing.folders]
    listing.files = [
        (stored, wanted._replace(parts=(longest.encode(), *wanted.parts[1:])))
        for stored, wanted in listing.files
    ]
    await archive.pull(listing, out)
    listing.origin = OTHERS["holds the results of bob/mc: "]
    with pytest.raises(Refused) as caught:
        await archive.pull(listing, out)
    assert f"pull into another folder, such as {out}/{'n' * 253}-2, or" in str(caught.value)


def flat(left: Left) -> dict[str, str]:
    return {f"{job}/{path}": text for job, (_, files) in left.items() for path, text in files.items()}
