"""Open this computer as a host."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Self

from distribute.core.errors import InputError
from distribute.core.words import format_size
from distribute.ports import Cluster
from distribute_services.node_runner.disk.own_folder import OwnFolder
from distribute_services.node_runner.host.computer import Computer
from distribute_services.node_runner.host.keeping import Keeping
from distribute_services.node_runner.host.lending import Lent
from distribute_services.node_runner.host.link import Link
from distribute_services.node_runner.options import Options


class Standby:
    """A node whose cluster may not answer yet. The context locks its working folder.

    It is the runner of the keepers that live there, so that they end no job as unseen, however long that
    takes.
    """

    def __init__(self, options: Options) -> None:
        self.folder = OwnFolder(options.work_dir)
        self._options = options
        self._links: list[Link] = []

    async def __aenter__(self) -> Self:
        """Raises `InputError` if another runner works in the folder, or it can't be used."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.folder)
            _check_disk(self._options)
            self._links = await Keeping(self.folder.path / "keeper", self._options.for_keeper).living()
            stack.pop_all()
        return self

    def over(self) -> None:
        """Leave the keepers: somebody else is their runner now."""
        for link in self._links:
            link.close()
        self._links.clear()

    async def __aexit__(self, *error: object) -> None:
        self.over()
        self.folder.__exit__(None, None, None)


@contextlib.asynccontextmanager
async def open_computer(
    options: Options, standby: Standby, lent: Lent, cluster: Cluster
) -> AsyncIterator[Computer]:
    """Open this computer as a host. Ends the standby."""
    computer = Computer(options, standby.folder, lent, cluster)
    await computer.open()
    standby.over()
    try:
        yield computer
    finally:
        await computer.close()


def _check_disk(options: Options) -> None:
    """Raises `InputError` if the disk can never have so much free."""
    has_bytes = shutil.disk_usage(options.work_dir).total
    if (wanted := options.keep_free_bytes or 0) >= has_bytes:
        raise InputError(
            f"keep_free: {format_size(wanted)} is too much: the disk of {options.work_dir} has "
            f"{format_size(has_bytes)} in all; write less, or nothing for what suits it"
        )
