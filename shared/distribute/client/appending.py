"""Appending what a person says of a batch or a node, behind what others said of it meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from distribute.core.errors import Conflict, LogReplaced
from distribute.core.log.recorded import Guard

if TYPE_CHECKING:
    from distribute.core.log.events import Event
    from distribute.ports import EventLog


class Appender:
    """Appends events of one scope, each under a guard.

    What beat an event may be something that its author's reading passes by, and so never learns the sequence
    of. The appender remembers that sequence: the next guard passes over it.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._beaten_by_seq = 0

    async def append(self, event: Event, last_seq: int) -> int | None:
        """The event's sequence. None: another came first; read on, and if the event still fits, try again.

        Raises:
            LogReplaced: the log has less than was read of it.
        """
        try:
            return await self._log.append(event, Guard(max(last_seq, self._beaten_by_seq)))
        except Conflict as conflict:
            self._beaten_by_seq = conflict.last_seq
            return None


async def append_behind(log: EventLog, read: Callable[[], Awaitable[tuple[Event, int]]]) -> int:
    """Append an event behind all that is said of its scope. Returns its sequence.

    Args:
        log: where.
        read: reads the scope and returns the event and the scope's last sequence, or raises if there is
            nothing to say any more. Called before every try.
    """
    appender = Appender(log)
    while True:
        try:
            if (seq := await appender.append(*await read())) is not None:
                return seq
        except LogReplaced:
            # As after a restore from an older copy: what was read is invalid.
            log.begin_anew()
            appender = Appender(log)
