"""Which cores of a computer a node lends, and which of them each attempt gets. Pure."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from itertools import groupby
from typing import NamedTuple


class Core(NamedTuple):
    """What is counted as one cpu: a physical core with its threads or, for who counts threads, one thread.

    `place` says where it is, from the outside in: socket, NUMA node, cache and, for a thread, its core.
    `cpus` are the kernel's numbers of its threads.
    """

    place: tuple[int, ...]
    cpus: tuple[int, ...]


def choose(free: Collection[Core], count: int) -> tuple[Core, ...]:
    """`count` cores that lie together, so that the others lie together as well.

    They are of one socket, NUMA node and cache if they fit into one, and then of that with the fewest free
    cores: so whole ones stay whole for those who need them. What needs several gets whole ones first.

    Raises:
        ValueError: not so many are free.
    """
    if not 0 <= count <= len(free):
        raise ValueError(f"{count} cores, of {len(free)} that are free")
    return tuple(sorted(_choose(sorted(free), count, 0)))


def _choose(free: list[Core], count: int, level: int) -> list[Core]:
    if count == 0 or level == max(len(core.place) for core in free):
        return free[:count]
    domains = [list(cores) for _, cores in groupby(free, lambda core: core.place[: level + 1])]
    fitting = [domain for domain in domains if len(domain) >= count]
    if fitting:
        return _choose(min(fitting, key=len), count, level + 1)
    largest = max(domains, key=len)
    others = [core for core in free if core not in largest]
    return largest + _choose(others, count - len(largest), level)


def part_of(cores: Collection[Core], number: int, parts: int) -> tuple[Core, ...]:
    """The cores of part `number` (from 1) of `parts` equal parts; all cores if there are fewer than parts."""
    size = len(cores) // parts
    if size == 0:
        return tuple(sorted(cores))
    left = set(cores)
    for _ in range(number):
        part = choose(left, size)
        left.difference_update(part)
    return part


def cpus_of(cores: Iterable[Core]) -> frozenset[int]:
    """All threads of these cores, for an affinity."""
    return frozenset(cpu for core in cores for cpu in core.cpus)


class Pinning:
    """The cores that a node lends, and who has them. No two have the same core.

    A node that lends more cpus than it has cores pins nobody: its jobs share all cores.
    """

    def __init__(self, lent: Collection[Core], cpus: int) -> None:
        self.all = cpus_of(lent)
        """The threads of all cores that the node lends."""
        self._free = set(lent) if cpus <= len(lent) else set()
        self._held: dict[Hashable, tuple[Core, ...]] = {}

    def take(self, who: Hashable, count: int) -> frozenset[int]:
        """Give `who` `count` cores of its own, if so many are free. Returns the threads that it may use."""
        if count > len(self._free):
            return self.all
        cores = self._held[who] = choose(self._free, count)
        self._free.difference_update(cores)
        return cpus_of(cores)

    def hold(self, who: Hashable, cpus: Collection[int]) -> None:
        """Note that `who` runs on these threads: an earlier runner gave it their cores."""
        cores = tuple(core for core in self._free if not set(cpus).isdisjoint(core.cpus))
        self._held[who] = cores
        self._free.difference_update(cores)

    def release(self, who: Hashable) -> None:
        """Take back the cores of `who`, if it has any."""
        self._free.update(self._held.pop(who, ()))
