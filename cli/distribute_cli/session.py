"""What a verb is given: where the cluster is, how to answer, and who asks."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from distribute.config.settings import ClientSettings
    from distribute.config.where import ServerAddress
    from distribute.ports import Cluster
    from distribute_cli.output import Output


@dataclass(frozen=True, slots=True)
class Where:
    """What the command line says of the cluster's address. All None: look in the usual places."""

    server: str | None = None
    creds: Path | None = None
    ip: str | None = None
    port: int | None = None


class Stamp(TypedDict):
    """What every event carries: its id, its author's clock, its author."""

    id: str
    time: datetime
    author: str


class Session:
    """One run of a verb."""

    def __init__(self, where: Where, output: Output) -> None:
        self.where = where
        self.output = output

    def address(self, otherwise: ClientSettings | None = None) -> ServerAddress:
        """Where the cluster is: as the command line says, `otherwise`, or where it is usually found.

        Raises:
            InputError: an address, or the file of credentials, can't be one.
            Unreachable: nobody says.
        """
        from distribute.config.where import resolve_server

        where = self.where
        server, creds = where.server, where.creds
        if otherwise is not None:
            server = server or (otherwise.server if where.ip is None else None)
            creds = creds or otherwise.creds
        return resolve_server(server, creds, where.ip, where.port)

    @asynccontextmanager
    async def cluster(self, *, provisioning: bool = False) -> AsyncIterator[Cluster]:
        """The cluster, connected. `provisioning`: make what it lacks.

        Raises:
            InputError, Unreachable: as `address`, or nothing answers there.
        """
        from distribute.nats.cluster import open_cluster
        from distribute.nats.connect import Address

        found = self.address()
        name = f"distribute of {author()}"
        async with open_cluster(
            Address.of(found.server, found.creds), name, provisioning=provisioning
        ) as cluster:
            yield cluster


def author() -> str:
    """The name under which this person's events are written: that of the login."""
    return getpass.getuser()


def stamp() -> Stamp:
    """The mark of a new event of this person's."""
    from distribute.runtime import new_id

    return Stamp(id=new_id(), time=datetime.now(UTC), author=author())
