"""Tables, states and figures for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from distribute.config.units import format_duration
from distribute_cli.output.words import NOTHING

STATE_STYLES = {
    "running": "cyan",
    "busy": "cyan",
    "assigned": "cyan",
    "building": "cyan",
    "completed": "green",
    "succeeded": "green",
    "failed": "red",
    "killed": "yellow",
    "released": "yellow",
    "yielded": "yellow",
    "excused": "yellow",
    "paused": "yellow",
    "draining": "yellow",
    "quarantined": "red",
    "out_of_touch": "yellow",
    "lost": "red",
}

PROSE = ("why", "capabilities")
"""Columns whose text may wrap."""

Cell = str | Text


Row = Mapping[str, Cell]


def table(rows: Sequence[Row], *, right: Collection[str] = (), optional: Collection[str] = ()) -> Table:
    """A table of rows that all have the same columns. It leaves out optional columns that say nothing."""
    drawn = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    columns = [
        column
        for column in (rows[0] if rows else ())
        if column not in optional or any(str(row[column]) not in {NOTHING, ""} for row in rows)
    ]
    for column in columns:
        drawn.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            min_width=None if column in PROSE else max(cell_len(str(row[column])) for row in rows),
        )
    for row in rows:
        drawn.add_row(*(row[column] for column in columns))
    return drawn


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state.replace("_", " "), style=STATE_STYLES.get(state, ""))


def span(begin: str, end: str | None) -> str:
    """The time between two times, in two units at most. Without an end: up to now."""
    stop = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return duration(max(0.0, (stop - datetime.fromisoformat(begin)).total_seconds()))


def duration(seconds: float | None) -> str:
    """Seconds, rounded to two units at most."""
    if seconds is None:
        return NOTHING
    if seconds >= 86400:
        seconds -= seconds % 3600
    elif seconds >= 3600:
        seconds -= seconds % 60
    elif seconds >= 1:
        seconds = round(seconds, 1)
    return format_duration(seconds)


def count(number: int, style: str = "") -> Text:
    """A number. Zero is a dash, so that other numbers stand out."""
    return Text(str(number), style=style) if number else Text(NOTHING, style="dim")
