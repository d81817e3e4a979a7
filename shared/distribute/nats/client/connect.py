"""The address of a cluster, and the first connection to it."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from nats.errors import Error as NatsError
from nats.errors import UnexpectedEOF

from distribute.config.settings.server_url import server_urls, without_password
from distribute.core.errors import InputError, Refused, Unreachable
from distribute.core.ways import Way
from distribute.nats.client.connection import Connection
from distribute.nats.client.outage import Outage, Peer
from distribute.nats.client.patience import report_silence
from distribute.nats.client.unreachable import in_short, is_hopeless, why_unreachable
from distribute.nats.client.wire import Wire

_log = logging.getLogger(__name__)

_RECONNECT_WAIT_S = 0.5
_PING_INTERVAL_S = 10
_MAX_UNANSWERED_PINGS = 2
_CANCEL_AGAIN_S = 0.1
_NOT_LET_IN = (
    "the broker does not let us in; name the file of credentials from your admin as 'creds:' in client.yaml, "
    "or for this once"
)

ANYBODY = Peer()
"""The broker, for a process that knows no more of it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a cluster is: the URLs of its brokers (one is enough) and the credentials file.

    `source` says where the address comes from (a file, a variable, an option); messages name it.
    """

    urls: tuple[str, ...]
    creds: Path | None = None
    source: str = ""

    @classmethod
    def of(cls, servers: str, creds: Path | None = None, source: str = "") -> Address:
        """Parse an address written as `nats://host:port[,nats://host:port...]`.

        Raises:
            InputError: `servers` is not such an address.
        """
        if not servers.strip(" ,"):
            raise InputError("no server is named: write one as nats://HOST:PORT")
        return cls(server_urls(servers, source), creds, source)

    def __str__(self) -> str:
        return ", ".join(without_password(url) for url in self.urls)

    @property
    def with_source(self) -> str:
        """The address and where it comes from: `nats://head:4222 (from client.yaml)`."""
        return f"{self} (from {self.source})" if self.source else str(self)


async def connect(
    address: Address, name: str, *, timeout_s: float | None = 5.0, peer: Peer | None = ANYBODY
) -> Connection:
    """Connect to a cluster. Only this first connection can fail; after a loss, the client reconnects.

    The broker shows `name` in its list of connections. `timeout_s` None: wait until there is a broker.
    `peer` is the broker in the words of our log; None: its outages are not logged.

    Raises:
        Unreachable: no broker answers within `timeout_s` seconds. Raised at once if every broker refuses the
            connection or its host is unknown, unless `timeout_s` is None.
        Refused: the broker does not let us in.
        InputError: the credentials can't be read.
    """
    if address.creds is not None and not address.creds.is_file():
        raise InputError(f"{address.creds}: no such file, so the credentials can't be read")
    opener = _Opener(address, peer)
    try:
        return await opener.open(name, timeout_s)
    except BaseException:
        await opener.wire.close()
        raise


class _Opener:
    """Makes the first connection and receives what nats-py reports afterwards."""

    def __init__(self, address: Address, peer: Peer | None = ANYBODY) -> None:
        self._address = address
        self._outage = Outage(peer, str(address))
        self._last_error: Exception | None = None
        self._tell_waiting = False
        self._refusal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failures: list[Exception] = []
        self._all_failed = asyncio.Event()
        self.wire = Wire(self._denied)
        self._connection: Connection | None = None

    async def open(self, name: str, timeout_s: float | None) -> Connection:
        creds = self._address.creds
        self._tell_waiting = timeout_s is None
        connecting = asyncio.ensure_future(
            self.wire.connect(
                list(self._address.urls),
                name=name,
                error_cb=self._error,
                disconnected_cb=self._disconnected,
                reconnected_cb=self._reconnected,
                reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type]
                max_reconnect_attempts=-1,
                ping_interval=_PING_INTERVAL_S,
                max_outstanding_pings=_MAX_UNANSWERED_PINGS,
                pending_size=0,
                user_credentials=str(creds) if creds is not None else None,
            )
        )
        hopeless = asyncio.ensure_future(
            asyncio.Event().wait() if timeout_s is None else self._all_failed.wait()
        )
        try:
            await asyncio.wait(
                (connecting, self._refusal, hopeless), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if self._refusal.done():
                raise Refused(f"{self._address.with_source}: {_NOT_LET_IN}").with_ways(Way.CREDENTIALS)
            if not connecting.done():
                address, error = self._address.with_source, self._telling
                raise Unreachable(why_unreachable(address, error, timeout_s, reached=self.wire.was_reached))
            connecting.result()
        finally:
            hopeless.cancel()
            # Before Python 3.12, `wait_for` loses a cancellation that comes together with what it waits for.
            while not connecting.done():
                connecting.cancel()
                await asyncio.wait({connecting}, timeout=_CANCEL_AGAIN_S)
            if not connecting.cancelled():
                connecting.exception()  # retrieved, or asyncio would log it; what matters was raised above
        self._outage.ends()
        self._connection = Connection(self.wire, str(self._address), self._outage)
        return self._connection

    @property
    def _telling(self) -> Exception | None:
        """The failure that tells most: the first that another try would not mend."""
        return self._failures[0] if self._failures else self._last_error

    async def _error(self, error: Exception) -> None:
        if self._connection is None and is_hopeless(error):
            if len(self._failures) < len(self._address.urls):
                self._failures.append(error)  # no more: a service tries for days
            if len(self._failures) >= len(self._address.urls):
                self._all_failed.set()
        if (
            isinstance(error, NatsError)
            and "authorization" in str(error).lower()
            and not self._refusal.done()
        ):
            self._refusal.set_result(None)
        self._last_error = error
        if self._tell_waiting and self._connection is None:
            self._tell_waiting = False
            self._outage.begins(time.time(), in_short(error), is_first=True)
            return
        breaks = isinstance(error, OSError | UnexpectedEOF)  # which is logged as an outage
        is_news = self._connection is not None and self._connection.connected and not breaks
        _log.log(logging.WARNING if is_news else logging.DEBUG, "%s: %s", self._address, error)

    async def _disconnected(self) -> None:
        if self._connection is None:
            return
        self._connection.went_down()
        if not self.wire.is_closed:
            silent_s = time.time() - self.wire.heard_at if self.wire.is_silent else 0.0
            report_silence(self._connection, silent_s)

    async def _reconnected(self) -> None:
        if self._connection is not None:
            self._connection.came_up()

    def _denied(self, action: str, subject: str) -> None:
        _log.error("%s: the broker forbids: %s %s", self._address, action, subject)
        if self._connection is not None:
            self._connection.denied(action, subject)
