"""Ask the broker until it answers, however long an outage lasts, and log the outage."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import TypeVar

from distribute.core.errors import Refused, Unreachable
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import ApiError, call

STALLED_AFTER_S = 60.0
"""Callers that can do without an answer give up a reachable broker after this many seconds of silence."""

_TOLD_AFTER_S = 10.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_TEMPORARY = 503
_ASK_AGAIN_S = 1.0

T = TypeVar("T")


def report_silence(connection: Connection, silent_s: float, error: Exception | None = None) -> None:
    """Log that the broker doesn't answer, unless that is known, and later that JetStream answers again.

    Args:
        connection: the connection to the broker.
        silent_s: for how many seconds the caller has waited for an answer.
        error: what the caller got instead of one.
    """
    if connection.outage.lasts:
        return
    since = min(time.time() - silent_s, connection.heard_at) if silent_s else time.time()
    why = error.description if isinstance(error, ApiError) else ""
    connection.outage.begins(since, why)
    connection.keep(_report_return(connection), "report the end of an outage")


async def _report_return(connection: Connection) -> None:
    with contextlib.suppress(ApiError, Refused):  # which are answers, too
        ask = partial(call, connection, "INFO", timeout_s=_ASK_AGAIN_S)
        await patiently(connection, ask, give_up_after_s=inf)
    connection.outage.ends()


async def patiently(
    connection: Connection, ask: Callable[[], Awaitable[T]], *, give_up_after_s: float = STALLED_AFTER_S
) -> T:
    """Call `ask` until it returns. Only time while the broker is reachable counts towards giving up.

    Raises:
        Unreachable: the broker is reachable, but does not answer for `give_up_after_s` seconds.
        ApiError: JetStream refused.
    """
    pause_s, silent_s = _FIRST_PAUSE_S, 0.0
    while True:
        await connection.returned()
        asked_at = time.monotonic()
        try:
            return await ask()
        except (ApiError, Unreachable) as error:
            if isinstance(error, ApiError) and error.code != _TEMPORARY:
                raise
            if connection.connected and silent_s >= give_up_after_s:
                raise
            if silent_s >= _TOLD_AFTER_S:
                report_silence(connection, silent_s, error)
        # A broker that is starting sends no signal when it is ready, so we pause and ask again.
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if connection.connected:
            silent_s += time.monotonic() - asked_at
