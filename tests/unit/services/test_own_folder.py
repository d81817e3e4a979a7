"""A node-runner locks its working folder, or says why it can't."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from distribute.core.errors import InputError
from distribute_services.node_runner.disk.builds import RECORD_FILE
from distribute_services.node_runner.disk.origin import Origin
from distribute_services.node_runner.disk.own_folder import OwnFolder
from distribute_services.node_runner.disk.workspace import EXIT_FILE


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("file", "something of that name is there already"),
        ("file/below", "a part of its path is not a folder"),
        ("/proc/none", "there is no such file or folder"),
    ],
)
def test_a_folder_that_can_not_be_made_is_reported_with_a_remedy(
    where: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    told = (
        rf"{where}: can't be used as working folder: {why}; name another folder, with work_dir in node\.yaml"
    )
    with pytest.raises(InputError, match=told), OwnFolder(tmp_path / where):
        pass


def test_a_folder_belongs_to_one_runner_and_keeps_its_identity(tmp_path: Path) -> None:
    with OwnFolder(tmp_path / "new/work") as folder:
        identity = folder.identity
        with (
            pytest.raises(InputError, match=r"another node-runner works in .*work: end it, or name another"),
            OwnFolder(folder.path),
        ):
            pass
    with OwnFolder(tmp_path / "new/work") as again:
        assert again.identity == identity != ""


WAYS = {
    "cp": ["cp", "-a"],
    "hard links": ["cp", "-al"],
    "tar": ["sh", "-c", 'mkdir "$1" && tar -C "$0" -c . | tar -C "$1" -x'],
    "rsync": ["rsync", "-a"],
}


def copy(way: str, source: Path, target: Path) -> None:
    command = WAYS[way]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    subprocess.run([*command, *([f"{source}/"] if way == "rsync" else [source]), target], check=True)


def use(folder: Path) -> str:
    """Use a folder as a node does: leave a job's end, a build, an input and a pause. Returns its identity."""
    with OwnFolder(folder) as own:
        for name in (f"work/3/{EXIT_FILE}", f"builds/2/{RECORD_FILE}", "cache/ab/input", "keeper/pause"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("of the first")
        return own.identity


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"lock"}


@pytest.mark.parametrize("way", WAYS)
def test_a_copied_folder_is_a_new_nodes(way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    identity = use(tmp_path / "first")
    before = left(tmp_path / "first")
    copy(way, tmp_path / "first", tmp_path / "second")
    with OwnFolder(tmp_path / "second") as second:
        assert second.identity not in {"", identity}
    assert "is a copy" in caplog.text
    assert left(tmp_path / "second") == {"cache/ab/input"}
    caplog.clear()
    with OwnFolder(tmp_path / "second") as again, OwnFolder(tmp_path / "first") as first:
        assert (again.identity, first.identity) == (second.identity, identity)
    assert caplog.text == ""
    assert left(tmp_path / "first") == before


def test_a_folder_can_be_copied_while_it_is_used(tmp_path: Path) -> None:
    use(tmp_path / "first")
    with OwnFolder(tmp_path / "first") as first:
        copy("hard links", tmp_path / "first", tmp_path / "second")
        # The copy has the lock of the original, which is held.
        with pytest.raises(InputError, match="another node-runner works"), OwnFolder(tmp_path / "second"):
            pass
        shutil.rmtree(tmp_path / "second")
        copy("cp", tmp_path / "first", tmp_path / "second")
        with OwnFolder(tmp_path / "second") as second:
            assert second.identity != first.identity


def test_a_moved_folder_is_the_same_nodes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    identity = use(tmp_path / "first")
    before = left(tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "second")
    (tmp_path / "first").symlink_to(tmp_path / "second")
    for path in ("second", "first"):
        with OwnFolder(tmp_path / path) as moved:
            assert (moved.identity, left(moved.path)) == (identity, before)
    assert caplog.text == ""


def test_a_folder_restored_from_a_backup_is_a_new_nodes(tmp_path: Path) -> None:
    identity = use(tmp_path / "node")
    copy("tar", tmp_path / "node", tmp_path / "backup")
    (tmp_path / "node").rename(tmp_path / "broken")
    copy("tar", tmp_path / "backup", tmp_path / "node")
    with OwnFolder(tmp_path / "node") as restored:
        assert restored.identity != identity
        assert left(restored.path) == {"cache/ab/input"}


@pytest.mark.parametrize(
    "damage", [b"", b"\xff\xfe", b"01ABC", b"01ABC\n{}\n", b'01ABC\n{"boot": 1}\n', b"\n[]\n"]
)
def test_a_folder_whose_note_is_damaged_is_a_new_nodes(damage: bytes, tmp_path: Path) -> None:
    identity = use(tmp_path)
    (tmp_path / "lock").write_bytes(damage)
    with OwnFolder(tmp_path) as folder:
        assert folder.identity not in {"", "01ABC", identity}
        assert left(tmp_path) == {"cache/ab/input"}


def elsewhere(path: Path) -> Origin:
    """Where another computer finds this folder: at the same inode."""
    return replace(Origin.of(path), boot="another", machine="another", cards=())


def test_a_cloned_image_has_a_new_node(tmp_path: Path) -> None:
    identity = use(tmp_path)
    with OwnFolder(tmp_path, find=elsewhere, is_shared=lambda _: False) as cloned:
        assert cloned.identity != identity
        assert left(tmp_path) == {"cache/ab/input"}


def test_a_folder_on_a_shared_disk_is_not_taken_from_another_computer(tmp_path: Path) -> None:
    identity = use(tmp_path)
    before = left(tmp_path)
    told = r"lies on a shared disk, and another computer's .*work_dir in node.yaml .*remove .*/lock"
    for _ in range(2):
        with (
            pytest.raises(InputError, match=told),
            OwnFolder(tmp_path, find=elsewhere, is_shared=lambda _: True),
        ):
            pass
    assert left(tmp_path) == before
    with OwnFolder(tmp_path) as first:
        assert first.identity == identity


def test_a_reboot_changes_no_identity(tmp_path: Path) -> None:
    identity = use(tmp_path)
    before = left(tmp_path)

    def rebooted(path: Path) -> Origin:
        return replace(Origin.of(path), boot="the next", device=1)

    for _ in range(2):
        with OwnFolder(tmp_path, find=rebooted) as folder:
            assert (folder.identity, left(tmp_path)) == (identity, before)


def test_the_jobs_of_a_living_keeper_stay_in_a_folder_with_a_damaged_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = use(tmp_path)
    before = left(tmp_path)
    with socket.socket(socket.AF_UNIX) as keeper:
        with contextlib.chdir(tmp_path / "keeper"):  # a path in a socket's address may have 107 bytes only
            keeper.bind("0123.socket")
        keeper.listen()
        copy("hard links", tmp_path, tmp_path.with_name("linked"))
        with OwnFolder(tmp_path.with_name("linked")) as linked:  # its socket leads to the keeper, too
            assert left(linked.path) == {"cache/ab/input"}
        (tmp_path / "lock").write_text("")
        with OwnFolder(tmp_path) as folder:
            assert folder.identity not in {"", identity}
            assert left(tmp_path) == before
    assert "its keeper lives, so its jobs go on" in caplog.text
