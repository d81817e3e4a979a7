"""Compare this tree's benchmarks with another tree's: `python -m tests.bench.compare TREE [NAME…]`.

    git worktree add --detach ../before REVISION
    python -m tests.bench.compare ../before decision fold replay

Runs each benchmark that both trees have in both trees, in turns, so that other work on this computer slows
both. Keeps the best value of each figure, and prints the ratios: above 1, this tree is slower or larger. The
other tree needs no environment of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from .__main__ import WIDTH_IN_FILES
from .running import PREFIX, names

HERE = Path(__file__).parents[2]
TIMES = 5
RUN = """
import json, sys
from tests.bench.running import figures_of
print(json.dumps([[figure.name, figure.value, figure.unit] for figure in figures_of(sys.argv[1])]))
"""

Best = dict[str, tuple[float, str]]
"""The best value of each figure by its name, and its unit."""


class Compared(NamedTuple):
    """A figure of both trees. `ratio` above 1: here it is worse."""

    name: str
    unit: str
    there: float
    here: float

    @property
    def ratio(self) -> float:
        above, below = (self.there, self.here) if is_rate(self.unit) else (self.here, self.there)
        if not below:  # a process at rest may use no measurable time
            return math.inf if above else 1.0
        return above / below


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tree", type=Path, help="another checkout, as of `git worktree add`")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names())}")
    parser.add_argument(
        "--times", type=int, default=TIMES, help="how often in each tree [default: %(default)s]"
    )
    chosen = parser.parse_intermixed_args()
    there = chosen.tree.resolve()
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_IN_FILES
    table = Table("benchmark", "figure", "unit", str(chosen.tree), "here", "ratio")
    for name in chosen.names or names():
        if not (there / f"tests/bench/{PREFIX}{name}.py").exists():
            console.print(f"{chosen.tree} has no benchmark {name!r}")
            continue
        for figure in compared(name, there, chosen.times):
            values = [f"{value:,.4g}" for value in (figure.there, figure.here)]
            table.add_row(name, figure.name, figure.unit, *values, f"{figure.ratio:.2f}")
        table.add_section()
    console.print(table)


def compared(name: str, there: Path, times: int) -> Iterator[Compared]:
    """The figures of one benchmark that both trees have."""
    best: dict[Path, Best] = {there: {}, HERE: {}}
    for _ in range(times):
        for tree, found in best.items():
            for figure, value, unit in figures_in(tree, name):
                better = max if is_rate(unit) else min
                found[figure] = (better(value, found.get(figure, (value, unit))[0]), unit)
    for figure, (value, unit) in best[HERE].items():
        if figure in best[there]:
            yield Compared(figure, unit, best[there][figure][0], value)


def figures_in(tree: Path, name: str) -> list[tuple[str, float, str]]:
    """Run one benchmark in a tree: each figure's name, value and unit."""
    path = os.pathsep.join(str(tree / folder) for folder in ("shared", "services", "cli", ".", "tests"))
    command = [sys.executable, "-c", RUN, name]
    ran = subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=True
    )
    found: list[tuple[str, float, str]] = json.loads(ran.stdout.splitlines()[-1])
    return found


def is_rate(unit: str) -> bool:
    """Is a higher value better?"""
    return unit.endswith("/s")


if __name__ == "__main__":
    main()
