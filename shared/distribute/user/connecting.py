"""Opening the cluster of a Python program: found as the command line finds it."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.client.nearest import with_nearest
from distribute.client.person import user_name
from distribute.client.queries import Behind, Queries
from distribute.config.settings.where import resolve_server
from distribute.core.errors import UnknownName
from distribute.nats.client.connect import Address
from distribute.nats.cluster import open_cluster

if TYPE_CHECKING:
    from distribute.ports import Cluster


@dataclass(frozen=True, slots=True)
class Where:
    """A cluster's address and credentials. None: look in the usual places."""

    server: str | None = None
    creds: Path | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Cluster]:
        """Connect to the cluster. An `UnknownName` raised in the block gets the name that was probably meant.

        Raises:
            InputError: the address is not valid, or the credentials can't be read.
            Unreachable: no place says where the cluster is, or no broker answers there.
        """
        found = resolve_server(self.server, self.creds)
        address = Address.of(found.server, found.creds, found.source)
        async with open_cluster(address, f"distribute of {user_name()}") as cluster:
            try:
                yield cluster
            except UnknownName as error:
                raise await with_nearest(cluster, error) from error


def queries_to(cluster: Cluster) -> Queries:
    """Queries to a cluster. They warn if the scheduler is so far behind that an answer may lack something."""

    def warn(behind: Behind) -> None:
        warnings.warn(str(behind), stacklevel=2)

    return Queries(cluster, on_behind=warn)
