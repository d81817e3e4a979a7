"""Pull never writes outside its target folder, whatever other machines have sent."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.client.pull.target_folder import TargetFolder, safe_parts
from distribute.core.errors import InputError, IntegrityError
from distribute.core.files.manifest import StoredFile, StoredLink


def stored(
    path: str | bytes,
    content: bytes = b"",
    *,
    executable: bool = False,
    mode: int | None = None,
    mtime_ns: int | None = None,
) -> StoredFile:
    raw = path.encode() if isinstance(path, str) else path
    return StoredFile.model_construct(  # as if nothing had been checked when it was read
        path=raw.decode(errors="replace"),
        raw_path=base64.b64encode(raw).decode(),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        executable=executable,
        mode=mode,
        mtime_ns=mtime_ns,
    )


def write(target: TargetFolder, file: StoredFile, content: bytes) -> None:
    with target.new_file(safe_parts(file), file) as new:
        new.write(content)


def holds(target: TargetFolder, file: StoredFile) -> bool:
    """Is this file there already, with this content?"""
    found = target.look(safe_parts(file))
    return found is not None and found.is_file(file)


def everything_in(folder: Path) -> set[str]:
    return {os.fsdecode(os.path.relpath(path, folder)) for path in folder.rglob("*")}


NAMES = st.sampled_from([b"..", b".", b"", b"a", b"b", b"link", b"file", b"\xff", b"new\nline", b"sp ace"])
PATHS = st.lists(NAMES, min_size=1, max_size=5).map(b"/".join) | st.binary(min_size=1, max_size=30)


@given(paths=st.lists(PATHS, max_size=6))
def test_no_path_leads_out_of_the_folder(paths: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as base:
        outside, folder = Path(base, "outside"), Path(base, "inside", "results")
        outside.mkdir()
        folder.mkdir(parents=True)
        (outside / "file").write_bytes(b"mine")
        (folder / "link").symlink_to(outside)
        (folder / "file").symlink_to(outside / "file")
        target = TargetFolder(folder)
        for path in paths:
            try:
                write(target, stored(path, b"theirs"), b"theirs")
            except (IntegrityError, InputError):
                continue
        assert everything_in(outside) == {"file"}
        assert (outside / "file").read_bytes() == b"mine"
        assert {path.name for path in Path(base).iterdir()} == {"outside", "inside"}
        assert list(Path(base, "inside").iterdir()) == [folder]


@given(
    path=st.text(st.sampled_from("ab./"), min_size=1, max_size=12),
    link=st.text(st.sampled_from("ab./"), max_size=12),
)
def test_no_link_leads_out_of_the_folder(path: str, link: str) -> None:
    try:
        parts = safe_parts(StoredLink.model_construct(path=path, target=link))
    except IntegrityError:
        return
    at = "/job/" + b"/".join(parts[:-1]).decode()
    assert os.path.normpath(f"{at}/{link}").startswith("/job")


def test_a_file_gets_its_name_only_with_the_right_digest(tmp_path: Path) -> None:
    target = TargetFolder(tmp_path)
    with pytest.raises(IntegrityError, match="have another digest than the file"):
        write(target, stored("out.txt", b"what was left"), b"what came")
    assert everything_in(tmp_path) == set()


def test_a_write_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    file = stored("out.txt", b"all of it")

    def write_half() -> None:
        with TargetFolder(tmp_path).new_file((b"out.txt",), file) as new:
            new.write(b"all")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert everything_in(tmp_path) == set()


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    write(TargetFolder(tmp_path), stored(b"a\xff/new\nline"), b"")
    assert (tmp_path / "a\udcff" / "new\nline").is_file()


def test_the_longest_possible_name_fits(tmp_path: Path) -> None:
    write(TargetFolder(tmp_path), stored("x" * 255, b"1"), b"1")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"1"


def test_executable_files_stay_executable(tmp_path: Path) -> None:
    target = TargetFolder(tmp_path)
    write(target, stored("run", b"#!", executable=True), b"#!")
    write(target, stored("data", b"#!"), b"#!")
    assert (tmp_path / "run").stat().st_mode & stat.S_IXUSR
    assert not (tmp_path / "data").stat().st_mode & stat.S_IXUSR


def test_a_file_that_is_there_is_recognized_by_its_digest(tmp_path: Path) -> None:
    target = TargetFolder(tmp_path)
    file = stored("sub/out.txt", b"right")
    assert not holds(target, file)
    write(target, file, b"right")
    assert holds(target, file)
    (tmp_path / "sub/out.txt").write_bytes(b"wrong")
    assert not holds(target, file)


def test_a_file_that_is_there_is_made_executable_if_it_should_be(tmp_path: Path) -> None:
    target = TargetFolder(tmp_path)
    (tmp_path / "run").write_bytes(b"#!")
    target.touch_up((b"run",), stored("run", b"#!", executable=True))
    assert (tmp_path / "run").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("mode", [0o660, 0o444, 0o611, 0o777, 0o000])
def test_a_file_has_the_mode_and_the_time_that_the_job_left(tmp_path: Path, mode: int) -> None:
    file = stored("x.bam", b"1", mode=mode, mtime_ns=978_307_200_123_456_789)
    write(TargetFolder(tmp_path), file, b"1")
    status = (tmp_path / "x.bam").stat()
    # A pull must be able to read what it pulled before.
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (mode | 0o400, 978_307_200_123_456_789)


def test_a_file_that_is_there_gets_its_time_but_keeps_its_mode(tmp_path: Path) -> None:
    """An interrupted pull may have missed the time. The mode may be a person's, who shares the file."""
    (tmp_path / "x").write_bytes(b"1")
    (tmp_path / "x").chmod(0o664)
    TargetFolder(tmp_path).touch_up((b"x",), stored("x", b"1", mode=0o600, mtime_ns=7))
    status = (tmp_path / "x").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o664, 7)


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "socket"])
def test_anything_but_a_file_does_not_count_as_the_file(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "out"
    if kind == "link":
        (tmp_path / "real").write_bytes(b"1")
        place.symlink_to("real")
    elif kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        os.mknod(place, stat.S_IFSOCK | 0o600)
    assert not holds(TargetFolder(tmp_path), stored("out", b"1"))


def test_a_link_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "job").symlink_to("/")
    with pytest.raises(InputError, match=r"/job: a link or file is where a folder belongs; move it away"):
        write(TargetFolder(tmp_path), stored("job/etc"), b"")


