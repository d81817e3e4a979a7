"""Where a working folder is: on which computer, in which boot, on which disk, and at which path.

A runner notes it in its folder. If the folder is found elsewhere, it is a copy of the one where it was noted.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_MACHINE_ID = re.compile(r"[0-9a-f]{32}")
_PERMANENT = "0"
"""The `addr_assign_type` of a network card's own address. Others are random, borrowed or set."""

_ESCAPED = re.compile(r"\\([0-7]{3})")
_SHARED = re.compile(
    r"nfs4?|cifs|smb3|smbfs|9p|virtiofs|afs|ceph|lustre|gpfs|beegfs|glusterfs|ocfs2|gfs2|orangefs"
    r"|fuse\.(sshfs|glusterfs|ceph|gpfs|rclone|s3fs|juicefs)"
)
"""File systems that several computers may use at once."""


@dataclass(frozen=True, slots=True)
class Origin:
    """`machine` identifies the computer, `cards` are the addresses of its network cards, if it has any.

    `boot` identifies its boot: within one, a file system keeps its `device`.
    """

    machine: str
    cards: tuple[str, ...]
    boot: str
    device: int
    inode: int
    path: str

    @classmethod
    def of(cls, folder: Path, root: Path = Path("/")) -> Origin:
        """Where this folder is. `root` is the root of the file system that tells which computer this is.

        Raises:
            OSError: the folder is not there.
        """
        status = folder.stat()
        boot = (root / "proc/sys/kernel/random/boot_id").read_text().strip()
        return cls(_machine(root), _cards(root), boot, status.st_dev, status.st_ino, os.path.realpath(folder))

    @classmethod
    def of_json(cls, found: Any) -> Origin:
        """Raises TypeError or ValueError if `to_json` did not make it."""
        found = dict(found)
        return cls(**{**found, "cards": tuple(found["cards"])})

    def to_json(self) -> dict[str, Any]:
        """As `of_json` takes it."""
        return asdict(self)

    def is_of_same_machine(self, noted: Origin) -> bool:
        """Is this the computer of the other one?

        Computers that were set up from one image may have the same machine id, but no network card in
        common. A computer may lose some of its cards, and get others.
        """
        has_other_cards = self.cards and noted.cards and not set(self.cards) & set(noted.cards)
        return self.machine == noted.machine and not has_other_cards

    def is_same_place(self, noted: Origin) -> bool:
        """Is a folder that is here now the one that was noted there, and no copy of it?

        In another boot, a device may have another number, and two disks may have folders of one inode. So the
        path must be the same, too.
        """
        if self.boot == noted.boot:
            return (self.device, self.inode) == (noted.device, noted.inode)
        return self.is_of_same_machine(noted) and (self.inode, self.path) == (noted.inode, noted.path)


def is_shared(folder: Path, root: Path = Path("/")) -> bool:
    """Does this folder lie on a file system that other computers may use at the same time?

    `root`: as of `Origin.of`.
    """
    path = Path(os.path.realpath(folder))
    nearest, kind = Path("/"), ""
    for line in (root / "proc/self/mounts").read_text(errors="surrogateescape").splitlines():
        _, where, fstype, *_ = line.split(" ")
        at = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), where))
        if path.is_relative_to(at) and at.is_relative_to(nearest):  # a later one hides an earlier one
            nearest, kind = at, fstype
    return _SHARED.fullmatch(kind) is not None


def _machine(root: Path) -> str:
    """An id of this computer. Where it has no machine id, its host name serves."""
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        try:
            found = (root / name).read_text().strip()
        except OSError:
            continue
        if _MACHINE_ID.fullmatch(found):
            # Not to be shown to others as it is, says machine-id(5); and folders are copied.
            return hashlib.sha256(f"distribute {found}".encode()).hexdigest()[:32]
    return f"host {socket.gethostname()}"


def _cards(root: Path) -> tuple[str, ...]:
    """The addresses of the network cards. Interfaces of software alone have no device."""
    found = set()
    for card in sorted(root.glob("sys/class/net/*/device")):
        try:
            if (card.parent / "addr_assign_type").read_text().strip() == _PERMANENT:
                found.add((card.parent / "address").read_text().strip())
        except OSError:
            continue  # it was unplugged
    return tuple(sorted(found - {"", "00:00:00:00:00:00"}))
