"""A saved log as a cluster: the same events as the log that was saved, and nothing else."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from distribute.client.event_stream import last_before
from distribute.codec import encode
from distribute.core.errors import InputError, IntegrityError, NobodyAnswers, Refused
from distribute.core.ids import Assignments, BatchId, BuildId, JobId, NodeId, Under
from distribute.core.log.recorded import Guard
from distribute.memory.log import MemoryLog
from distribute.ports import BEGINNING, Cluster, EventLog, Only, Raw
from distribute.saved.lines import Header
from distribute.saved.log import SavedCluster
from distribute.saved.reading import SavedFile
from distribute.saved.writing import save
from distribute.testing import builders as make
from saved_kit import HEADER, STORY, chained, lines_of, memory_log, saved, saved_raws, write_lines

SWEEP = BatchId("lab", "sweep")
MANY = [Only(), Only(batch=SWEEP), Only(node="größe"), Only(scope=JobId(*SWEEP, "job2")), Only(scope=SWEEP)]
MANY += [Only(types=frozenset({"assigned"})), Only(batch=SWEEP, also=frozenset({"joined", "left"}))]
MANY += [Only(scope=NodeId("ws1")), Only(scope=BuildId(SWEEP, "ws1")), Only(batch=SWEEP, node="ws1")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved log of the story."""
    return tmp_path / "log.gz"


async def seqs(log: EventLog, only: Only, after: int = 0, until: int = len(STORY)) -> list[int]:
    return [
        one.seq
        async for records in log.follow(after=after, until=until, only=only)
        for one in records
    ]  # fmt: skip


async def saved_cluster(path: Path, log: MemoryLog | None = None) -> SavedCluster:
    await save(log or memory_log(STORY), path, HEADER)
    return SavedCluster(path)


@pytest.mark.parametrize("only", MANY)
async def test_a_reader_gets_the_same_events_as_from_the_log(path: Path, only: Only) -> None:
    log = memory_log(STORY)
    cluster: Cluster = await saved_cluster(path, log)
    expected = await seqs(log, only)
    assert await seqs(cluster.log, only) == expected != []
    assert await seqs(cluster.log, only, after=3, until=9) == await seqs(log, only, after=3, until=9)
    raws = [raw async for some in cluster.log.follow_raw(after=0, until=99, only=only) for raw in some]
    assert raws == [raw async for some in log.follow_raw(after=0, until=99, only=only) for raw in some]


@pytest.mark.parametrize("only", [Only(), Only(batch=BatchId("lab", "none"))])
async def test_reading_can_be_cancelled(path: Path, only: Only) -> None:
    cluster = await saved_cluster(path)
    reading = asyncio.create_task(seqs(cluster.log, only))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_single_events_are_found(path: Path) -> None:
    log = memory_log(STORY)
    cluster = await saved_cluster(path, log)
    for seq in range(1, len(STORY) + 1):
        assert await cluster.log.get(seq) == await log.get(seq)
        assert await cluster.log.get_raw(seq) == await log.get_raw(seq)
    for scope in (SWEEP, JobId(*SWEEP, "job2"), NodeId("ws1"), Under(SWEEP), Assignments(Under(SWEEP))):
        assert await cluster.log.last(scope) == await log.last(scope) is not None
    assert await cluster.log.last(Under(SWEEP), "finished") == await log.last(Under(SWEEP), "finished")
    assert await cluster.log.last(SWEEP, "deleted") is None
    assert await cluster.log.end() == await log.end()
    with pytest.raises(KeyError):
        await cluster.log.get(99)


async def test_the_last_event_before_a_time_is_the_same_as_in_the_log(path: Path) -> None:
    log = memory_log(STORY)
    saved_log = (await saved_cluster(path)).log
    for half_seconds in range(2 * len(STORY) + 4):
        time = make.EPOCH.timestamp() + half_seconds / 2
        assert await last_before(saved_log, time) == await last_before(log, time)


async def test_an_empty_log_can_be_saved(path: Path) -> None:
    cluster = await saved_cluster(path, memory_log([]))
    assert await cluster.log.end() == BEGINNING
    assert await seqs(cluster.log, Only()) == []
    assert [*cluster.file.check_chain()] == [[]]


async def test_nothing_can_be_changed_or_awaited_in_a_saved_log(path: Path) -> None:
    cluster = await saved_cluster(path)
    with pytest.raises(Refused, match=r"log\.gz is a saved log: nothing can be changed in it"):
        await cluster.log.append(make.joined("ws3"), Guard(0))
    with pytest.raises(Refused, match="nothing comes behind its last event"):
        async for _ in cluster.log.follow(after=0):
            pass
    with pytest.raises(NobodyAnswers):
        await cluster.queries.ask("status")
    with pytest.raises(Refused, match=r"log\.gz is a saved log: no job runs in it"):
        await cluster.queries.ask("exec", node="ws1")
    for what in ("store", "beats", "live"):
        with pytest.raises(IntegrityError, match="is a saved log, and has no"):
            await getattr(cluster, what).last("ws1")


async def test_a_part_of_a_saved_log_can_be_saved_again(path: Path) -> None:
    cluster = await saved_cluster(path)
    part = path.with_name("part.gz")
    last = await save(cluster.log, part, HEADER, only=Only(scope=JobId(*SWEEP, "job2")))
    again = SavedCluster(part)
    assert (last.events, await seqs(again.log, Only())) == (1, [9])
    assert await again.log.get_raw(9) == await cluster.log.get_raw(9)


