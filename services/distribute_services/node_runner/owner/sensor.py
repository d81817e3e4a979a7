"""Read all sources that show when the owner uses this computer."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from distribute.host import Presence
from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.owner import inputs
from distribute_services.node_runner.owner.activity import Activity, Desktop, Reading
from distribute_services.node_runner.owner.load import OthersLoad
from distribute_services.node_runner.owner.system_bus import has_system_bus
from distribute_services.node_runner.owner.terminals import Terminals

if TYPE_CHECKING:
    from distribute_services.node_runner.owner.logind import Logind

log = logging.getLogger(__name__)

LOOKS_FOR_DEVICES_EVERY_S = 60.0
MEASURES_LOAD_EVERY_S = 5.0
"""A measurement takes about 20 µs for each process of a job."""


class Sensor:
    """Who uses this computer besides its jobs. A computer needs one: it remembers the last reading."""

    def __init__(self, keepers: Callable[[], Iterable[int]], *, measures_load: bool = False) -> None:
        """`keepers` gives the processes below which jobs run. `measures_load`: measure the work of others."""

        def of_jobs() -> Iterator[int]:
            """The processes of jobs, and of this process's helpers."""
            return procfs.with_descendants([*keepers(), *procfs.own_children()])

        def own() -> set[int]:
            """All processes of this node. Those that waited for short-lived ones count what these used."""
            return set(procfs.with_descendants([*keepers(), os.getpid()]))

        self._activity = Activity()
        self._terminals = Terminals(of_jobs)
        self._logind: Logind | None = None
        self._devices_at = -math.inf
        self._devices: list[inputs.Device] = []
        self._load = OthersLoad(own) if measures_load else None
        self._load_at = -math.inf
        self._others: float | None = None
        self._lock = asyncio.Lock()
        self._noted: str | None = None

    async def read(self) -> Presence:
        """Read now. Takes about 0.2 ms, and more after a change."""
        async with self._lock:
            now = time.monotonic()
            if now - self._devices_at >= LOOKS_FOR_DEVICES_EVERY_S:
                self._devices, self._devices_at = inputs.devices(), now
            counters, unseen = inputs.read(self._devices)
            desktops = await self._desktops()
            reading = Reading(self._terminals.read(), counters, tuple(unseen), desktops)
            presence = self._activity.read(reading, now=time.monotonic(), time=time.time())
            self._note(presence)
            if self._load is not None and now - self._load_at >= MEASURES_LOAD_EVERY_S:
                self._others, self._load_at = self._load.read(now), now
            return replace(presence, others=self._others)

    async def close(self) -> None:
        """Close the connection to logind."""
        if self._logind is not None:
            await self._logind.close()

    async def _desktops(self) -> tuple[Desktop, ...] | None:
        """As `Logind.desktops`. A server without a system's bus does without what asks there, 1 MB."""
        if self._logind is None:
            if not has_system_bus():
                return None
            from distribute_services.node_runner.owner.logind import Logind

            self._logind = Logind()
        return await self._logind.desktops()

    def _note(self, presence: Presence) -> None:
        """Log what shows the owner's use, once and after each change."""
        if (source := presence.source) != self._noted:
            self._noted = source
            level = logging.WARNING if presence.blind_to else logging.INFO
            log.log(level, "what shows when somebody uses this computer: %s", source)
