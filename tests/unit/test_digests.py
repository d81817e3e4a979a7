"""Files that did not change are not read again, and one that may have changed is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from config_kit import job, write
from distribute.config.loading import LoadedBatch, load
from distribute.inputs.digests import Digests, Looks

LATER_NS = 10 * 10**9


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A batch that is loaded ten seconds after its files were written."""
    folder = tmp_path / "batch"
    (folder / "case").mkdir(parents=True)
    for number in range(3):
        (folder / "case" / f"small{number}").write_text(f"small {number}")
    (folder / "case" / "large").write_bytes(b"l" * (1 << 20))
    (folder / "image").write_text("an image")
    now_ns = time.time_ns
    monkeypatch.setattr("distribute.inputs.listed.time.time_ns", lambda: now_ns() + LATER_NS)
    return write(folder, job("required_files: [image, case]"))


def test_files_that_did_not_change_are_not_read_again(batch: Path, tmp_path: Path) -> None:
    reads: list[Path] = []

    class Watched(Digests):
        def of_file(self, path: bytes, looks: Looks) -> bytes | None:
            found = super().of_file(path, looks)
            if found is None:
                reads.append(Path(os.fsdecode(path)))
            return found

    def again() -> LoadedBatch:
        reads.clear()
        with Watched.kept_in(tmp_path / "cache") as digests:
            return load(batch, digests)

    first = again()
    assert len(reads) == 5
    assert again().spec == first.spec
    assert reads == []
    changed = tmp_path / "batch" / "case" / "small1"
    changed.write_text("small X")
    os.utime(changed, (1, 1))  # the clock of a file system may tick only every ten milliseconds
    later = again()
    assert reads == [changed]
    assert later.spec != first.spec
    changed.write_text("small 1")
    os.utime(changed, (2, 2))
    last = again()
    assert reads == [changed]
    assert last.spec.work.jobs[0].folders != later.spec.work.jobs[0].folders


LOOKS = Looks(7, 100, 200, 3, 4)
OTHERS = [LOOKS._replace(**{name: 99}) for name in LOOKS._fields]


@pytest.mark.parametrize("other", OTHERS)
def test_a_file_that_looks_otherwise_is_read(other: Looks, tmp_path: Path) -> None:
    with Digests.kept_in(tmp_path) as digests:
        digests.remember_file(b"/f", LOOKS, b"d" * 32, LATER_NS)
    with Digests.kept_in(tmp_path) as digests:
        assert digests.of_file(b"/f", LOOKS) == b"d" * 32
        assert digests.of_file(b"/f", other) is None
        assert digests.of_file(b"/g", LOOKS) is None


def test_a_file_of_several_folders_is_read_once(tmp_path: Path) -> None:
    with Digests.kept_in(tmp_path) as digests:
        digests.remember_file(b"/f", LOOKS, b"d" * 32, LATER_NS)
        digests.remember_pack([b"d" * 32, b"e" * 32], b"p" * 32)
        assert digests.of_file(b"/f", LOOKS) == b"d" * 32
        assert digests.of_file(b"/f", OTHERS[0]) is None
        assert digests.of_pack([b"d" * 32, b"e" * 32]) == b"p" * 32


@pytest.mark.parametrize("name", ["mtime_ns", "ctime_ns"])
def test_nothing_is_remembered_of_a_file_that_has_just_changed(name: str, tmp_path: Path) -> None:
    just = LOOKS._replace(**{name: LATER_NS - 10**9})
    with Digests.kept_in(tmp_path) as digests:
        digests.remember_file(b"/f", just, b"d" * 32, LATER_NS)
    with Digests.kept_in(tmp_path) as digests:
        assert digests.of_file(b"/f", just) is None


def test_a_damaged_or_missing_database_costs_only_time(tmp_path: Path) -> None:
    with Digests.kept_in(tmp_path) as digests:
        digests.remember_pack([b"a", b"b"], b"d" * 32)
    (database,) = tmp_path.iterdir()
    database.write_bytes(b"damaged" * 1000)
    with Digests.kept_in(tmp_path) as digests:
        assert digests.of_pack([b"a", b"b"]) is None
        digests.remember_pack([b"a", b"b"], b"e" * 32)
    with Digests.kept_in(tmp_path) as digests:
        assert digests.of_pack([b"a", b"b"]) == b"e" * 32
    (tmp_path / "file").touch()
    with Digests.kept_in(tmp_path / "file") as digests:
        assert digests.of_file(b"/f", LOOKS) is None


def test_two_programs_may_remember_at_once(tmp_path: Path) -> None:
    with Digests.kept_in(tmp_path) as one, Digests.kept_in(tmp_path) as other:
        one.remember_pack([b"a"], b"1" * 32)
        other.remember_pack([b"b"], b"2" * 32)
    with Digests.kept_in(tmp_path) as digests:
        assert (digests.of_pack([b"a"]), digests.of_pack([b"b"])) == (b"1" * 32, b"2" * 32)


def test_reading_is_told_from_the_beginning_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "a").write_bytes(b"a" * 1000)
    (tmp_path / "case" / "b").write_bytes(b"b" * (3 << 20))
    (tmp_path / "f").write_bytes(b"f" * 500)
    total = 1500 + (3 << 20)
    told: list[tuple[int, int]] = []
    load(write(tmp_path, job("required_files: [f, case]")), None, lambda done, of: told.append((done, of)))
    assert (told[0], told[-1]) == ((0, total), (total, total))
    assert len(told) > 4
