"""Tables fit the terminal, whatever the names in them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from distribute.client.words import printable
from distribute_cli.output.fitting import MOST_LINES, FittingTable, Row

NAMES = st.sampled_from(["ws1", "x" * 128, "計算" * 32, "lab of " * 12, "a-b" * 30]) | st.text(
    max_size=128
).map(printable)
BATCH = ("batch", "user", "state", "jobs", "succeeded", "running", "queued", "failed", "submitted", "took")
JOB = ("job", "state", "attempt", "node", "exit", "took", "cpu", "memory", "why")
NODE = (
    "node",
    "state",
    "cpus",
    "free",
    "memory",
    "gpus",
    "jobs",
    "load",
    "owner away",
    "capabilities",
    "why",
)
FIGURES = {
    "jobs",
    "succeeded",
    "running",
    "queued",
    "failed",
    "took",
    "attempt",
    "cpu",
    "memory",
    "cpus",
    "free",
}
FIGURES |= {"gpus", "load", "owner away"}
CELLS = {
    "state": Text("succeeded, archiving"),
    "submitted": "329d19h ago",
    "took": "329d19h",
    "cpu": "12h34m",
    "memory": "1.23G",
    "exit": "SIGKILL",
    "owner away": "12h34m",
}


def row(columns: tuple[str, ...], name: str) -> Row:
    figures = dict.fromkeys(FIGURES, "100000")
    return {column: (figures | CELLS).get(column, name) for column in columns}


def drawn(table: FittingTable, width: int) -> list[str]:
    screen = io.StringIO()
    Console(file=screen, width=width, markup=False, highlight=False, emoji=False).print(table)
    return [line.rstrip() for line in screen.getvalue().splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("columns", [BATCH, JOB, NODE])
@given(names=st.lists(NAMES, min_size=1, max_size=3))
def test_every_line_fits(width: int, columns: tuple[str, ...], names: list[str]) -> None:
    table = FittingTable([row(columns, name) for name in names], right=FIGURES)
    fitted, needed = table.fitted(width)
    assert needed <= width
    assert all(cell_len(line) <= width for line in drawn(table, width))
    assert next(column.header for column in fitted.columns) == columns[0]
    assert "state" in [column.header for column in fitted.columns]


def test_a_table_that_fits_is_left_as_it_is() -> None:
    table = FittingTable([{"node": "ws1", "state": "idle", "load": "0.1"}], right={"load"})
    assert drawn(table, 40) == ["node  state  load", "ws1   idle    0.1"]


def test_what_matters_least_is_left_out_and_named() -> None:
    heading, *lines = drawn(FittingTable([row(BATCH, "jane/sweep")], right=FIGURES), 60)
    assert heading.split() == ["batch", "state", "jobs", "succeeded", "running", "failed"]
    assert lines[0].startswith("jane/sweep ")
    assert lines[-1] == "left out: user, took, submitted, queued (--json has all)"


def test_a_long_name_is_folded_and_a_very_long_one_loses_its_middle() -> None:
    name = "".join(f"{number:04}" for number in range(32))
    lines = drawn(FittingTable([{"job": name[:40], "state": Text("running")}]), 30)
    assert "".join(line.split()[0] for line in lines[1:]) == name[:40]
    lines = drawn(FittingTable([{"job": name, "state": Text("running")}]), 30)
    assert len(lines) == 1 + MOST_LINES
    folded = "".join(line.split()[0] for line in lines[1:])
    assert folded.startswith("00000001")
    assert "…" in folded
    assert folded.endswith("0031")


def test_a_state_is_never_broken_within_a_word() -> None:
    lines = drawn(FittingTable([row(JOB, "x" * 128)], right=FIGURES), 40)
    assert any("succeeded," in line for line in lines)


def test_a_path_that_people_paste_is_never_broken() -> None:
    path = "x" * 200
    _, needed = FittingTable([{"size": "1B", "file": path}], right={"size"}).fitted(80)
    assert needed == len("size file") + 196
