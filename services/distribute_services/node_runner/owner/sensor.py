"""Read all sources that show when the owner uses this computer."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable

from distribute.host import Presence
from distribute_services.node_runner.owner import inputs
from distribute_services.node_runner.owner.activity import Activity, Reading
from distribute_services.node_runner.owner.logind import Logind
from distribute_services.node_runner.owner.terminals import Terminals

log = logging.getLogger(__name__)

LOOKS_FOR_DEVICES_EVERY_S = 60.0


class Sensor:
    """Who uses this computer besides its jobs. A computer needs one: it remembers the last reading."""

    def __init__(self, pids_of_jobs: Callable[[], Iterable[int]]) -> None:
        self._activity = Activity()
        self._terminals = Terminals(pids_of_jobs)
        self._logind = Logind()
        self._devices_at = -math.inf
        self._devices: list[inputs.Device] = []
        self._lock = asyncio.Lock()
        self._noted: str | None = None

    async def read(self) -> Presence:
        """Read now. Takes about 0.2 ms, and more after a change."""
        async with self._lock:
            now = time.monotonic()
            if now - self._devices_at >= LOOKS_FOR_DEVICES_EVERY_S:
                self._devices, self._devices_at = inputs.devices(), now
            counters, unseen = inputs.read(self._devices)
            desktops = await self._logind.desktops()
            reading = Reading(self._terminals.read(), counters, tuple(unseen), desktops)
            presence = self._activity.read(reading, now=time.monotonic(), time=time.time())
            self._note(presence)
            return presence

    async def close(self) -> None:
        """Close the connection to logind."""
        await self._logind.close()

    def _note(self, presence: Presence) -> None:
        """Log what shows the owner's use, once and after each change."""
        if (source := presence.source) != self._noted:
            self._noted = source
            level = logging.WARNING if presence.blind_to else logging.INFO
            log.log(level, "what shows when somebody uses this computer: %s", source)
