"""Ask logind, or elogind, whether the desktops of this computer are idle: over the system's D-Bus.

https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.login1.html
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from jeepney import DBusAddress, MatchRule, MessageFlag, Properties, message_bus, new_method_call
from jeepney.io.asyncio import DBusRouter, Proxy, open_dbus_connection
from jeepney.io.common import RouterClosed
from jeepney.low_level import Message
from jeepney.wrappers import DBusErrorResponse, unwrap_msg

from distribute_services.node_runner.owner.activity import Desktop

log = logging.getLogger(__name__)

ANSWERS_WITHIN_S = 5.0
ASK_AGAIN_AFTER_S = 60.0
"""logind signals each change, so we ask it only after a signal; and so often in case that we missed one."""

_BUS = "org.freedesktop.login1"
_MANAGER = DBusAddress("/org/freedesktop/login1", _BUS, "org.freedesktop.login1.Manager")
_SIGNALS = MatchRule(type="signal", path_namespace="/org/freedesktop/login1")
_SIGNALS_OF_LOGIND = MatchRule(type="signal", sender=_BUS, path_namespace="/org/freedesktop/login1")
"""What the bus shall deliver. In a delivered signal, it names the sender by a number."""
_GRAPHICAL = frozenset({"x11", "wayland", "mir"})


class Logind:
    """A connection to logind, which opens by itself and again after a failure."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._connection = contextlib.AsyncExitStack()
        self._router: DBusRouter | None = None
        self._signals: asyncio.Queue[Message] = asyncio.Queue(1)
        self._desktops: tuple[Desktop, ...] | None = None
        self._ask_at = -float("inf")

    async def desktops(self) -> tuple[Desktop, ...] | None:
        """The graphical sessions of people at the screens of this computer. None: logind does not answer.

        Costs nothing while nothing changes.
        """
        if self._signals.empty() and self._clock() < self._ask_at:
            return self._desktops
        while not self._signals.empty():
            self._signals.get_nowait()
        self._ask_at = self._clock() + ASK_AGAIN_AFTER_S
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                self._desktops = await self._ask(await self._connected())
        except (OSError, EOFError, KeyError, TimeoutError, RouterClosed, DBusErrorResponse) as error:
            log.debug("logind does not answer: %r", error)
            self._desktops = None
            await self.close()
        return self._desktops

    async def close(self) -> None:
        """Close the connection. The next question opens it again."""
        self._router = None
        with contextlib.suppress(OSError, EOFError):  # the bus closed it first
            await self._connection.aclose()

    async def _connected(self) -> DBusRouter:
        if self._router is None:
            connection = await open_dbus_connection("SYSTEM")
            self._connection.push_async_callback(connection.close)
            router = await self._connection.enter_async_context(DBusRouter(connection))
            await Proxy(message_bus, router).AddMatch(_SIGNALS_OF_LOGIND)
            self._connection.enter_context(router.filter(_SIGNALS, queue=self._signals))
            self._router = router
        return self._router

    async def _ask(self, router: DBusRouter) -> tuple[Desktop, ...]:
        (sessions,) = await _call(router, new_method_call(_MANAGER, "ListSessions"))
        found = []
        for _id, _uid, _user, seat, path in sessions:
            if not seat:
                continue  # a remote desktop: nobody sits at this computer
            address = DBusAddress(path, _BUS, "org.freedesktop.login1.Session")
            try:
                (properties,) = await _call(router, Properties(address).get_all())
            except DBusErrorResponse:
                continue  # the session ended meanwhile
            if (desktop := _desktop(properties)) is not None:
                found.append(desktop)
        return tuple(found)


def _desktop(properties: dict[str, tuple[str, Any]]) -> Desktop | None:
    """A session as a desktop; None if it is a text console, a login screen, or ending."""
    value = {name: content for name, (_type, content) in properties.items()}
    is_persons = value["Class"].startswith("user") and value["State"] != "closing"
    if value["Type"] not in _GRAPHICAL or not is_persons:
        return None
    since_us = value["IdleSinceHintMonotonic"]
    return Desktop(idle=value["IdleHint"], since=since_us / 1e6 if since_us else None)


async def _call(router: DBusRouter, message: Message) -> tuple[Any, ...]:
    # Don't let the bus start logind: where it does not run, the answer comes at once.
    message.header.flags |= MessageFlag.no_auto_start
    body: tuple[Any, ...] = unwrap_msg(await router.send_and_get_reply(message))
    return body
