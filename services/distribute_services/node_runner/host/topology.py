"""Read from /sys which cores this computer has, and where they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from distribute_services.node_runner.host.cores import Core

Counted = Literal["cores", "threads"]
"""What a node counts as a cpu: a physical core, or each of its hardware threads."""

SYS = Path("/sys/devices/system")


def read_cores(allowed: Collection[int], counted: Counted = "cores", sys: Path = SYS) -> tuple[Core, ...]:
    """The cores of which at least one thread is `allowed`, with those of their threads that are.

    A kernel that does not tell how its cpus belong together (a sandbox) has a core for each of them.
    """
    nodes = {cpu: number for number, cpus in _numa_nodes(sys) for cpu in cpus}
    found: dict[tuple[int, ...], list[int]] = {}
    for cpu in sorted(allowed):
        folder = sys / "cpu" / f"cpu{cpu}"
        core = min(_cpus(folder / "topology/thread_siblings_list") or {cpu})
        cache = min(_cpus(folder / "cache/index3/shared_cpu_list") or {0})
        place = _number(folder / "topology/physical_package_id"), nodes.get(cpu, 0), cache, core
        found.setdefault(place, []).append(cpu)
    if counted == "threads":
        return tuple(Core(place, (cpu,)) for place, cpus in sorted(found.items()) for cpu in cpus)
    return tuple(Core(place[:-1], tuple(cpus)) for place, cpus in sorted(found.items()))


def _numa_nodes(sys: Path) -> Iterator[tuple[int, set[int]]]:
    for folder in sys.glob("node/node[0-9]*"):
        yield int(folder.name.removeprefix("node")), _cpus(folder / "cpulist")


def _cpus(path: Path) -> set[int]:
    """A list of cpus as the kernel writes it: `0-3,8,10-11`. Empty if the file is not there."""
    found: set[int] = set()
    for part in _text(path).split(","):
        first, _, last = part.partition("-")
        if first:
            found.update(range(int(first), int(last or first) + 1))
    return found


def _number(path: Path) -> int:
    return int(_text(path) or 0)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""  # the kernel, or the container, has no such file
