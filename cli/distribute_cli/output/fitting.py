"""Tables that fit the terminal: names are folded, and what matters least is left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from distribute_cli.output.words import NOTHING

Cell = str | Text
Row = Mapping[str, Cell]

GAPS = (2, 1)
"""So many blanks between two columns; fewer before anything is left out."""

NARROWEST = (12, 8)
"""So many columns a folded text has at least; fewer if all that can be left out is."""

MOST_LINES = 3
"""A name that is folded into more lines loses its middle; --json and --quiet print it whole."""

LEAST_IMPORTANT = (
    "owner away", "load", "cpu", "user", "took", "submitted", "gpus", "memory", "ended", "began", "attempt",
    "assigned", "free", "queued", "killed", "exit", "capabilities", "running", "cpus", "jobs",
)  # fmt: skip
"""The columns that a narrow terminal can do without, in this order."""

PROSE = ("why", "capabilities", "why not there")
"""Columns of texts that are shown whole, in as many lines as they take."""

PASTED = ("file",)
"""Columns of what people copy, which a fold would break. The terminal may wrap it."""


class FittingTable:
    """A table of rows that all have the same columns. It leaves out `optional` ones that say nothing."""

    def __init__(
        self, rows: Sequence[Row], *, right: Collection[str] = (), optional: Collection[str] = ()
    ) -> None:
        self._rows = rows
        self._right = right
        self._natural = {
            column: max(cell_len(column), *(cell_len(str(row[column])) for row in rows))
            for column in (rows[0] if rows else ())
            if column not in optional or any(str(row[column]) not in {NOTHING, ""} for row in rows)
        }

    def fitted(self, width: int) -> tuple[Table, int]:
        """The table for a terminal of so many columns, and how many it takes: more, if it can't be helped."""
        for narrowest in NARROWEST:
            least = {column: self._least(column, narrowest) for column in self._natural}
            gap = next((gap for gap in GAPS if _total(least.values(), gap) <= width), GAPS[-1])
            left_out = _left_out(least, gap, width)
            if _total([least[column] for column in least if column not in left_out], gap) <= width:
                break
        shown = {column: least[column] for column in least if column not in left_out}
        self._grow(shown, width - _total(shown.values(), gap))
        table = Table(
            box=None, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0),
            caption=f"left out: {', '.join(left_out)} (--json has all)" if left_out else None,
            caption_justify="left", caption_style="dim",
        )  # fmt: skip
        for column, columns in shown.items():
            justify: JustifyMethod = "right" if column in self._right else "left"
            table.add_column(column, justify=justify, overflow="fold", width=columns)
        for row in self._rows:
            table.add_row(*(self._cell(row[column], column, shown[column]) for column in shown))
        return table, _total(shown.values(), gap)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        yield self.fitted(options.max_width)[0]

    def _grow(self, shown: dict[str, int], spare: int) -> None:
        """Give the columns that are narrower than their texts what the terminal has to spare, all alike."""
        growing = sorted(shown, key=lambda column: self._natural[column] - shown[column])
        for number, column in enumerate(growing):
            more = max(0, min(self._natural[column] - shown[column], spare // (len(growing) - number)))
            shown[column] += more
            spare -= more

    def _least(self, column: str, narrowest: int) -> int:
        """The columns that a column needs: for figures all, for a state its longest word."""
        if column in self._right or column in PASTED:
            return self._natural[column]
        cells = [column, *(row[column] for row in self._rows)]
        words = [cell_len(word) for cell in cells if isinstance(cell, Text) for word in cell.plain.split()]
        return min(self._natural[column], max([narrowest, *words]))

    def _cell(self, cell: Cell, column: str, width: int) -> Cell:
        if isinstance(cell, Text) or column in PROSE or column in PASTED:
            return cell
        return cut(cell, MOST_LINES * (width - 1))  # a wide character may leave a column of a line empty


def _left_out(least: Mapping[str, int], gap: int, width: int) -> list[str]:
    """The columns for which there is no room."""
    left_out: list[str] = []
    for column in LEAST_IMPORTANT:
        shown = [columns for name, columns in least.items() if name not in left_out]
        if _total(shown, gap) <= width:
            break
        if column in least and len(shown) > 1:
            left_out.append(column)
    return left_out


def _total(widths: Collection[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def cut(text: str, width: int) -> str:
    """`text` in so many columns. What is too long loses its middle: both ends of a name tell names apart."""
    if cell_len(text) <= width:
        return text
    head = set_cell_size(text, (width - 1) // 2).rstrip()
    room, tail = width - 1 - cell_len(head), ""
    for character in reversed(text):
        room -= cell_len(character)
        if room < 0:
            break
        tail = character + tail
    return f"{head}…{tail}"
