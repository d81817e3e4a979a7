"""`run`: what a computer lacks for a batch is named, and news come over the pipe as they were told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, get_args

import pytest

from distribute.core.errors import InputError, Refused
from distribute.core.spec.specs import BatchSpec, GpuKind, Resources
from distribute.here import (
    Asked,
    Begun,
    BuildFailed,
    Failed,
    JobEnded,
    News,
    Over,
    Printed,
    Stands,
    Warned,
    decode_news,
    encode_news,
)
from distribute.host import Capacity
from distribute.testing import builders as make
from distribute_services.here import folders
from distribute_services.here.folders import results_folder, working_folder
from distribute_services.here.lacks import what_lacks
from distribute_services.here.programs import programs_among
from distribute_services.here.telling import MOST_UNREAD_BYTES, Teller
from distribute_services.node_runner.disk.files import remove_folder

GIB = 1 << 30
DESK = Capacity(4, 8 * GIB, ("RTX 4000",), frozenset({"python3", "gpu"}), (20 * GIB,))


def batch(*resources: Resources | None, **fields: Any) -> BatchSpec:
    """A batch with a job for each of these resources: `a`, `b`, …"""
    jobs = [make.job(name, resources=wanted) for name, wanted in zip("abcdef", resources, strict=False)]
    return make.batch(jobs, resources=None, **fields)


def test_what_fits_lacks_nothing() -> None:
    """A job without resources gets what there is."""
    all_of_it = Resources(cpus=4, memory_bytes=8 * GIB, gpus=1, gpu_kind=GpuKind(memory_bytes=20 * GIB))
    assert what_lacks(batch(None, all_of_it, capabilities=frozenset({"python3", "gpu"})), DESK) == []


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (Resources(cpus=5), "a asks for 5 cpus, and this computer has 4"),
        (Resources(memory_bytes=9 * GIB), "a asks for 9G of memory, and this computer has 8G"),
        (Resources(gpus=2), "a asks for 2 GPUs, and this computer has 1 GPU (RTX 4000, 20G)"),
        (
            Resources(gpus=1, gpu_kind=GpuKind(model="A100")),
            "a asks for 1 GPU (A100), and this computer has 1 GPU (RTX 4000, 20G)",
        ),
    ],
)
def test_too_much_is_named(wanted: Resources, line: str) -> None:
    assert what_lacks(batch(wanted), DESK) == [line]


def test_jobs_that_ask_for_the_same_are_named_together() -> None:
    wanted = Resources(cpus=64)
    assert what_lacks(batch(wanted, None, wanted, wanted), DESK) == [
        "a and 2 more jobs ask for 64 cpus, and this computer has 4"
    ]


def test_capabilities_are_named_with_the_way_out() -> None:
    bare = Capacity(1, GIB, (), frozenset(), lacks={"apptainer": "it can't mount"})
    wanted = frozenset({"apptainer", "gpu", "openfoam"})
    assert what_lacks(batch(None, capabilities=wanted), bare) == [
        "the batch runs in containers, for which this computer lacks apptainer: it can't mount",
        "the batch needs a GPU, and this computer has none that its driver shows",
        (
            "this computer lacks openfoam, which `capabilities` asks for; if it has that, say so: "
            "--capability openfoam"
        ),
    ]


def test_a_capability_that_is_a_program_here_needs_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gfortran", "apptainer", "gpu"):
        (tmp_path / name).touch(mode=0o755)
    (tmp_path / "data").touch(mode=0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = ["gfortran", "apptainer", "gpu", "data", "openfoam", str(tmp_path / "gfortran")]
    assert programs_among(asked) == {"gfortran"}


NEWS: tuple[News, ...] = (
    Warned("disk \udcff full"),
    Begun(),
    Stands({"jobs": {"total": 3}}),
    Printed("a", "aGk="),
    Printed(None, ""),
    JobEnded("a", 2, False, False, True, None, 9, "killed", 1.5, ["last\nline"]),
    BuildFailed("exit 1", ["no compiler"]),
    Over({"state": "completed"}, {"files": 1}),
    Failed("first\nsecond", 2),
)


def test_news_and_what_is_asked_for_come_as_they_were_sent() -> None:
    assert {type(news) for news in NEWS} == set(get_args(News))
    for news in NEWS:
        line = encode_news(news)
        assert line.count(b"\n") == 1
        assert decode_news(line) == news
    asked = Asked("{}", {"0" * 64: "/data/\udcff"}, "jane", "/data", "b", True, True, ["openfoam"])
    assert Asked.decode(asked.encode()) == asked


async def test_output_that_nobody_reads_is_left_out_and_the_rest_comes() -> None:
    reading, writing = os.pipe()
    tell = await Teller.open(writing)
    large = Printed("a", "x" * (1 << 20))
    for _ in range(2 * MOST_UNREAD_BYTES >> 20):
        tell(large)
    tell(Warned("still told"))
    closing = asyncio.create_task(tell.close())

    def read_all() -> list[News]:
        with os.fdopen(reading, "rb") as pipe:
            return [decode_news(line) for line in pipe]

    told = await asyncio.to_thread(read_all)
    await closing
    assert told[-1] == Warned("still told")
    assert MOST_UNREAD_BYTES >> 20 <= len(told) - 1 < 2 * MOST_UNREAD_BYTES >> 20


async def test_news_that_nobody_can_get_any_more_stop_nothing() -> None:
    reading, writing = os.pipe()
    tell = await Teller.open(writing)
    os.close(reading)
    for _ in range(3):
        tell(Warned("for nobody"))
        await asyncio.sleep(0)
    await tell.close()


async def test_a_working_folder_goes_with_its_run_and_takes_along_what_killed_ones_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    left = tmp_path / f"distribute-run-{os.getuid()}-killed"
    left.mkdir()
    (left / "lock").touch()
    (tmp_path / "distribute-run-and-other-things").mkdir()
    async with working_folder() as first:
        assert not left.exists()
        async with working_folder() as second:
            assert first.exists()
            assert (first.stat().st_mode & 0o777, first.parent) == (0o700, tmp_path)
            (second / "closed").mkdir(mode=0)
        assert not second.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["distribute-run-and-other-things"]


async def test_folders_that_another_run_removes_meanwhile_stop_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    left = [tmp_path / f"distribute-run-{os.getuid()}-{name}" for name in ("first", "second")]
    for each in left:
        each.mkdir()
        (each / "lock").touch()

    async def remove_at_the_same_time(folder: Path) -> None:
        for each in (*left, folder):
            await remove_folder(each)

    monkeypatch.setattr(folders, "remove_folder", remove_at_the_same_time)
    async with working_folder() as own:
        assert list(tmp_path.iterdir()) == [own]


async def test_a_folder_that_another_run_is_just_making_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    new = tmp_path / f"distribute-run-{os.getuid()}-new"
    new.mkdir()
    async with working_folder():
        assert new.exists()
    os.utime(new, (0, 0))
    async with working_folder():
        assert not new.exists()


async def test_without_a_place_for_temporary_files_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "temporary_place", lambda: tmp_path / "missing")
    with pytest.raises(InputError, match=r"no folder for temporary files can be made in .*missing: "):
        async with working_folder():
            pass


def test_the_folder_of_results_is_one_runs_and_goes_if_it_stays_empty(tmp_path: Path) -> None:
    place = tmp_path / "results" / "b"
    with results_folder(place):
        with pytest.raises(Refused, match="another `distribute run` writes to"), results_folder(place):
            pass
        assert place.exists()
    assert not place.exists()
    with results_folder(place):
        (place / "left").touch()
    assert place.exists()
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="file/b: can't be used for results: "),
        results_folder(tmp_path / "file" / "b"),
    ):
        pass
