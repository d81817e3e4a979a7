"""Let a process begin where a unit runs: it sees the files that the unit's first process sees.

Only the standard library is used here, as the process that starts jobs must stay small.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes

_NAMESPACES = (("user", 0x10000000), ("mnt", 0x00020000))
"""Those that `view` makes, with the kernel's numbers. That of users comes first: it gives the power for the
other."""


class Inside:
    """The files as the process `pid` sees them, and the folder `at` to begin in."""

    __slots__ = ("at", "pid")

    def __init__(self, pid: int, at: str) -> None:
        self.pid = pid
        self.at = at

    def enter(self, libc: ctypes.CDLL) -> None:
        """Bring this process, which has one thread, there.

        Raises:
            OSError: the kernel refused it, or the other process has ended.
        """
        from ctypes import get_errno

        found = [(_open_other(f"/proc/{self.pid}/ns/{name}", name), kind) for name, kind in _NAMESPACES]
        for namespace, kind in found:
            if namespace is not None and libc.setns(namespace, kind):
                raise OSError(get_errno(), "the kernel refused it")
        os.chdir(self.at)


def _open_other(path: str, name: str) -> int | None:
    """Open a namespace; None if it is this process's own."""
    namespace = os.open(path, os.O_RDONLY)  # closed when a program is executed
    if os.path.samestat(os.fstat(namespace), os.stat(f"/proc/self/ns/{name}")):  # noqa: PTH116 (no pathlib)
        return None
    return namespace
