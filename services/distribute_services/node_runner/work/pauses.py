"""Carry out what people ask for about pauses, and tell the machine how the computer is paused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic

from distribute.core.errors import DistributeError
from distribute.core.os_words import message_of
from distribute.host import Host, P, R
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st

log = logging.getLogger(__name__)


class Pauses(Generic[P, R]):
    """The pause of this computer, as people change it through the log and at the computer itself."""

    def __init__(self, host: Host[P, R], tell: Callable[[st.Stimulus], None]) -> None:
        """`tell` takes each stimulus."""
        self._host = host
        self._tell = tell
        self._asked: asyncio.Queue[do.Pause | do.Resume] = asyncio.Queue()

    def carry_out(self, instruction: do.Pause | do.Resume) -> None:
        """Pause or resume, after what was asked for before."""
        self._asked.put_nowait(instruction)

    async def watch(self) -> None:
        """Tell how the computer is paused, now and whenever that changes."""
        while True:
            known = self._host.paused
            self._tell(st.PauseChanged(known))
            await self._host.pause_changed(known)

    async def obey(self) -> None:
        """Carry out one request after the other. Each is answered, also if it could not be carried out."""
        while True:
            request = await self._asked.get()
            try:
                match request:
                    case do.Pause(duration_s, by, reason):
                        await self._host.pause(duration_s, by=by, reason=reason)
                    case do.Resume():
                        await self._host.resume()
            except (DistributeError, OSError) as error:
                verb = "paused" if isinstance(request, do.Pause) else "resumed"
                log.error("this node could not be %s: %s", verb, message_of(error))  # noqa: TRY400
            self._tell(st.PauseChanged(self._host.paused, request.request))
