"""Pause this computer by itself: asks who uses it, and carries out what `own_pauses` decides."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Generic

from distribute.core.errors import DistributeError
from distribute.core.spec.hours import LocalTime
from distribute.host import Host, P, R
from distribute.limited_log import Trouble
from distribute_services.node_runner.owner.own_pauses import Begin, Cause, End, OwnPauses, Terms

log = logging.getLogger(__name__)

LOOKS_EVERY_S = 1.0
"""So soon a node notices that somebody uses its computer."""


class SteppingAside(Generic[P, R]):
    """This node's own pauses, on the terms of the computer's owner."""

    def __init__(
        self,
        host: Host[P, R],
        terms: Terms,
        *,
        clock: Callable[[], float],
        note: Path,
        local_time: LocalTime | None = None,
    ) -> None:
        """`clock` gives seconds since 1970. `local_time` None: that of this computer.

        `note` is the file that has the causes that a person has overruled, for the next node-runner.
        """
        self._host = host
        self._note = note
        self._noted = overruled_before(note)
        self._own_pauses = OwnPauses(terms, local_time or system_local_time, self._noted)
        self._clock = clock

    async def watch(self) -> None:
        """Begin and end pauses, for ever. A fault, which is logged once, leaves the pause as it is."""
        trouble = Trouble(log, logging.ERROR)
        while True:
            try:
                await self._look()
                trouble.is_over("this node pauses by itself again")
            except (DistributeError, OSError, ValueError) as error:
                trouble.occurs("this node can't pause by itself", error=error)
            await asyncio.sleep(LOOKS_EVERY_S)

    async def _look(self) -> None:
        presence = await self._host.presence()
        now = asyncio.get_running_loop().time()
        match self._own_pauses.look(presence, self._host.paused, now=now, time=self._clock()):
            case Begin(duration_s, reason):
                await self._host.pause(duration_s, by=None, reason=reason)
            case End():
                await self._host.resume()
            case None:
                pass
        if self._own_pauses.overruled != self._noted:
            self._noted = self._own_pauses.overruled
            try:
                self._note.write_text("".join(f"{cause.name}\n" for cause in self._noted))
            except OSError as error:
                log.warning("the next start will not know that somebody resumed this node: %s", error)


def overruled_before(note: Path) -> frozenset[Cause]:
    """The causes in a note. There is none before a person has resumed."""
    try:
        names = note.read_text().split()
    except OSError:
        return frozenset()
    return frozenset(cause for cause in Cause if cause.name in names)


def system_local_time(moment: float) -> datetime:
    """The date and time of this computer's clock on the wall, also after its time zone was changed."""
    time.tzset()
    return datetime.fromtimestamp(moment)  # noqa: DTZ006 - the clock on the wall is what we want
