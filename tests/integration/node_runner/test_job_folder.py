"""Looking into the folder of a job that runs never leads out of it, whatever the job does meanwhile."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distribute.core.spec.visits import CHUNK_BYTES, Entry, Piece, path_text
from distribute_services.node_runner.disk import job_folder
from distribute_services.node_runner.disk.job_folder import JobFolder, listed, read_pieces

from .as_user import as_nobody, folder_of_nobody

WITHIN_S = 60.0


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


@pytest.fixture
def opened(job: Path) -> Iterator[JobFolder]:
    root = os.open(job, os.O_RDONLY)
    yield JobFolder(root, "/seen")
    os.close(root)


def entries(folder: JobFolder, *below: bytes) -> list[Entry]:
    unread: list[str] = []
    found = list(folder.entries(below, unread))
    assert unread == []
    return found


def read(folder: JobFolder, path: str, **piece: int) -> tuple[bytes, bool, str]:
    """What a read brings, whether it is another file, and the problem."""
    got, data = folder.read(Piece(path=path, **{"offset": 0, "until": 1 << 40, **piece}), CHUNK_BYTES)
    assert got.length == len(data) or got.is_hole
    return data, got.is_other, got.problem


def test_files_links_and_empty_folders_are_listed_with_sizes_and_times(job: Path, opened: JobFolder) -> None:
    for name in (b"a\nb", b"\xff\x1b[31m", b"full/deep/file"):
        path = os.path.join(os.fsencode(job), name)  # noqa: PTH118 (bytes)
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b"12345")
        os.utime(path, ns=(0, 12345))
    (job / "empty").mkdir()
    (job / "link").symlink_to("/etc/passwd")
    os.mkfifo(job / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(job / "socket"))
    found = {entry.path: entry for entry in entries(opened)}
    files = {path_text(b"a\nb"), path_text(b"\xff\x1b[31m"), "full/deep/file"}
    assert {path for path, entry in found.items() if entry.kind == "file"} == files
    assert all(found[path][2:4] == (5, 12345) for path in files)
    assert found["link"].target == "/etc/passwd"
    assert found.keys() == {*files, "link", "empty"}
    assert [entry.path for entry in entries(opened, b"full", b"deep", b"file")] == ["full/deep/file"]


def test_a_path_is_followed_only_within_the_folder(job: Path, opened: JobFolder) -> None:
    (job / "results/deep").mkdir(parents=True)
    for name, target in {
        "there": "results",
        "seen": "/seen/results",
        "deep": "seen/../there/deep",
        "out": "..",
        "away": "/etc",
        "almost": "/seen-not",
        "circle": "circle",
        "nowhere": "gone",
    }.items():
        (job / name).symlink_to(target)
    assert opened.inside(b"there") == opened.inside(b"seen/") == (b"results",)
    assert opened.inside(b"deep") == (b"results", b"deep")
    assert opened.inside(b".") == opened.inside(b"results/..") == ()
    for path in (
        b"out",
        b"away",
        b"almost",
        b"circle",
        b"nowhere",
        b"..",
        b"results/../../secret",
        b"there/out",
    ):
        assert opened.inside(path) is None, path


def test_no_link_leads_a_reader_out(job: Path, opened: JobFolder) -> None:
    (job / "folder").symlink_to("..")
    (job / "file").symlink_to("../secret")
    assert read(opened, "file") == (b"", True, "")
    assert read(opened, "folder/secret") == (b"", True, "")
    for path in ("../secret", "/etc/passwd", "folder/../secret", "./file", "a//b"):
        assert read(opened, path) == (b"", False, "it is not a path in the job's folder")
    assert [entry.kind for entry in entries(opened)] == ["link", "link"]
    assert entries(opened, b"folder")[0].kind == "link", "it is not followed"
    os.mkfifo(job / "pipe")
    assert read(opened, "pipe") == (b"", True, ""), "nobody waits for its writer"


def test_a_job_that_swaps_folders_and_links_gives_nothing_away(job: Path, opened: JobFolder) -> None:
    """It swaps them all the time; whatever is read is its own."""
    (job / "own").mkdir()
    (job / "own/secret").write_text("own")
    (job / "trap").symlink_to("..")
    pid = os.fork()
    if pid == 0:
        while True:
            os.rename(job / "own", job / "kept")  # noqa: PTH104
            os.rename(job / "trap", job / "own")  # noqa: PTH104
            os.rename(job / "own", job / "trap")  # noqa: PTH104
            os.rename(job / "kept", job / "own")  # noqa: PTH104
    seen: set[bytes] = set()
    names: set[str] = set()
    begun = time.monotonic()
    try:
        # A busy computer may stop the other process for some time, at any place.
        while seen != {b"own", b""} and time.monotonic() < begun + WITHIN_S:
            seen |= {read(opened, "own/secret")[0] for _ in range(3000)}
            names |= {entry.path for _ in range(300) for entry in opened.entries((b"own",), [])}
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert seen == {b"own", b""}
    assert names <= {"own/secret", "own"}


def test_parts_of_a_file_come_with_its_holes(job: Path, opened: JobFolder) -> None:
    with (job / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 30)
        file.write(b"data")
    got, data = opened.read(Piece(path="sparse", offset=0, until=1 << 40), CHUNK_BYTES)
    assert (data, got.is_hole, 0 < got.length <= 1 << 30) == (b"", True, True)
    got, data = opened.read(Piece(path="sparse", offset=(1 << 30) + 2, until=(1 << 30) + 3), CHUNK_BYTES)
    assert (data, got.length) == (b"t", 1)
    got, _ = opened.read(Piece(path="sparse", offset=1 << 39, until=1 << 40), CHUNK_BYTES)
    assert (got.is_hole, got.length) == (True, 1 << 39)


def test_another_file_of_the_same_name_is_told_from_the_first(job: Path, opened: JobFolder) -> None:
    (job / "file").write_text("first")
    [entry] = entries(opened)
    (job / "other").write_text("other")
    (job / "other").rename(job / "file")
    assert read(opened, "file", inode=entry.inode) == (b"", True, "")
    assert read(opened, "file", inode=0) == (b"other", False, "")
    (job / "file").write_text("")
    assert read(opened, "file", offset=3) == (b"", False, ""), "it was cut"


def test_an_answer_brings_many_small_files_but_not_more_than_it_may(job: Path, opened: JobFolder) -> None:
    printed = job.parent / "stdout"
    printed.write_text("begun\n")
    for number in range(5):
        (job / f"f{number}").write_bytes(bytes([number]) * (CHUNK_BYTES // 2))
    pieces = [
        Piece(path="", offset=0, until=100),
        *(Piece(path=f"f{n}", offset=0, until=1 << 20) for n in range(5)),
    ]
    got, data = read_pieces(opened, str(printed), tuple(pieces))
    assert data[0] == b"begun\n"
    assert [one.length for one in got] == [6, CHUNK_BYTES // 2, CHUNK_BYTES // 2 - 6]


def test_a_list_has_a_bound(job: Path, opened: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (job / f"f{number}").touch()
    monkeypatch.setattr(job_folder, "MAX_ENTRIES", 5)
    assert listed(opened.entries((), [])) == (tuple(entries(opened)), False)
    (job / "f5").touch()
    assert listed(opened.entries((), [])) == (tuple(entries(opened)[:5]), True)


def test_what_can_not_be_read_is_named_and_the_rest_is_listed() -> None:
    if os.geteuid() != 0:
        pytest.skip("it becomes another user")
    with folder_of_nobody() as folder:
        as_nobody(lambda: _list_a_locked_folder(folder))


def _list_a_locked_folder(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0)
    (folder / "open").touch()
    root = os.open(folder, os.O_RDONLY)
    unread: list[str] = []
    assert [entry.path for entry in JobFolder(root, "/seen").entries((), unread)] == ["open"]
    assert unread == ["locked: can't be read: you have no permission"]
