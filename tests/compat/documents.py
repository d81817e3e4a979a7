"""Make the table of transitions in `docs/events.md` from the code: `python -m tests.compat` writes it."""

from __future__ import annotations

from pathlib import Path

from distribute.core.log.events import type_of
from distribute.core.state.state import Status
from distribute.core.state.transitions import JOB_TRANSITIONS

EVENTS_PAGE = Path(__file__).parents[2] / "docs" / "events.md"
BEGIN, END = "<!-- transitions -->\n", "<!-- /transitions -->"


def transitions_as_text() -> str:
    """The table of transitions in Markdown: a row for each status, a column for each event."""
    kinds = {type_of(kind): targets for kind, targets in JOB_TRANSITIONS.items()}
    rows = [["", *(f"`{name}`" for name in kinds)], ["---"] * (len(kinds) + 1)]
    for status in Status:
        cells = [_cell(status, targets.get(status, frozenset())) for targets in kinds.values()]
        rows.append([status.name, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def write_transitions() -> None:
    """Update the page."""
    before, _, rest = EVENTS_PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    EVENTS_PAGE.write_text(f"{before}{BEGIN}\n{transitions_as_text()}\n{END}{after}")


def _cell(status: Status, targets: frozenset[Status]) -> str:
    if targets == {status}:
        return "stays"
    return " or ".join(target.name for target in sorted(targets))
