"""What a job leaves outside its folder of results is named, and what it was given is not."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from distribute.core.files.manifest import MAX_LARGEST, Outside
from distribute.core.spec.recipe import Bind
from distribute_services.node_runner.results.outside import MAX_ENTRIES, is_plain, look_outside


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The folder of a job that was given `input/mesh` and has left a result."""
    folder = tmp_path / "slot" / "job"
    (folder / "input").mkdir(parents=True)
    (folder / "distribute_save").mkdir()
    (folder / "distribute_save" / "result").write_text("a result")
    (folder / "input" / "mesh").write_text("mesh")
    return folder


GIVEN = {"input/mesh"}


def names(found: Outside | None) -> list[str]:
    return [] if found is None else [file.path for file in found.largest]


def test_a_job_that_leaves_only_results_left_nothing_outside(job: Path) -> None:
    assert is_plain(job, GIVEN)
    assert look_outside(job, given=GIVEN) is None


def test_the_largest_files_are_named(job: Path) -> None:
    (job / "deep" / "er").mkdir(parents=True)
    for size in range(1, 9):
        (job / ("deep/er" if size % 2 else ".") / f"{size}.dat").write_bytes(b"x" * size)
    (job / "input" / "made there").write_bytes(b"x" * 100)
    assert not is_plain(job, GIVEN)
    found = look_outside(job, given=GIVEN)
    assert found is not None
    assert (found.files, found.size_bytes, found.is_part) == (9, 136, False)
    assert names(found) == ["input/made there", "8.dat", "deep/er/7.dat", "6.dat", "deep/er/5.dat"]
    assert len(found.largest) == MAX_LARGEST


def test_links_empty_files_and_caches_do_not_count(job: Path) -> None:
    (job / "empty").touch()
    (job / "link").symlink_to("/etc/passwd")
    (job / "folder").symlink_to("/etc")
    os.mkfifo(job / "pipe")
    (job / "__pycache__").mkdir()
    (job / "__pycache__" / "helpers.pyc").write_text("compiled")
    assert look_outside(job, given=GIVEN) is None


def test_what_the_build_left_does_not_count_unless_the_job_changed_it(job: Path, tmp_path: Path) -> None:
    for name in ("solver", "log", "gone"):
        (job / name).write_text(f"{name} as built")
    built = tmp_path / "built"
    shutil.copytree(job, built)  # keeps the times, as the copy for a job does
    assert look_outside(job, given=GIVEN, built=built) is None
    with (job / "log").open("a") as log:
        log.write("more")
    (job / "new").write_text("n")
    assert names(look_outside(job, given=GIVEN, built=built)) == ["log", "new"]
    shutil.rmtree(built)  # its batch ended meanwhile: nobody can tell
    assert look_outside(job, given=GIVEN, built=built) is None


@pytest.mark.parametrize("target", ["run7", "../job/run7"])
def test_a_results_folder_that_is_a_link_is_not_outside(job: Path, target: str) -> None:
    shutil.rmtree(job / "distribute_save")
    (job / "run7").mkdir()
    (job / "run7" / "u.dat").write_text("u")
    (job / "distribute_save").symlink_to(target)
    assert look_outside(job, given=GIVEN) is None


def test_the_working_folder_may_be_reached_by_a_link(job: Path, tmp_path: Path) -> None:
    (tmp_path / "by a link").symlink_to(job)
    assert look_outside(tmp_path / "by a link", given=GIVEN) is None


def test_files_in_a_mount_have_the_path_in_the_container(job: Path) -> None:
    (job / "mounts" / "0").mkdir(parents=True)
    (job / "mounts" / "0" / "u.dat").write_text("u")
    binds = (Bind("input", "/input"), Bind("mounts/0", "/scratch"))
    assert names(look_outside(job, given=GIVEN, binds=binds)) == ["/scratch/u.dat"]


def test_odd_and_long_names_are_shown(job: Path) -> None:
    deep = job.joinpath(*["d" * 100] * 5)
    deep.mkdir(parents=True)
    (deep / "u.dat").write_text("uu")
    Path(os.fsdecode(os.fsencode(job) + b"/\xff")).write_text("u")
    long, odd = names(look_outside(job, given=GIVEN))
    assert (len(long), long[0], long.rpartition("/")[2]) == (200, "…", "u.dat")
    assert odd == "\\xff"


def test_what_a_job_closed_is_passed_over(job: Path) -> None:
    (job / "seen").write_text("s")
    (job / "closed").mkdir()
    (job / "closed" / "u.dat").write_text("u")
    (job / "closed").chmod(0)
    found = look_outside(job, given=GIVEN)
    (job / "closed").chmod(0o700)
    assert "seen" in names(found)


def test_a_million_files_are_not_looked_at(job: Path, tmp_path: Path) -> None:
    """The bound on the time is twenty times what we measured."""
    (tmp_path / "tiny").write_text("t")
    (job / "many").mkdir()
    for number in range(2 * MAX_ENTRIES):
        os.link(tmp_path / "tiny", job / "many" / f"{number}")
    (job / "result.csv").write_text("what the job computed")
    began = time.process_time()
    found = look_outside(job, given=GIVEN)
    assert time.process_time() - began < 3
    assert found is not None
    assert found.is_part
    assert found.files < MAX_ENTRIES
    assert names(found)[0] == "result.csv"  # the search begins at the top


def test_of_a_container_its_home_counts_but_not_what_is_temporary(job: Path) -> None:
    for path in ("home/result", "home/.cache/big", "tmp/big", "var_tmp/big", "rootfs-123/big", "big"):
        (job / "container" / path).parent.mkdir(parents=True, exist_ok=True)
        (job / "container" / path).write_text("content")
    assert names(look_outside(job, given=GIVEN, in_container=True)) == ["$HOME/result"]
    assert len(names(look_outside(job, given=GIVEN))) == MAX_LARGEST, (
        "a job may have such a folder of its own"
    )
