"""States and figures for the terminal."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

from distribute.config.sections.units import format_duration
from distribute_cli.output.clock import now
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


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state.replace("_", " "), style=STATE_STYLES.get(state, ""))


def span(begin: str, end: str | None) -> str:
    """The time between two times, in two units at most. Without an end: up to the moment that is shown."""
    stop = datetime.fromisoformat(end) if end else now()
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
