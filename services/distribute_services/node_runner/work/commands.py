"""Commands that people run in jobs of this node: what they print goes to whoever asks for it.

Whoever runs a command asks for news of it again and again. A command prints into pipes of a bounded size, so
it waits for a reader who is slow, and nobody else does. If nobody asks any more, it is ended.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Annotated, Generic, Self

from pydantic import Field, TypeAdapter

from distribute.core.errors import DistributeError, Refused
from distribute.core.frozen import LATER
from distribute.core.ids import JobId
from distribute.core.os_words import message_of
from distribute.core.spec.visits import (
    CHUNK_BYTES,
    MAX_PRINTED_BYTES,
    UNASKED_S,
    WAIT_S,
    CommandNews,
    EndCommand,
    ReadCommand,
    StartCommand,
    with_head,
)
from distribute.core.words import format_duration
from distribute.host import Command, Pause, R, Unit, Visits

log = logging.getLogger(__name__)

MAX_COMMANDS = 32
"""Max. commands in jobs of one node at a time."""
GRACE_S = 2.0
"""From SIGTERM to SIGKILL, if this node ends a command."""

_LOOK_S = 1.0
_SIGTERM, _SIGKILL = 15, 9
_MOST_SHOWN = 200
_QUESTIONS: TypeAdapter[StartCommand | ReadCommand | EndCommand] = TypeAdapter(
    Annotated[StartCommand | ReadCommand | EndCommand, Field(discriminator="do")], config=LATER
)


@dataclass(slots=True, eq=False)
class _Run:
    """A command, and what of its output has not arrived yet."""

    command: Command
    limit_s: float
    asked_at: float
    out: bytes = b""
    errors: bytes = b""
    out_at: int = 0
    """So many bytes of the standard output have arrived."""
    errors_at: int = 0
    ran_s: float = 0.0
    reason: str | None = None
    """Why this node ends it."""
    ending_since: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Commands(Generic[R]):
    """The commands in jobs of this node. They end with this context."""

    def __init__(
        self,
        visits: Visits[R],
        find: Callable[[JobId, int], tuple[Unit, R]],
        paused: Callable[[], Pause | None],
    ) -> None:
        self._visits = visits
        self._find = find
        self._paused = paused
        self._runs: dict[str, asyncio.Task[_Run]] = {}
        self._watchers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = {*self._watchers, *self._runs.values()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def answer(self, payload: bytes) -> bytes:
        """Answer a query."""
        match _QUESTIONS.validate_json(payload):
            case StartCommand() as asked:
                if asked.id not in self._runs:
                    self._runs[asked.id] = asyncio.create_task(self._start(asked), name="start a command")
                await asyncio.shield(self._runs[asked.id])
                return b"{}"
            case ReadCommand() as asked:
                return await self._news(await self._run(asked.id), asked)
            case EndCommand() as asked:
                (await self._run(asked.id)).command.signal(asked.signal)
                return b"{}"

    async def _run(self, number: str) -> _Run:
        if number not in self._runs:
            raise Refused("the command is gone: its node-runner was started again, or nobody asked for news")
        return await asyncio.shield(self._runs[number])

    async def _start(self, asked: StartCommand) -> _Run:
        try:
            _refuse_more_than(MAX_COMMANDS, len(self._runs))
            unit, running = self._find(asked.of, asked.attempt)
            shown = shlex.join(asked.argv)
            log.info("%s runs a command in %s: %.*s", asked.by, asked.of, _MOST_SHOWN, ascii(shown)[1:-1])
            command = await self._visits.start_command(unit, running, asked.argv)
        except BaseException:
            del self._runs[asked.id]
            raise
        run = _Run(command, asked.limit_s, asyncio.get_running_loop().time())
        watcher = asyncio.create_task(self._watch(asked.id, run), name="watch a command")
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return run

    async def _watch(self, number: str, run: _Run) -> None:
        """End a command that nobody asks for, or that runs for too long. Forget it after its end."""
        loop = asyncio.get_running_loop()
        ended = asyncio.ensure_future(run.command.ended())
        try:
            while not ended.done():
                before = loop.time()
                await asyncio.wait({ended}, timeout=_LOOK_S)
                self._look(run, loop.time() - before, loop.time())
            await self._unasked(run)
        finally:
            if not ended.done():
                run.command.signal(_SIGKILL)
                ended.cancel()
            elif not ended.cancelled():
                ended.exception()  # who asks is told of it
            run.command.close()
            del self._runs[number]

    async def _unasked(self, run: _Run) -> None:
        """Wait until nobody has asked for so long that nobody will: an answer may have been lost."""
        now = asyncio.get_running_loop().time()
        while run.asked_at + UNASKED_S > now:
            await asyncio.sleep(run.asked_at + UNASKED_S - now)
            now = asyncio.get_running_loop().time()

    def _look(self, run: _Run, since_s: float, now: float) -> None:
        if self._paused() is None:
            run.ran_s += since_s
        if run.reason is not None:
            if now - run.ending_since >= GRACE_S:
                run.command.signal(_SIGKILL)
        elif now - run.asked_at > UNASKED_S:
            self._end(run, "nobody asked for news of it")
        elif run.ran_s > run.limit_s:
            self._end(run, f"it ran for longer than {format_duration(run.limit_s)}")

    def _end(self, run: _Run, reason: str) -> None:
        run.reason, run.ending_since = reason, asyncio.get_running_loop().time()
        run.command.signal(_SIGTERM)

    async def _news(self, run: _Run, asked: ReadCommand) -> bytes:
        run.asked_at = asyncio.get_running_loop().time()
        async with run.lock:
            self._arrived(run, asked)
            news = CommandNews(out=0, err=0)
            if not run.out and not run.errors:
                news = await self._wait(run, asked.room)
            out = run.out[: asked.room]
            errors = run.errors[: asked.room - len(out)]
            pause = self._paused()
            news = news.model_copy(
                update={
                    "out": len(out),
                    "err": len(errors),
                    "reason": run.reason,
                    "paused_until": pause.until if pause is not None else None,
                    "paused_by": pause.by if pause is not None else None,
                }
            )
            return with_head(news, out, errors)

    def _arrived(self, run: _Run, asked: ReadCommand) -> None:
        """Drop what has arrived."""
        out, errors = asked.out - run.out_at, asked.err - run.errors_at
        if not (0 <= out <= len(run.out) and 0 <= errors <= len(run.errors)):
            raise ValueError("more output has arrived than was sent")
        run.out, run.errors = run.out[out:], run.errors[errors:]
        run.out_at, run.errors_at = asked.out, asked.err

    async def _wait(self, run: _Run, room: int) -> CommandNews:
        """Wait for output or the end, but not for long: whoever asks wants to know that we are there."""
        if not room:
            return CommandNews(out=0, err=0)
        try:
            async with asyncio.timeout(WAIT_S):
                run.out, run.errors = await run.command.printed(min(room, CHUNK_BYTES))
                if run.out or run.errors:
                    self._count(run)
                    return CommandNews(out=0, err=0)
                code, signal = await run.command.ended()
        except TimeoutError:
            return CommandNews(out=0, err=0)
        except (DistributeError, OSError) as error:
            run.reason = message_of(error)
            return CommandNews(out=0, err=0, is_over=True)
        return CommandNews(out=0, err=0, is_over=True, exit_code=code, signal=signal)

    def _count(self, run: _Run) -> None:
        printed = run.out_at + run.errors_at + len(run.out) + len(run.errors)
        if printed > MAX_PRINTED_BYTES and run.reason is None:
            self._end(run, f"it printed more than {MAX_PRINTED_BYTES >> 20} MiB")


def _refuse_more_than(most: int, count: int) -> None:
    if count > most:
        raise Refused(f"{most} commands run in jobs of this node already: try again later")
