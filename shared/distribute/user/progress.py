"""A bar of progress, where somebody sees it: in a terminal, or below a cell of a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument

Show = Callable[[float, float, str], None]
"""Is told how much is done, of how much, and a note."""

_SHOWN_EVERY_S = 0.25
"""A notebook draws each state anew, and keeps it in its file."""


@contextmanager
def bar(title: str, *, of_bytes: bool = False, wanted: bool | None = None) -> Iterator[Show]:
    """Show a bar while the block runs. `wanted` None: if there is a terminal or a notebook."""
    display = _notebook_display()
    if wanted is False or (wanted is None and display is None and not sys.stderr.isatty()):
        yield _show_nothing
        return
    console = Console(stderr=True, force_jupyter=display is not None)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True) if of_bytes else MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        auto_refresh=display is None,
    )
    task = progress.add_task(title, total=None, note="")
    if display is None:
        with progress:
            yield lambda done, total, note: progress.update(task, completed=done, total=total, note=note)
        return
    drawn = _Drawn(progress, display)
    try:
        yield lambda done, total, note: drawn.show(task, done, total, note)
    finally:
        drawn.draw()


def _show_nothing(done: float, total: float, note: str) -> None:
    pass


class _Drawn:
    """A bar in a notebook, whose picture is replaced by the next."""

    def __init__(self, progress: Progress, display: Callable[..., Any]) -> None:
        self._progress = progress
        self._handle = display(self._picture, display_id=True)
        self._drawn_at = time.monotonic()

    @property
    def _picture(self) -> Table:
        return self._progress.make_tasks_table(self._progress.tasks)

    def show(self, task: Any, done: float, total: float, note: str) -> None:
        """Show this state, unless the last one is too fresh."""
        self._progress.update(task, completed=done, total=total, note=note)
        if time.monotonic() - self._drawn_at >= _SHOWN_EVERY_S:
            self.draw()

    def draw(self) -> None:
        """Draw the last state."""
        self._drawn_at = time.monotonic()
        self._handle.update(self._picture)


def _notebook_display() -> Callable[..., Any] | None:
    """The function that shows something below a notebook's cell. None: this is no notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    found: Callable[..., Any] = display
    return found


def show_batch(show: Show, standing: BatchDocument) -> None:
    """Show how far a batch is."""
    jobs = standing["jobs"]
    over = jobs["succeeded"] + jobs["failed"] + jobs["killed"]
    counts = (("running", jobs["running"]), ("queued", jobs["queued"]), ("failed", jobs["failed"]))
    notes = ["building"] if standing["building"] else []
    notes += [f"{count} {state}" for state, count in counts if count]
    show(over, jobs["total"], ", ".join(notes))
