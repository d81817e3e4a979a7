"""Work out from readings of the computer when its owner last used it. Pure.

Each source speaks for what it can see:

- logind: desktops that report to it whether they are idle, as GNOME and KDE do;
- terminals: every keystroke at a text console, in a terminal window, or over ssh;
- input devices: every report of a keyboard or mouse that has a counter of its own.

We never ask a display server: that fails on Wayland, and without the owner's session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from distribute.host import Presence


@dataclass(frozen=True, slots=True)
class Desktop:
    """A person's graphical session on a screen of this computer, as logind knows it.

    `since` is when it last became idle or busy, by `time.monotonic`. None: it has never reported either.
    """

    idle: bool
    since: float | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the sources show at one moment.

    `terminals` gives for each terminal when something was last typed, in seconds since 1970; `inputs` a
    counter for each input device. `unseen` names keyboards and mice without a counter. `desktops` is None if
    logind does not answer.
    """

    terminals: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, int] = field(default_factory=dict)
    unseen: Sequence[str] = ()
    desktops: Sequence[Desktop] | None = None


class Activity:
    """Remembers from one reading to the next what has changed."""

    def __init__(self) -> None:
        self._before: Reading | None = None
        self._last: float | None = None
        """When the owner last used the computer, by `time.monotonic`."""

    def read(self, reading: Reading, *, now: float, time: float) -> Presence:
        """Take a reading at `now` by `time.monotonic`, which is `time` in seconds since 1970.

        Only the first reading uses the clock on the wall: after that, a change shows that somebody typed, so
        a clock that jumps makes nobody present or absent.
        """
        moments = [
            moment for desktop in reading.desktops or () if (moment := _last_use(desktop, now)) is not None
        ]
        if self._before is None:
            ages = [time - typed for typed in reading.terminals.values()]
            moments += [now - age for age in ages if age >= 0]
        elif _grew(self._before.terminals, reading.terminals) or _grew(self._before.inputs, reading.inputs):
            moments.append(now)
        self._before = reading
        if self._last is not None:
            moments.append(self._last)
        self._last = max(moments, default=None)
        return Presence(
            idle_s=None if self._last is None else max(0.0, now - self._last),
            sources=tuple(_sources(reading)),
            blind_to=tuple(_blind_to(reading)),
        )


def _last_use(desktop: Desktop, now: float) -> float | None:
    if desktop.since is None:
        return None
    return min(now, desktop.since) if desktop.idle else now


def _grew(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    """Has a value changed, or come anew? A terminal that was opened is used; one that is closed is not."""
    return any(before.get(name) != value for name, value in after.items())


def _sources(reading: Reading) -> list[str]:
    found = []
    if any(desktop.since is not None for desktop in reading.desktops or ()):
        found.append("logind")
    if reading.terminals:
        found.append("terminals")
    if reading.inputs:
        found.append("input devices")
    return found


def _blind_to(reading: Reading) -> Sequence[str]:
    """The devices that the owner may be using although no source shows it.

    At a text console the terminal shows it, and a desktop that reports to logind speaks for all its devices.
    """
    if reading.desktops is not None and all(desktop.since is not None for desktop in reading.desktops):
        return ()
    return reading.unseen
