"""Answer people who look into jobs that run on this node: list their files, and read them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Generic

from pydantic import Field, TypeAdapter, ValidationError

from distribute.core.errors import DistributeError, Refused
from distribute.core.frozen import LATER
from distribute.core.ids import JobId
from distribute.core.os_words import message_of
from distribute.core.spec.visits import COMMANDS, FILES, FilesRead, ListFiles, ReadFiles, with_head
from distribute.host import P, R, Unit, Visits
from distribute.ports import Handler, Queries
from distribute_services.node_runner.work.commands import MAX_COMMANDS, Commands

FILES_AT_WORK = 4
"""Max. queries for files that are answered at a time: the others wait."""

Find = Callable[[JobId, int], tuple[Unit, R]]
"""Finds an attempt that runs here. Raises `Refused` if it does not."""

_FILES: TypeAdapter[ListFiles | ReadFiles] = TypeAdapter(
    Annotated[ListFiles | ReadFiles, Field(discriminator="do")], config=LATER
)


class Answers(Generic[P, R]):
    """This node's answers about jobs that run here."""

    def __init__(self, node: str, visits: Visits[R], find: Find[R], commands: Commands[R]) -> None:
        self._node = node
        self._visits = visits
        self._find = find
        self._commands = commands

    @asynccontextmanager
    async def given(self, queries: Queries) -> AsyncIterator[None]:
        """Answer while the context lasts. At its end, the commands end."""
        files, commands = _safely(self._of_files), _safely(self._commands.answer)
        async with (
            queries.serving(FILES, files, node=self._node, at_work=FILES_AT_WORK),
            queries.serving(COMMANDS, commands, node=self._node, at_work=2 * MAX_COMMANDS),
            self._commands,
        ):
            yield

    async def _of_files(self, payload: bytes) -> bytes:
        match _FILES.validate_json(payload):
            case ListFiles() as asked:
                _, running = self._find(asked.of, asked.attempt)
                found = await self._visits.list_files(running, asked.folder)
                return found.model_dump_json().encode()
            case ReadFiles() as asked:
                _, running = self._find(asked.of, asked.attempt)
                got, data = await self._visits.read_files(running, asked.pieces)
                return with_head(FilesRead(got=tuple(got)), *data)


def _safely(handler: Handler) -> Handler:
    """The same handler; its failures are for the person who asks."""

    async def handle(payload: bytes) -> bytes:
        try:
            return await handler(payload)
        except ValidationError as error:
            raise Refused(f"this node does not understand the query: {error.errors()[0]['msg']}") from error
        except (DistributeError, OSError, ValueError) as error:
            raise Refused(message_of(error)) from error

    return handle
