"""Results that do not count are kept on the disk for a while, within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from distribute.core.ids import AttemptId
from distribute_services.node_runner.disk.superseded import Superseded
from distribute_services.node_runner.disk.workspace import Workspace

KEEP_S = 100.0
WITHIN_S = 60.0
OF = AttemptId("lab", "sweep", "job1", 1)


class Disk:
    """A working folder, and the time there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1000.0
        self.slots = 0

    def shelf(self, max_bytes: int = 1 << 30, keep_s: float = KEEP_S) -> Superseded:
        return Superseded(self.folder, keep_s, max_bytes, clock=lambda: self.now)

    def workspace(self, fill: Callable[[Workspace], object] = lambda place: None) -> Workspace:
        self.slots += 1
        workspace = Workspace.of(self.folder / "work" / str(self.slots))
        workspace.save.mkdir(parents=True)
        fill(workspace)
        return workspace

    def kept(self) -> dict[str, set[str]]:
        root = self.folder / "superseded"
        return {
            slot.name: {str(path.relative_to(slot)) for path in slot.rglob("*") if path.is_file()}
            - {"about.json"}
            for slot in root.iterdir()
        }


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def results(workspace: Workspace, size_bytes: int = 1) -> None:
    (workspace.save / "sub").mkdir()
    (workspace.save / "sub" / "u.dat").write_bytes(b"x" * size_bytes)


def output(workspace: Workspace) -> None:
    workspace.stdout.write_text("printed\n")


async def test_results_and_output_are_moved_to_a_folder_that_says_whose_they_are(disk: Disk) -> None:
    shelf = disk.shelf()
    workspace = disk.workspace(lambda place: (results(place), output(place)))
    left = await shelf.add(OF, workspace)
    assert left is not None
    assert (left.folder, left.until) == (str(disk.folder / "superseded" / "1"), 1000.0 + KEEP_S)
    assert left.size_bytes > 0
    assert disk.kept() == {"1": {"distribute_save/sub/u.dat", "stdout.txt"}}
    assert '"job1",1' in (Path(left.folder) / "about.json").read_text()
    await shelf.close()


@pytest.mark.parametrize(
    "fill",
    [
        lambda place: None,
        lambda place: place.stdout.touch(),
        lambda place: place.save.rmdir(),
        lambda place: (place.save.rmdir(), place.save.symlink_to("/etc")),
        lambda place: (place.save.rmdir(), place.save.write_text("a file")),
    ],
    ids=["nothing", "no output", "no folder", "a link that leads out", "a file"],
)
async def test_an_attempt_that_left_nothing_of_its_own_leaves_no_folder(
    disk: Disk, fill: Callable[[Workspace], object]
) -> None:
    shelf = disk.shelf()
    assert await shelf.add(OF, disk.workspace(fill)) is None
    assert not (disk.folder / "superseded").exists()
    assert Path("/etc").is_dir()


async def test_results_behind_a_link_in_the_workspace_are_kept(disk: Disk) -> None:
    def link(place: Workspace) -> None:
        place.save.rmdir()
        (place.folder / "out").mkdir()
        (place.folder / "out" / "u.dat").write_text("1")
        place.save.symlink_to("out")

    shelf = disk.shelf()
    assert await shelf.add(OF, disk.workspace(link)) is not None
    assert disk.kept() == {"1": {"distribute_save/u.dat"}}
    await shelf.close()


async def test_they_are_kept_as_long_as_it_is_set_also_by_the_next_runner(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = disk.shelf()
    await first.add(OF, disk.workspace(results))
    await first.close()
    disk.now += KEEP_S - 1
    second = disk.shelf()
    await second.load()
    await second.add(OF, disk.workspace(results))
    assert set(disk.kept()) == {"1", "2"}
    assert caplog.messages == [f"{disk.folder}/superseded has what 1 attempt left; it does not count"]
    await second.close()
    disk.now += 1
    third = disk.shelf()
    await third.load()
    await third.settle()
    assert set(disk.kept()) == {"2"}
    await third.close()
    shorter = disk.shelf(keep_s=0.5)
    await shorter.load()
    await shorter.settle()
    assert disk.kept() == {}
    await shorter.close()


async def test_a_runner_that_runs_on_removes_them_in_time(disk: Disk) -> None:
    shelf = disk.shelf(keep_s=0.05)
    await shelf.add(OF, disk.workspace(results))
    disk.now += 1
    async with asyncio.timeout(WITHIN_S):
        while any((disk.folder / "superseded").iterdir()):  # nothing tells of it  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await shelf.close()


async def test_the_oldest_go_beyond_the_limit_and_all_if_the_disk_is_full(disk: Disk) -> None:
    shelf = disk.shelf(max_bytes=300_000)
    for _ in range(3):
        disk.now += 1
        await shelf.add(OF, disk.workspace(lambda place: results(place, 120_000)))
    await shelf.settle()
    assert set(disk.kept()) == {"2", "3"}
    assert await shelf.empty()
    assert disk.kept() == {}
    assert not await shelf.empty()
    await shelf.close()


async def test_what_has_no_good_record_is_removed(disk: Disk) -> None:
    root = disk.folder / "superseded"
    for name, record in (("1", ""), ("2", "{}"), ("3", '{"since": []}')):
        (root / name).mkdir(parents=True)
        (root / name / "about.json").write_text(record)
    (root / "4").mkdir()
    shelf = disk.shelf()
    await shelf.load()
    assert disk.kept() == {}
    await shelf.close()
