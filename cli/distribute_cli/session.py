"""`Session`: a verb's access to the cluster, its form of output, and its user."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from distribute.client.person import this_person
from distribute.client.person import user_name as user_name
from distribute.config.settings.folders import home_expanded
from distribute.core.errors import InputError, UnknownName
from distribute_cli.output.clock import as_of
from distribute_cli.own_log import NO_LOGS, LogOptions
from distribute_cli.pasteable import SAVED

if TYPE_CHECKING:
    from distribute.client.documents import ClusterDocument
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.config.settings.where import NodeFile, ServerAddress
    from distribute.ports import Cluster
    from distribute.saved.log import SavedCluster
    from distribute_cli.output.form import Output


@dataclass(frozen=True, slots=True)
class Where:
    """The cluster's address on the command line. All None: look in the usual places."""

    server: str | None = None
    creds: Path | None = None
    ip: str | None = None
    port: int | None = None
    saved: Path | None = None
    """A saved log, to be read instead of a cluster."""

    @property
    def options(self) -> str:
        """The same for another command line. Empty if the address has a password, which we print nowhere."""
        from distribute.client.words import argument

        if self.saved is not None:
            return f"{SAVED} {argument(str(self.saved))}"
        if "@" in (self.server or ""):
            return ""
        given = {"--server": self.server, "--creds": self.creds, "--ip": self.ip, "--port": self.port}
        return " ".join(
            f"{name} {argument(str(value))}" for name, value in given.items() if value is not None
        )


class Session:
    """One run of a verb.

    `logs` are the options of the whole program that say what is logged where. `reads`: the verb needs no more
    than the log, so a saved one will do.
    """

    def __init__(
        self, where: Where, output: Output, logs: LogOptions = NO_LOGS, *, reads: bool = True
    ) -> None:
        self.where = where
        self._reads = reads
        self.output = output
        self.logs = logs
        self.cluster_name = ""
        """The address of the cluster that was opened last, without a password, as a saved log names it."""
        self._saved_at: float | None = None
        """The time of the last event of the saved log that is read."""

    def address(self, node: NodeFile | None = None, node_creds: Path | None = None) -> ServerAddress:
        """Where the cluster is: as the command line says, or a node's settings, or in the usual places.

        Raises:
            InputError: an address is not valid, or the file of credentials can't be read.
            Unreachable: no place says where it is.
        """
        from distribute.config.settings.where import resolve_server

        where = self.where
        return resolve_server(where.server, where.creds or node_creds, where.ip, where.port, node=node)

    @asynccontextmanager
    async def cluster(
        self, *, provisioning: bool = False, named: Literal["now", "with the answer"] | None = None
    ) -> AsyncIterator[Cluster]:
        """Connect to the cluster. `provisioning`: create the streams that it lacks.

        `named`: when people are told which cluster it is; in JSON, the answer holds it. An
        `UnknownName` raised in the block gets the name that was probably meant.

        Raises:
            InputError, Unreachable: as `address`, or no broker answers there.
        """
        from distribute.collector import collect_garbage_rarely

        collect_garbage_rarely()  # who reads a large batch makes millions of objects that are in no cycles
        if not provisioning and (saved := self._saved_log()) is not None:
            saved_cluster = await self._open_saved(*saved, named)
            with as_of(self._saved_at):
                yield saved_cluster
            return
        found = self.address()
        name = f"distribute of {user_name()}"
        async with open_at(
            found.server, found.creds, name, source=found.source, provisioning=provisioning
        ) as cluster:
            document = cluster_document(found)
            self.cluster_name = document["server"]
            if named is not None:
                self.output.cluster(document, at_once=named == "now")
            try:
                yield cluster
            except UnknownName as error:
                from distribute.client.nearest import with_nearest

                raise await with_nearest(cluster, error) from error

    def _saved_log(self) -> tuple[Path, str] | None:
        """The saved log that is to be read, and what names it; None: a cluster is."""
        where = self.where
        if where.saved is not None:
            if (where.server or where.ip or where.port) is not None:
                raise InputError(
                    "--from reads a file, and --server, --ip and --port name a cluster: give one"
                )
            return where.saved, SAVED
        given = os.environ.get("DISTRIBUTE_FROM")
        if not given or (where.server or where.ip or where.port) is not None:
            return None
        if not self._reads:
            raise InputError(
                f"DISTRIBUTE_FROM: {given} is a saved log, which has events only, and can't be changed; this "
                "needs a cluster: unset DISTRIBUTE_FROM, or name the cluster with --server"
            )
        return home_expanded(Path(given)), "DISTRIBUTE_FROM"

    async def _open_saved(self, path: Path, source: str, named: str | None) -> SavedCluster:
        from distribute.client.words import printable
        from distribute.saved.log import SavedCluster

        cluster = SavedCluster(path)
        self._saved_at = (await cluster.log.end()).time or 0.0
        header = cluster.file.header
        self.cluster_name = header.cluster
        if header.batch is not None:
            only = printable("/".join(header.batch))
            self.output.hint(f"{path} has only {only} and the nodes: what else they ran, it does not tell")
        if named is not None:
            self.output.cluster({"server": str(path), "source": source}, at_once=named == "now")
        return cluster

    def queries(self, cluster: Cluster) -> Queries:
        """Queries to a cluster. If the scheduler doesn't answer, or is behind, print a warning.

        Those to a saved log are as of its last event.
        """
        from distribute.client.queries import Queries

        if self._saved_at is not None:
            from distribute.client.replaying import PastQueries

            return PastQueries(cluster, None, self._saved_at)

        @cache
        def warn() -> None:
            self.output.warn(
                "the scheduler doesn't answer: this is read from the log, and no job starts until it is back"
            )

        return Queries(cluster, warn, on_behind=lambda behind: self.output.warn(str(behind)))

    @property
    def person(self) -> Person:
        """Who runs this program."""
        return this_person()


def cluster_document(found: ServerAddress) -> ClusterDocument:
    """A cluster as people and programs are told of it, without a password."""
    from distribute.nats.client.connect import Address

    return {"server": str(Address.of(found.server)), "source": found.source}


@asynccontextmanager
async def open_at(
    server: str, creds: Path | None, name: str, *, source: str = "", provisioning: bool = False
) -> AsyncIterator[Cluster]:
    """Connect to the cluster at an address, under a name. `source` says where the address comes from.

    Raises:
        InputError, Unreachable: the address is not valid, or no broker answers there.
    """
    from distribute.nats.client.connect import Address
    from distribute.nats.cluster import open_cluster

    async with open_cluster(Address.of(server, creds, source), name, provisioning=provisioning) as cluster:
        yield cluster
