"""Run the benchmarks named, or all, and print their figures in one table."""

from __future__ import annotations

import argparse
import platform

from rich.console import Console
from rich.table import Table

from .figure import Figure
from .running import names, run

WIDTH_IN_FILES = 140


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names())}")
    chosen = parser.parse_args().names or names()
    if unknown := sorted(set(chosen) - set(names())):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(names())}")
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_IN_FILES
    table = Table("benchmark", "figure", "value", "unit", "target", "", "against the floor")
    with console.status("measuring …"):
        for name, figures in run(chosen):
            add_rows(table, name, figures)
    console.print(table)
    console.print(f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}")


def add_rows(table: Table, benchmark: str, figures: list[Figure]) -> None:
    """Write a benchmark's figures into the table."""
    for figure in figures:
        floor = figure.floor
        table.add_row(
            benchmark,
            figure.name,
            f"{figure.value:,.6g}",
            figure.unit,
            "" if figure.target is None else f"{figure.target:,.6g}",
            {None: "", True: "met", False: "[red]missed[/red]"}[figure.meets_target],
            "" if floor is None else f"{figure.ratio_to_floor:.3g} x {floor.name} ({floor.value:,.4g})",
        )
    table.add_section()


if __name__ == "__main__":
    main()
