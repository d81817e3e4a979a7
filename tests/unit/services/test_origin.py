"""A working folder is told from its copies, on this computer and on others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from distribute_services.node_runner.disk.origin import Origin, is_shared

HERE = Origin("m1", ("aa", "bb"), "boot1", 2049, 77, "/scratch/node")
REBOOTED = replace(HERE, boot="boot2")


@pytest.mark.parametrize(
    ("here", "is_same"),
    [
        pytest.param(HERE, True, id="nothing changed"),
        pytest.param(replace(HERE, path="/data/node"), True, id="moved"),
        pytest.param(replace(HERE, machine="m2", cards=()), True, id="the machine id was changed"),
        pytest.param(replace(HERE, inode=78), False, id="copied"),
        pytest.param(replace(HERE, device=2065), False, id="another disk with the same inode"),
        pytest.param(REBOOTED, True, id="rebooted"),
        pytest.param(replace(REBOOTED, device=2065), True, id="disks got other numbers"),
        pytest.param(replace(REBOOTED, cards=("bb", "cc")), True, id="another network card"),
        pytest.param(replace(REBOOTED, cards=()), True, id="no network card any more"),
        pytest.param(replace(REBOOTED, inode=78), False, id="rebooted, and copied to the same path"),
        pytest.param(replace(REBOOTED, path="/data/node"), False, id="a disk cloned to another path"),
        pytest.param(replace(REBOOTED, machine="m2"), False, id="a cloned image"),
        pytest.param(replace(REBOOTED, cards=("cc",)), False, id="a cloned image with its machine id"),
    ],
)
def test_a_folder_is_the_same_if_it_can_be_no_copy(here: Origin, is_same: bool) -> None:
    assert here.is_same_place(HERE) is is_same


def test_a_folder_is_found_where_it_is_on_this_computer(tmp_path: Path) -> None:
    status = tmp_path.stat()
    here = Origin.of(tmp_path)
    assert (here.device, here.inode, here.path) == (status.st_dev, status.st_ino, str(tmp_path.resolve()))
    assert here.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert Origin.of(tmp_path) == here == Origin.of_json(here.to_json())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files that tell which computer this is."""
    boot = tmp_path / "proc/sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("boot1\n")
    (tmp_path / "etc").mkdir()
    return tmp_path


@pytest.mark.parametrize("found", [None, "", "uninitialized\n"])
def test_a_computer_without_a_machine_id_has_its_host_name(root: Path, found: str | None) -> None:
    if found is not None:
        (root / "etc/machine-id").write_text(found)
    assert Origin.of(root, root).machine.startswith("host ")


def test_the_machine_id_is_noted_as_a_digest(root: Path) -> None:
    (root / "var/lib/dbus").mkdir(parents=True)
    (root / "var/lib/dbus/machine-id").write_text("0" * 32 + "\n")
    first = Origin.of(root, root).machine
    (root / "etc/machine-id").write_text("1" * 32 + "\n")
    second = Origin.of(root, root).machine
    assert len({first, second, "0" * 32, "1" * 32}) == 4


def test_only_cards_with_an_address_of_their_own_count(root: Path) -> None:
    cards = {"eno1": ("aa:01", "0"), "wlan0": ("aa:02", "1"), "ib0": ("00:00:00:00:00:00", "0")}
    for name, (address, kind) in cards.items():
        card = root / "sys/class/net" / name
        (card / "device").mkdir(parents=True)
        (card / "address").write_text(f"{address}\n")
        (card / "addr_assign_type").write_text(f"{kind}\n")
    bridge = root / "sys/class/net/docker0"
    bridge.mkdir()
    (bridge / "address").write_text("aa:04\n")
    (bridge / "addr_assign_type").write_text("0\n")
    assert Origin.of(root, root).cards == ("aa:01",)


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ("/dev/sda1 / ext4 rw 0 0", False),
        ("/dev/sda1 / ext4 rw 0 0\nhead:/home {at} nfs4 rw 0 0", True),
        ("head:/ / nfs rw 0 0\n/dev/sdb1 {at} xfs rw 0 0", False),
        ("/dev/sdb1 {at} xfs rw 0 0\njane@head: {at} fuse.sshfs rw 0 0", True),
        ("/dev/sda1 / ext4 rw 0 0\nhead:/data {at}2 nfs4 rw 0 0", False),
    ],
)
def test_a_shared_disk_is_known_by_its_file_system(mounts: str, expected: bool, root: Path) -> None:
    folder = root / "my data" / "node"
    folder.mkdir(parents=True)
    at = str(root.resolve() / "my data").replace(" ", r"\040")
    (root / "proc/self").mkdir()
    (root / "proc/self/mounts").write_text(mounts.format(at=at) + "\n")
    assert is_shared(folder, root) is expected
