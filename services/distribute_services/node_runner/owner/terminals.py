"""Read when somebody last typed at a terminal: a text console, a terminal window or an ssh login.

The kernel sets a terminal's access time when a program reads what was typed there, at most once in 8 s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from distribute_services.node_runner.keeper import procfs

_CONSOLES = tuple(f"tty{number}" for number in range(1, 64))


class Terminals:
    """This computer's terminals, without those that its jobs have opened."""

    def __init__(self, own_pids: Callable[[], Iterable[int]], dev: str = "/dev") -> None:
        """`own_pids` gives the processes of jobs. It is called only when a terminal was used."""
        self._own_pids = own_pids
        self._dev = dev
        self._before: dict[str, int] = {}
        self._of_jobs: set[str] = set()

    def read(self) -> dict[str, int]:
        """When something was last typed at each terminal, in seconds since 1970."""
        found = dict(self._all())
        used = [name for name, typed in found.items() if self._before.get(name) != typed]
        self._before = found
        if any(name.startswith("pts/") for name in used):
            of_jobs = self._opened_by_jobs()
            self._of_jobs = {name for name in found if name in (of_jobs if name in used else self._of_jobs)}
        return {name: typed for name, typed in found.items() if name not in self._of_jobs}

    def _all(self) -> Iterator[tuple[str, int]]:
        try:
            numbers = [name for name in os.listdir(f"{self._dev}/pts") if name.isdecimal()]  # noqa: PTH208
        except OSError:
            numbers = []  # this computer has no pseudo-terminals
        for name in (*_CONSOLES, *(f"pts/{number}" for number in numbers)):
            try:
                yield name, int(os.stat(f"{self._dev}/{name}").st_atime)  # noqa: PTH116 (Paths take 5 times as long)
            except OSError:
                continue  # it was closed meanwhile, or there are fewer consoles

    def _opened_by_jobs(self) -> set[str]:
        opened: set[int] = set()
        for pid in self._own_pids():
            opened |= procfs.terminals_of(pid)
        # Helpers of this runner have its terminal, which is a person's.
        opened -= procfs.terminals_of(os.getpid())
        return {f"pts/{number}" for number in opened}
