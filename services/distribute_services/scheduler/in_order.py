"""Appends of which some must be in the log before others are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from distribute.core.log.events import Event
from distribute.core.log.recorded import Append, guard_behind

FEW = 1000
"""So many events may stay that nothing is to be put behind any more."""


class _Sent(NamedTuple):
    event: Event
    future: asyncio.Future[int]


class InOrder:
    """Sends each append once those are in the log that it has to be behind.

    `send` appends to the log. `refused` is told of an append that is never sent, because one before it
    failed.
    """

    def __init__(
        self,
        send: Callable[[Append], asyncio.Future[int]],
        refused: Callable[[Append, BaseException], None],
    ) -> None:
        self._send = send
        self._refused = refused
        self._sent: dict[str, _Sent] = {}
        self._most = FEW

    def append(self, append: Append) -> None:
        """Append an event: at once, or behind others of ours."""
        future = self._send_behind(append) if append.behind else self._send(append)
        self._sent[append.event.id] = _Sent(append.event, future)

    def forget(self, is_pending: Callable[[Event], bool]) -> None:
        """Forget the events that are not pending any more: nothing is to be put behind those.

        Looks at all of them only once there are twice as many as after the last time: this is called at
        every decision, and thousands may be pending.
        """
        if len(self._sent) >= self._most:
            self._sent = {id_: sent for id_, sent in self._sent.items() if is_pending(sent.event)}
            self._most = max(FEW, 2 * len(self._sent))

    def _send_behind(self, append: Append) -> asyncio.Future[int]:
        before = [self._sent[id_] for id_ in append.behind]
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        left = len(before)

        def one_is_done(_: asyncio.Future[int]) -> None:
            nonlocal left
            left -= 1
            if not left:
                self._go_on(append, before, future)

        for sent in before:
            sent.future.add_done_callback(one_is_done)
        return future

    def _go_on(self, append: Append, before: list[_Sent], future: asyncio.Future[int]) -> None:
        """Send an append now that those before it are done, unless one of them failed."""
        if any(sent.future.cancelled() for sent in before):
            future.cancel()
            return
        for sent in before:
            if (error := sent.future.exception()) is not None:
                _fail(future, error)
                self._refused(append, error)
                return
        guard = guard_behind(append, [(sent.event, sent.future.result()) for sent in before])
        self._send(append._replace(guard=guard)).add_done_callback(lambda done: _copy(done, future))


def _fail(future: asyncio.Future[int], error: BaseException) -> None:
    future.set_exception(error)
    future.exception()  # whoever asks for it is told; it is no fault if nobody does


def _copy(done: asyncio.Future[int], future: asyncio.Future[int]) -> None:
    if done.cancelled():
        future.cancel()
    elif (error := done.exception()) is not None:
        _fail(future, error)
    else:
        future.set_result(done.result())
