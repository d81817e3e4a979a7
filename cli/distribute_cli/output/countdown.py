"""How long a pause lasts still: a line that changes on a terminal, or a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from distribute.client.words import printable

LINE_EVERY_S = 60.0
"""How often the time is told without a terminal."""


def time_left(seconds: float) -> str:
    """A time that counts down: `3h56m59s`, `3h57m00s`, `9s`."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m{left:02}s"
    return f"{minutes}m{left:02}s" if minutes else f"{left}s"


class TerminalCountdown:
    """Two lines on a terminal, which change."""

    def __init__(self, live: Live, how_to_end: str) -> None:
        self._live = live
        self._how_to_end = how_to_end

    def show(self, left_s: float, note: str) -> None:
        first = Text.assemble(("paused", "yellow"), f" for {time_left(left_s)} more; {self._how_to_end}")
        self._live.update(Text("\n").join([first, Text(printable(note), style="dim")]), refresh=True)


class LineCountdown:
    """A line now and then."""

    def __init__(self, how_to_end: str) -> None:
        self._how_to_end = how_to_end
        self._told_at: float | None = None

    def show(self, left_s: float, note: str) -> None:
        now = time.monotonic()
        if self._told_at is not None and now - self._told_at < LINE_EVERY_S:
            return
        how = f"; {self._how_to_end}" if self._told_at is None else ""
        self._told_at = now
        line = f"paused for {time_left(left_s)} more: {printable(note)}{how}"
        print(line, file=sys.stderr, flush=True)


@contextmanager
def terminal_countdown(console: Console, how_to_end: str) -> Iterator[TerminalCountdown]:
    """A countdown that leaves nothing on the screen when it is over."""
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield TerminalCountdown(live, how_to_end)
