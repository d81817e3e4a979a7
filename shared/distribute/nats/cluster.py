"""`ports.Cluster` on NATS: one connection, and the log, store and messages that use it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from distribute.core.errors import DistributeError
from distribute.nats.client.connect import ANYBODY, Address, connect
from distribute.nats.client.connection import Connection
from distribute.nats.client.outage import Peer
from distribute.nats.stream.layout import LAYOUT
from distribute.nats.stream.provision import check_layout, provision
from distribute.nats.stream.queries import Queries

if TYPE_CHECKING:
    from distribute.nats.objects.store import JetStreamStore
    from distribute.nats.stream.beats import JetStreamBeats
    from distribute.nats.stream.durable import JetStreamDelivery
    from distribute.nats.stream.live import JetStreamLiveOutput
    from distribute.nats.stream.log import JetStreamLog
    from distribute.ports import Only
    from distribute.whole_log import WholeLog


_log = logging.getLogger(__name__)


class Cluster:
    """`ports.Cluster` on one connection. Imports each part on first use: a query needs no event classes."""

    layout = LAYOUT

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._provisioning: asyncio.Task[None] | None = None

    @property
    def connection(self) -> Connection:
        """The connection all parts share."""
        return self._connection

    @property
    def connected(self) -> bool:
        """True while the broker is reachable, as far as this connection knows."""
        return self._connection.connected

    def on_return(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after each reconnect. Returns a function that ends this."""
        return self._connection.on_return(callback)

    @cached_property
    def log(self) -> WholeLog:
        """The events."""
        from distribute.whole_log import WholeLog

        return WholeLog(self.stream, lambda: self.store)

    @cached_property
    def stream(self) -> JetStreamLog:
        """The events that the stream has: without those that were compacted out of it."""
        from distribute.nats.stream.log import JetStreamLog
        from distribute.nats.stream.publisher import Publisher

        return JetStreamLog(self._connection, Publisher(self._connection))

    @cached_property
    def beats(self) -> JetStreamBeats:
        """The heartbeats."""
        from distribute.nats.stream.beats import JetStreamBeats

        return JetStreamBeats(self._connection)

    @cached_property
    def live(self) -> JetStreamLiveOutput:
        """What running jobs print."""
        from distribute.nats.stream.live import JetStreamLiveOutput

        return JetStreamLiveOutput(self._connection)

    @cached_property
    def queries(self) -> Queries:
        """Questions to the services."""
        return Queries(self._connection)

    @cached_property
    def store(self) -> JetStreamStore:
        """The files."""
        from distribute.nats.objects.store import JetStreamStore

        return JetStreamStore(self._connection)

    def durable(self, name: str, only: Only | None = None) -> AsyncGenerator[JetStreamDelivery, None]:
        """As `ports.Cluster.durable`."""
        return self.stream.durable(name) if only is None else self.stream.durable(name, only)

    def provision_again(self) -> None:
        """Create again the streams that the broker has lost while it was away."""
        if self._provisioning is None or self._provisioning.done():
            self._provisioning = asyncio.create_task(self._provision(), name="provision again")

    async def _provision(self) -> None:
        try:
            await provision(self._connection)
        except DistributeError as error:
            # A reader or writer that needs a missing stream reports it, too.
            _log.warning("the cluster could not be provisioned again: %s", error)

    async def close(self) -> None:
        """Cancel what is under way, and disconnect."""
        if self._provisioning is not None:
            self._provisioning.cancel()
            await asyncio.wait({self._provisioning})
        # Parts that were never used do not exist.
        if "stream" in self.__dict__:
            await self.stream.close()
        if "store" in self.__dict__:
            await self.store.close()
        await self._connection.close()


@asynccontextmanager
async def open_cluster(
    address: Address,
    name: str,
    *,
    timeout_s: float | None = 5.0,
    provisioning: bool = False,
    peer: Peer = ANYBODY,
) -> AsyncIterator[Cluster]:
    """The cluster at an address, for as long as the context lasts. `name` is shown by the broker.
    `peer` is the broker in the words of our log.

    `provisioning`: create missing streams, at the start and after each reconnect, and migrate an older
    cluster to our layout. Without it, refuse to work on such a cluster.

    Raises:
        Unreachable: no broker answers within `timeout_s` seconds (None: wait for one).
        Refused: the broker does not let us in, holds no cluster, or one with another layout.
        InputError: the credentials can't be read.
        StorageFull: there is no room to provision it.
    """
    connection = await connect(address, name, timeout_s=timeout_s, peer=peer)
    cluster = Cluster(connection)
    try:
        if provisioning:
            await provision(connection)
            connection.on_return(cluster.provision_again)
        else:
            await check_layout(connection)
        yield cluster
    finally:
        await cluster.close()
