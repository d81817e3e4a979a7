"""Progress bars on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class TerminalBar:
    """One bar, with a note behind it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, done: float, total: float, note: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, note=note)


@contextmanager
def terminal_bar(console: Console, title: str, *, of_bytes: bool) -> Iterator[TerminalBar]:
    """A bar that stays on the screen when it is done."""
    figures: list[ProgressColumn] = (
        [DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn()]
        if of_bytes
        else [MofNCompleteColumn(), TimeElapsedColumn()]
    )
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *figures,
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    ) as progress:
        yield TerminalBar(progress, progress.add_task(title, total=None, note=""))