async def test_a_file_that_is_there_is_replaced_only_if_asked(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(Refused, match=r"log\.gz is there already: .* --force"):
        await save(memory_log(STORY), path, HEADER)
    assert path.read_text() == "mine"
    await save(memory_log(STORY), path, HEADER, replace=True)
    assert SavedCluster(path).file.last.events == len(STORY)
    assert [one.name for one in path.parent.iterdir()] == ["log.gz"]


async def test_what_cannot_be_written_or_ends_early_leaves_nothing(path: Path) -> None:
    with pytest.raises(InputError, match=r"none/log\.gz: can't be written: there is no such file or folder"):
        await save(memory_log(STORY), path.parent / "none" / "log.gz", HEADER)

    path.write_text("mine")
    with pytest.raises(
        InputError, match=r"log\.gz/below: can't be written: a part of its path is not a folder"
    ):
        await save(memory_log(STORY), path / "below", HEADER)
    path.unlink()

    def give_up(_: int) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await save(memory_log(STORY), path, HEADER, on_done=give_up)
    assert [*path.parent.iterdir()] == []


@pytest.mark.parametrize("replace", [False, True])
async def test_what_is_no_file_is_not_replaced(path: Path, replace: bool) -> None:
    for folder in (Path(), Path("/")):
        with pytest.raises(InputError, match="is a folder; name a file in it"):
            await save(memory_log(STORY), folder, HEADER, replace=replace)
    os.mkfifo(path)
    for there in (path.parent, path):
        with pytest.raises(Refused, match="is there already, and is no plain file: name another one"):
            await save(memory_log(STORY), there, HEADER, replace=replace)
    assert [*path.parent.iterdir()] == [path]


def test_what_is_no_saved_log_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match=r"log\.gz: can't be read: there is no such file or folder"):
        SavedCluster(path)
    for content in (b"", b"{}\n", b"\x1f\x8b", b"meta: {}\n" * 1000):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no saved log, or its first line is damaged; `replay"):
            SavedCluster(path)
    with pytest.raises(InputError, match="can't be read: it is a folder"):
        SavedCluster(path.parent)


@pytest.mark.parametrize(
    ("newer", "words"),
    [({"layout": 99}, "the layout 99, and this"), ({"distribute_log": 2}, "the format 2, and this")],
)
def test_a_saved_log_of_a_newer_distribute_is_refused(path: Path, newer: dict[str, int], words: str) -> None:
    lines = lines_of(saved(path))
    header = Header(**HEADER._asdict() | newer).body() + lines[0][-78:]
    write_lines(path, chained([header, *lines[1:]]))
    with pytest.raises(InputError, match=f"{words} distribute reads .: upgrade distribute on this computer"):
        SavedCluster(path)


def test_lines_that_were_forged_together_with_their_digests_do_not_have_that_of_the_file(path: Path) -> None:
    lines = lines_of(saved(path))
    lines[3] = lines[3].replace(b'"user":"jane"', b'"user":"john"')
    write_lines(path, chained(lines))
    with pytest.raises(IntegrityError, match="was altered in its compressed form; each line has its digest"):
        SavedCluster(path)


def test_a_file_that_was_unpacked_altered_and_packed_again_is_refused_at_the_line(path: Path) -> None:
    lines = lines_of(saved(path))
    path.write_bytes(gzip.compress(b"".join(lines)))
    with pytest.raises(
        IntegrityError, match=f"was altered or cut short in line {len(lines)}, behind event 12"
    ):
        SavedCluster(path)
    lines[3] = lines[3].replace(b'"user":"jane"', b'"user":"john"')
    path.write_bytes(gzip.compress(b"".join(lines)))
    with pytest.raises(IntegrityError, match="was altered or cut short in line 4, behind event 2"):
        SavedCluster(path)


@pytest.mark.parametrize(
    ("seqs", "times", "words"),
    [
        ((1, 3, 2), (1.0, 2.0, 3.0), "event 2 stands behind event 3"),
        ((1, 2, 2), (1.0, 2.0, 3.0), "event 2 stands behind event 2"),
        ((0, 1, 2), (1.0, 2.0, 3.0), "event 0 stands behind event 0"),
        ((1, 2, 3), (1.0, float("nan"), 3.0), "event 2 has the time nan, which no log has"),
        ((1, 2, 3), (1.0, 1e11, 3.0), "event 2 has the time 100000000000.0, which no log has"),
    ],
)
def test_events_that_no_log_has_are_refused_where_they_stand(
    path: Path, seqs: tuple[int, ...], times: tuple[float, ...], words: str
) -> None:
    raws = [Raw(seq, time, encode(event)) for seq, time, event in zip(seqs, times, STORY, strict=False)]
    file = SavedFile(saved_raws(path, raws))
    for reading in (file.events, file.check_chain):
        with pytest.raises(IntegrityError, match=f"was altered.*: {words}"):
            list(reading())


def test_a_file_that_ends_in_no_order_is_refused(path: Path) -> None:
    for raw in (Raw(-1, 1.0, b"{}"), Raw(1, float("inf"), b"{}")):
        with pytest.raises(IntegrityError, match="was altered or cut short"):
            SavedFile(saved_raws(path, [raw]))
