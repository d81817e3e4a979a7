"""Running a command in a job that runs, and reading what it prints as it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from distribute.client.visiting import ask_node
from distribute.client.words import printable
from distribute.core.errors import InputError, Refused
from distribute.core.spec.visits import (
    CHUNK_BYTES,
    COMMANDS,
    DEFAULT_LIMIT_S,
    UNASKED_S,
    WAIT_S,
    CommandNews,
    EndCommand,
    ReadCommand,
    StartCommand,
    cut,
    head_and_body,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.client.visiting import Visit
    from distribute.ports import Cluster

SIGINT = 2
_GOODBYE_S = 2.0

Write = Callable[[memoryview, memoryview], Awaitable[None]]
"""Takes what a command printed: to its standard output, and to its errors."""

OnPause = Callable[[CommandNews], None]
"""Is told each time a pause of the node freezes the command, with the job."""


class Ended(NamedTuple):
    """How a command ended: its exit code, or the signal; `reason` says why its node ended it."""

    exit_code: int | None
    signal: int | None
    reason: str | None


async def run_command(
    cluster: Cluster,
    queries: Queries,
    person: Person,
    visit: Visit,
    argv: Sequence[str],
    *,
    write: Write,
    limit_s: float = DEFAULT_LIMIT_S,
    on_pause: OnPause = lambda news: None,
) -> Ended:
    """Run a command in a job, and wait for its end.

    If `write` waits, the command does so, too, once the pipes to it are full. If this is cancelled or fails,
    the command gets SIGINT, as from Ctrl-C.

    Raises:
        InputError: the command can't be sent.
        Refused: the job does not run, or the command can't be started, or its node is gone.
    """
    number = person.new_id()
    names = {**visit.job._asdict(), "attempt": visit.attempt}
    try:
        start = StartCommand(**names, id=number, by=person.name, argv=tuple(argv), limit_s=limit_s)
        start.model_dump_json()
    except (ValidationError, PydanticSerializationError) as error:
        raise InputError("the command can't be sent: it is too long, or not valid Unicode") from error
    reading = _Reading(cluster, queries, visit, number, write, on_pause)
    try:
        await ask_node(cluster, queries, visit, COMMANDS, start)
        return await reading.run()
    except BaseException:
        if not reading.is_over:
            await _say_goodbye(cluster, visit, number)
        raise


class _Reading:
    """Reads what a command prints."""

    def __init__(
        self,
        cluster: Cluster,
        queries: Queries,
        visit: Visit,
        number: str,
        write: Write,
        on_pause: OnPause,
    ) -> None:
        self.is_over = False
        self._cluster = cluster
        self._queries = queries
        self._visit = visit
        self._number = number
        self._write = write
        self._on_pause = on_pause
        self._out = self._errors = 0
        self._paused_until: float | None = None

    async def run(self) -> Ended:
        """Read until its end."""
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                if writing is not None:
                    await asyncio.wait({writing}, timeout=WAIT_S)
                    if writing.done():
                        writing.result()
                        writing = None
                news, out, errors = await self._ask(room=CHUNK_BYTES if writing is None else 0)
                self._mind_a_pause(news)
                if out or errors:
                    writing = asyncio.ensure_future(self._write(out, errors))
                if news.is_over:
                    self.is_over = True
                    return Ended(news.exit_code, news.signal, news.reason)
        finally:
            if writing is not None:
                writing.cancel()

    async def _ask(self, room: int) -> tuple[CommandNews, memoryview, memoryview]:
        question = ReadCommand(id=self._number, out=self._out, err=self._errors, room=room)
        answer = await ask_node(
            self._cluster, self._queries, self._visit, COMMANDS, question, timeout_s=UNASKED_S
        )
        try:
            head, body = head_and_body(answer)
            news = CommandNews.model_validate_json(head)
            out, errors = cut(body, (news.out, news.err))
        except ValueError as error:
            raise Refused(f"{printable(self._visit.node)} answers something else: {error}") from error
        self._out += len(out)
        self._errors += len(errors)
        return news, out, errors

    def _mind_a_pause(self, news: CommandNews) -> None:
        if news.paused_until is not None and news.paused_until != self._paused_until:
            self._on_pause(news)
        self._paused_until = news.paused_until


async def _say_goodbye(cluster: Cluster, visit: Visit, number: str) -> None:
    """End a command that nobody wants any more. If this fails, the node ends it by itself a little later."""
    payload = EndCommand(id=number, signal=SIGINT).model_dump_json().encode()
    with contextlib.suppress(Exception):
        await cluster.queries.ask(COMMANDS, payload, node=visit.node, timeout_s=_GOODBYE_S)
