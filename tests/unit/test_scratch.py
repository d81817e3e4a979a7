"""Folders for temporary files go, however their process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from distribute.core.errors import InputError
from distribute.scratch import held_folder, left_folders, scratch_folder, temporary_place

HOLDS = """
import os, signal
from distribute.scratch import scratch_folder
with scratch_folder("trial") as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    input()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_scratch_folder_is_the_users_own_and_goes_at_the_end(place: Path) -> None:
    with scratch_folder("trial") as folder:
        assert (folder.parent, folder.stat().st_mode & 0o777) == (place, 0o700)
    assert not list(place.iterdir())


def test_the_next_one_takes_along_what_a_killed_process_left_and_nothing_that_is_in_use(place: Path) -> None:
    program = [sys.executable, "-c", HOLDS]
    other = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    held = Path(other.stdout.readline().rstrip())
    with scratch_folder("trial"):
        assert (held / "file").exists()
    other.communicate("end\n")
    assert (held / "file").exists()
    with scratch_folder("another-kind"):
        assert held.exists()
    with scratch_folder("trial"):
        assert not held.exists()


@pytest.mark.parametrize("moment", ["before it has a lock", "before the lock counts"])
def test_another_one_is_made_if_it_goes_while_it_is_made(
    place: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The process was suspended for minutes: to another one the folder looked left."""
    module, name = (tempfile, "mkdtemp") if moment == "before it has a lock" else (fcntl, "flock")
    real, times = getattr(module, name), 0

    def suspended(*args: Any, **options: Any) -> Any:
        nonlocal times
        result, times = real(*args, **options), times + 1
        if times == 1:
            for left in place.iterdir():
                shutil.rmtree(left)
        return result

    monkeypatch.setattr(module, name, suspended)
    with held_folder("trial", place) as folder:
        assert list(place.iterdir()) == [folder]
    assert times == 2


def test_a_full_disk_leaves_no_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(InputError, match="no folder for temporary files can be made in"):
        held_folder("trial", place).__enter__()
    assert not list(place.iterdir())


def test_it_may_be_made_in_another_place_where_it_goes_likewise(place: Path) -> None:
    other = place / "other"
    left = other / f"distribute-trial-{os.getuid()}-left"
    left.mkdir(parents=True)
    (left / "lock").touch()
    with scratch_folder("trial", other) as folder:
        assert list(other.iterdir()) == [folder]
    assert list(other.iterdir()) == []


def test_one_that_another_process_is_just_making_stays(place: Path) -> None:
    new = place / f"distribute-trial-{os.getuid()}-new"
    new.mkdir()
    with scratch_folder("trial"):
        assert new.exists()
    os.utime(new, (0, 0))
    with scratch_folder("trial"):
        assert not new.exists()


def test_one_that_is_about_to_be_locked_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment does another process take it for one that was left."""
    seen: list[Path] = []
    flock, rename = fcntl.flock, Path.rename

    def look() -> None:
        seen.extend(left_folders("trial", place))

    def looked_at_before(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        look()
        flock(descriptor, operation)

    def looked_at_again(path: Path, target: Path) -> Path:
        look()
        return rename(path, target)

    monkeypatch.setattr(fcntl, "flock", looked_at_before)
    monkeypatch.setattr(Path, "rename", looked_at_again)
    with held_folder("trial", place):
        look()
    assert seen == []


def test_without_a_place_for_it_the_place_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distribute.scratch.temporary_place", lambda: place / "missing")
    named = pytest.raises(InputError, match=r"no folder for temporary files can be made in .*missing: ")
    with named, scratch_folder("trial"):
        pass


def test_what_cannot_be_written_to_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/proc/nowhere")
    assert temporary_place() == Path("/var/tmp")
