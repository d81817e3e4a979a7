"""Progress, its rate and its estimated end: as a bar on a terminal, or in words for a line."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console, RenderableType
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn, Task
from rich.text import Text

from distribute_cli.output.fitting import cut
from distribute_cli.output.pace import pace_text

_RATE_OVER_S = 600.0
"""The rate is that of the last so many seconds: jobs may take minutes."""


class _Title(ProgressColumn):
    """The title, in a third of the line at most."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        return Text(cut(task.description, max(10, self._console.width // 3)), no_wrap=True)


class _Tracked(Progress):
    """One bar. Below it stand a note, the rate, and the estimated end."""

    def __init__(self, console: Console, title: str, *, of_bytes: bool, disable: bool = False) -> None:
        figures = DownloadColumn(binary_units=True) if of_bytes else MofNCompleteColumn()
        super().__init__(
            _Title(console),
            BarColumn(bar_width=None),
            figures,
            console=console,
            expand=True,
            disable=disable,
            get_time=lambda: time.monotonic(),
            speed_estimate_period=_RATE_OVER_S,
        )
        self._of_bytes = of_bytes
        self._bar = self.add_task(title, total=None, note="", age_s=0.0)

    @property
    def words(self) -> str:
        """The note, the rate and the estimated end."""
        return "\n".join(map(self._words, self.tasks))

    def _words(self, task: Task) -> str:
        words: list[str] = [task.fields["note"]]
        age_s: float = task.fields["age_s"]
        rate = task.speed or (task.completed / age_s if age_s > 0 else 0.0)
        if rate and not task.finished:
            left_s = (task.remaining or 0.0) / rate
            words.append(pace_text(rate, left_s, datetime.now().astimezone(), of_bytes=self._of_bytes))
        return "; ".join(filter(None, words))

    def show(self, done: float, total: float, note: str, age_s: float) -> None:
        self.update(self._bar, completed=done, total=total, note=note, age_s=age_s)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if words := self.words:
            yield Text(words)


class TerminalBar:
    """A bar on a terminal."""

    def __init__(self, tracked: _Tracked) -> None:
        self._tracked = tracked

    def update(self, done: float, total: float, note: str = "", age_s: float = 0.0) -> None:
        self._tracked.show(done, total, note, age_s)


@contextmanager
def terminal_bar(console: Console, title: str, *, of_bytes: bool) -> Iterator[TerminalBar]:
    """A bar that stays on the screen when it is done."""
    with _Tracked(console, title, of_bytes=of_bytes) as tracked:
        yield TerminalBar(tracked)


class PaceInWords:
    """The same without a bar: for a line now and then."""

    def __init__(self, *, of_bytes: bool) -> None:
        self._tracked = _Tracked(Console(quiet=True), "", of_bytes=of_bytes, disable=True)

    def words(self, done: float, total: float, note: str, age_s: float) -> str:
        """The note, with rate and estimated end as soon as they are known."""
        self._tracked.show(done, total, note, age_s)
        return self._tracked.words