def test_a_folder_in_the_way_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    target = TargetFolder(tmp_path)
    found = target.look((b"out",))
    with (
        pytest.raises(InputError, match=r"/out: can't be written: it is a folder"),
        target.new_file((b"out",), stored("out"), found),
    ):
        pass
    assert everything_in(tmp_path) == {"out"}


def test_what_came_or_changed_since_it_was_looked_at_stays(tmp_path: Path) -> None:
    target = TargetFolder(tmp_path, (b"parts",))
    file, place = stored("out", b"new"), tmp_path / "out"
    place.write_bytes(b"old")
    found = target.look((b"out",))
    assert found is not None
    place.write_bytes(b"mine")
    stays = pytest.raises(InputError, match="/out: it was written to during this pull, so it stays")
    for over in (None, found):
        with stays, target.new_file((b"out",), file, over) as new:
            new.write(b"new")
        with stays, target.large_file((b"out",), file, over) as path:
            path.write_bytes(b"new")
        with stays:
            target.make_link((b"out",), "elsewhere", over)
    with stays:
        target.remove((b"out",), found)
    assert place.read_bytes() == b"mine"
    assert everything_in(tmp_path) == {"out", "parts"}
    with target.new_file((b"out",), file, target.look((b"out",))) as new:
        new.write(b"new")
    assert place.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("file", "something of that name is there already"),
        ("file/below", "a part of its path is not a folder"),
        ("nowhere", "something of that name is there already"),
        ("/proc/none", "there is no such file"),
    ],
)
def test_a_folder_that_can_t_be_made_is_named(where: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("not-there")
    with pytest.raises(InputError, match=rf"{where}: can't hold results: {why}.*; name another folder$"):
        TargetFolder(tmp_path / where).make_folder((b"job",))


def test_a_link_is_replaced(tmp_path: Path) -> None:
    target = TargetFolder(tmp_path)
    target.make_link((b"link",), "old")
    found = target.look((b"link",))
    assert found is not None
    assert found.is_link(b"old")
    target.make_link((b"link",), "new", found)
    assert (tmp_path / "link").readlink() == Path("new")
