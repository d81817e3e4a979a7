"""Facts, times and verdicts of nodes, as several answers for the terminal show them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from distribute.client.words import printable
from distribute.core.words import counted
from distribute_cli.output.fitting import FittingTable
from distribute_cli.output.words import NOTHING

if TYPE_CHECKING:
    from distribute.client.documents import VerdictDocument

MOST_LINES = 20
"""Max. nodes, jobs and files that are listed one by one. --json has them all."""

Fact = tuple[str, str | Text]

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
"""As `core.words.rfc3339` writes times."""


def facts(named: Iterable[Fact]) -> Table:
    """One fact on each line: its name, and what it is."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(style="dim")
    drawn.add_column(overflow="fold")
    for name, value in named:
        drawn.add_row(name, value)
    return drawn


def verdicts(found: Sequence[VerdictDocument]) -> Iterator[RenderableType]:
    """What keeps each node from the job; first those that could take it soonest."""
    ordered = sorted(found, key=lambda verdict: verdict["obstacle"] is not None)
    rows = [
        {"node": printable(verdict["node"]), "why not there": printable(verdict["text"])}
        for verdict in ordered[:MOST_LINES]
    ]
    yield FittingTable(rows)
    if (more := len(found) - MOST_LINES) > 0:
        yield f"and {counted(more, 'more node')}: --json lists them all"


def moment(time: str | None) -> str:
    """A time by this computer's clock: of today without the date."""
    if time is None:
        return NOTHING
    found = datetime.fromisoformat(time).astimezone()
    today = datetime.now().astimezone().date()
    return f"{found:%H:%M:%S}" if found.date() == today else f"{found:%Y-%m-%d %H:%M:%S}"


def told(text: str) -> str:
    """A text of the scheduler for the terminal. The times in it are by this computer's clock."""
    return _RFC3339.sub(_local, printable(text))


def _local(found: re.Match[str]) -> str:
    try:
        return moment(found[0])
    except (ValueError, OverflowError):  # a person wrote what no calendar has
        return found[0]
