"""Notice pauses that last so long that their jobs had better run elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic

from distribute.core.words import format_duration
from distribute.host import Host, P, R


class LongPauses(Generic[P, R]):
    """Watches for pauses, one behind another without a gap, that together last for `after_s` seconds."""

    def __init__(self, host: Host[P, R], after_s: float, vacate: Callable[[str], None]) -> None:
        """`vacate` is called with the reason, once in each pause."""
        self._host = host
        self._after_s = after_s
        self._vacate = vacate

    async def watch(self) -> None:
        """Watch, for ever."""
        while True:
            await self._host.pause_changed(None)
            try:
                async with asyncio.timeout(self._after_s):
                    await self._resumed()
            except TimeoutError:
                if (pause := self._host.paused) is not None:
                    why = f": {pause.reason}" if pause.reason else ""
                    self._vacate(f"its node was paused for {format_duration(self._after_s)}{why}")
                await self._resumed()

    async def _resumed(self) -> None:
        while (pause := self._host.paused) is not None:
            await self._host.pause_changed(pause)
