"""What `pause` and `resume` share, whether the node is on this computer or elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from distribute.client.words import argument, printable
from distribute.core.words import counted, format_duration
from distribute.inherited import end_signals

SHOW_EVERY_S = 1.0
MOST_NAMED = 3
_SLACK_S = 2.0
"""A pause that is shorter than asked for by so little was not cut."""


class Wish(NamedTuple):
    """The pause that a person wants. `is_default`: they gave no duration. `node` None: they named no node."""

    node: str | None
    duration_s: float
    is_default: bool
    by: str
    reason: str
    detach: bool


@contextmanager
def told_to_end() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C, SIGTERM and SIGHUP set, unless this process was started to ignore them."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    numbers = end_signals()
    for number in numbers:
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def is_told(told: asyncio.Event, within_s: float) -> bool:
    """Wait for the event, for so long at most. Returns whether it is set."""
    try:
        await asyncio.wait_for(told.wait(), within_s)
    except TimeoutError:
        return False
    return True


def paused_line(nodes: Sequence[str], until: float, left_s: float) -> str:
    """`ws07 is paused for 1h30m, until 15:30:10`. `until` is in seconds since 1970."""
    are = "is" if len(nodes) == 1 else "are"
    return f"{named(nodes)} {are} paused for {format_duration(round(left_s))}, until {clock_time(until)}"


def resumed_line(nodes: Sequence[str]) -> str:
    """`ws07 lends again`."""
    return f"{named(nodes)} {'lends' if len(nodes) == 1 else 'lend'} again"


def unpaused_line(nodes: Sequence[str]) -> str:
    """`ws07 was not paused`."""
    return f"{named(nodes)} {'was' if len(nodes) == 1 else 'were'} not paused"


def resume_hint(node: str | None) -> str:
    """How to end the pause of this node, or of all of this computer."""
    resume = "distribute resume" if node is None else f"distribute resume --node {argument(node)}"
    return f"`{resume}` ends the pause"


def cut_line(node: str, wish: Wish, got_s: float) -> str | None:
    """What to tell a person who asked for a longer pause than the node allows; None: they got it."""
    if wish.is_default or got_s >= wish.duration_s - _SLACK_S:
        return None
    longest, asked = format_duration(round(got_s)), format_duration(wish.duration_s)
    return f"{printable(node)} is paused for {longest}, not {asked}: 'max_pause' in its node.yaml sets that"


def named(nodes: Sequence[str]) -> str:
    """The names of some nodes, for people: the first of many, and how many more there are."""
    texts = [printable(node) for node in nodes]
    if len(texts) <= MOST_NAMED + 1:
        return " and ".join([*([", ".join(texts[:-1])] if texts[:-1] else []), texts[-1]])
    return f"{', '.join(texts[:MOST_NAMED])} and {counted(len(texts) - MOST_NAMED, 'other node')}"


def clock_time(moment: float) -> str:
    """A moment, in seconds since 1970, by this computer's clock; with the date if that is another."""
    found, now = datetime.fromtimestamp(moment).astimezone(), datetime.now().astimezone()
    return f"{found:%H:%M:%S}" if found.date() == now.date() else f"{found:%Y-%m-%d %H:%M:%S}"
