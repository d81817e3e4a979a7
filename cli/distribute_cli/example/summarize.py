"""Prints the pulled results of the cavity sweep as a table: `python3 summarize.py FOLDER`.

Needs only Python. The exit code is 1 if FOLDER has no results.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PUBLISHED_PSI = {100: -0.103423, 400: -0.113909, 1000: -0.117929}
"""The stream function at the centre of the primary vortex, from the paper that `ghia1982.csv` names."""

HEADINGS = ("Re", "grid", "u off by", "v off by", "vortex at", "its psi", "seconds", "node")


def row(run: dict[str, Any]) -> tuple[str, ...]:
    vortex = run["vortex"]
    return (
        f"{run['re']:g}",
        f"{run['n']} x {run['n']}",
        "-" if run["ghia_u_max"] is None else f"{run['ghia_u_max']:.4f}",
        "-" if run["ghia_v_max"] is None else f"{run['ghia_v_max']:.4f}",
        f"{vortex['x']:.4f}, {vortex['y']:.4f}",
        f"{vortex['psi']:.5f}",
        f"{run['wall_s']:.2f}",
        run["node"],
    )


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Print columns as wide as necessary: numbers aligned right, the names in the last column left."""
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    for cells in (HEADINGS, tuple("-" * width for width in widths), *rows):
        *numbers, name = cells
        aligned = [cell.rjust(width) for cell, width in zip(numbers, widths, strict=False)]
        print("  ".join([*aligned, name]))


def extrapolated_psi(coarse: dict[str, Any], fine: dict[str, Any]) -> float:
    """What psi tends to as the cells shrink, for an error that falls with the square of their width."""
    ratio = (fine["n"] / coarse["n"]) ** 2
    return float((ratio * fine["vortex"]["psi"] - coarse["vortex"]["psi"]) / (ratio - 1))


def print_extrapolations(runs: list[dict[str, Any]]) -> None:
    for re, published in PUBLISHED_PSI.items():
        of_this_re = [run for run in runs if run["re"] == re]
        if len(of_this_re) >= 2:
            psi = extrapolated_psi(*of_this_re[-2:])
            print(f"Re {re}: psi tends to {psi:.5f} as the grid is refined; published {published:.5f}")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python3 summarize.py FOLDER", file=sys.stderr)
        return 2
    files = sorted(Path(arguments[0]).rglob("summary.json"))
    if not files:
        print(f"{arguments[0]}: no summary.json in it: no job has left a result there", file=sys.stderr)
        return 1
    runs = sorted((json.loads(file.read_bytes()) for file in files), key=lambda run: (run["re"], run["n"]))
    print_table([row(run) for run in runs])
    print()
    print('"off by": the largest difference from the table of Ghia, Ghia and Shin (1982), lid speed 1;')
    print("their values, of a grid of 128 x 128, are themselves good to about 0.01.")
    print_extrapolations(runs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
