"""Commands in jobs that run: answers that are lost, readers that are slow, and people who go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from client_kit import JANE
from distribute.client.commands import Ended, run_command
from distribute.client.visiting import Visit
from distribute.core.errors import InputError, Refused
from distribute.core.ids import JobId
from distribute.core.spec.visits import COMMANDS, CommandNews, ReadCommand, StartCommand, head_and_body
from distribute.host import Pause
from distribute.memory.queries import MemoryQueries
from distribute.sim.loop import VirtualLoop
from distribute_services.node_runner.work.commands import MAX_COMMANDS, Commands
from distribute_services.node_runner.work.visits import Answers

JOB = JobId("lab", "b", "re100")
VISIT = Visit(JOB, 1, "ws1", "1.0", "jane")
ID = "0123456789ABCDEFGHJKMNPQRS"


class Printer:
    """A command that prints what the test says, into a pipe of four bytes."""

    def __init__(self) -> None:
        self.unprinted = b""
        self.signals: list[int] = []
        self.is_closed = False
        self.obeys = True
        self._news = asyncio.Event()
        self._end: asyncio.Future[tuple[int | None, int | None]] = asyncio.get_running_loop().create_future()

    def print(self, text: bytes) -> None:
        self.unprinted += text
        self._news.set()

    def end(self, code: int | None, signal: int | None = None) -> None:
        if not self._end.done():
            self._end.set_result((code, signal))
        self._news.set()

    async def printed(self, room: int) -> tuple[bytes, bytes]:
        while not self.unprinted and not self._end.done():
            self._news.clear()
            await self._news.wait()
        some, self.unprinted = self.unprinted[: min(room, 4)], self.unprinted[min(room, 4) :]
        return some, b""

    async def ended(self) -> tuple[int | None, int | None]:
        return await asyncio.shield(self._end)

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if self.obeys or number == 9:
            self.end(None, number)

    def close(self) -> None:
        self.is_closed = True


class Job:
    """A node with one job that runs, and the commands in it."""

    def __init__(self) -> None:
        self.printers: list[Printer] = []
        self.started = asyncio.Event()
        self.paused: Pause | None = None
        self.queries = MemoryQueries()

    async def start_command(self, unit: Any, running: Any, argv: Sequence[str]) -> Printer:
        if argv[0] == "no-such":
            raise Refused("no such program")
        self.printers.append(Printer())
        self.started.set()
        return self.printers[-1]

    def find(self, job: JobId, attempt: int) -> tuple[Any, Any]:
        if (job, attempt) != (JOB, 1):
            raise Refused("it does not run here")
        return None, None

    async def start(self, number: str = ID, *argv: str) -> Printer:
        """Start a command."""
        names = {**JOB._asdict(), "attempt": 1}
        asked = StartCommand(**names, id=number, by="jane", argv=argv or ("true",), limit_s=100.0)
        await self.queries.ask(COMMANDS, asked.model_dump_json().encode(), node="ws1")
        return self.printers[-1]

    async def news(self, out: int, room: int = 100) -> tuple[CommandNews, bytes]:
        """Ask for news."""
        asked = ReadCommand(id=ID, out=out, err=0, room=room)
        answer = await self.queries.ask(COMMANDS, asked.model_dump_json().encode(), node="ws1")
        head, body = head_and_body(answer)
        return CommandNews.model_validate_json(head), bytes(body)


@asynccontextmanager
async def job_that_runs() -> AsyncIterator[Job]:
    job = Job()
    visits: Any = job
    commands: Commands[Any] = Commands(visits, job.find, lambda: job.paused)
    answers: Answers[Any, Any] = Answers("ws1", visits, job.find, commands)
    async with answers.given(job.queries):
        yield job
    assert all(printer.is_closed for printer in job.printers)


def in_virtual_time(test: Any) -> Any:
    """Run a test on a loop whose time passes when nothing else happens."""

    def run() -> None:
        loop = VirtualLoop(0)
        try:
            loop.run_until_complete(test())
        finally:
            loop.close()

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def test_an_answer_that_was_lost_comes_again() -> None:
    async with job_that_runs() as job:
        printer = await job.start()
        printer.print(b"abcdefgh")
        assert (await job.news(0))[1] == b"abcd"
        assert (await job.news(0))[1] == b"abcd", "the first answer did not arrive"
        assert (await job.news(2))[1] == b"cd"
        assert (await job.news(4, room=1))[1] == b"e"
        assert (await job.news(5))[1] == b"fgh"
        printer.end(3)
        news, rest = await job.news(8)
        assert (news.is_over, news.exit_code, rest) == (True, 3, b"")
        with pytest.raises(Refused, match="more output has arrived than was sent"):
            await job.news(99)


async def test_a_start_that_comes_twice_starts_one_command() -> None:
    async with job_that_runs() as job:
        await job.start()
        await job.start()
        assert len(job.printers) == 1


async def test_nobody_may_run_too_many_commands() -> None:
    async with job_that_runs() as job:
        for number in range(MAX_COMMANDS):
            await job.start(f"{number:026}")
        with pytest.raises(Refused, match="32 commands run in jobs of this node already"):
            await job.start("Z" * 26)
        job.printers[0].end(0)


async def test_who_starts_nothing_is_told_why_and_may_try_again() -> None:
    async with job_that_runs() as job:
        with pytest.raises(Refused, match="no such program"):
            await job.start(ID, "no-such")
        await job.start(ID)
        with pytest.raises(Refused, match="does not understand"):
            await job.queries.ask(COMMANDS, b'{"do": "dance"}', node="ws1")


@in_virtual_time
async def test_a_command_that_nobody_asks_for_is_ended_and_one_that_is_frozen_is_not() -> None:
    loop = asyncio.get_running_loop()
    async with job_that_runs() as job:
        printer = await job.start()
        printer.obeys = False
        for _ in range(20):
            await job.news(0)
        assert printer.signals == [], "somebody asks, each two seconds"
        began = loop.time()
        await printer.ended()
        assert (printer.signals, 20 < loop.time() - began < 25) == ([15, 9], True)
        news, _ = await job.news(0)
        assert (news.is_over, news.signal, news.reason) == (True, 9, "nobody asked for news of it")
        await asyncio.sleep(21)
        with pytest.raises(Refused, match="the command is gone"):
            await job.news(0)


@in_virtual_time
async def test_a_time_limit_does_not_count_pauses() -> None:
    async with job_that_runs() as job:
        printer = await job.start()
        job.paused = Pause(0.0, "jane", "")
        for _ in range(100):
            news, _ = await job.news(0)
        assert (printer.signals, news.paused_by) == ([], "jane")
        job.paused = None
        while not news.is_over:
            news, _ = await job.news(0)
        assert (printer.signals, news.reason) == ([15], "it ran for longer than 1m40s")


@in_virtual_time
async def test_a_slow_reader_is_waited_for_and_the_command_lives() -> None:
    read: list[bytes] = []
    async with job_that_runs() as job:

        async def write(out: memoryview, errors: memoryview) -> None:
            read.append(bytes(out))
            await asyncio.sleep(60 if len(read) == 1 else 0)

        running = asyncio.create_task(run(job, write))
        await job.started.wait()
        printer = job.printers[0]
        printer.print(b"abcdefghij")
        await asyncio.sleep(50)
        assert (read, printer.unprinted) == ([b"abcd"], b"efghij"), "it waits in its pipe"
        await asyncio.sleep(30)
        assert b"".join(read) == b"abcdefghij"
        printer.end(7)
        assert await running == Ended(7, None, None)


async def run(job: Job, write: Any, *argv: str) -> Ended:
    cluster: Any = job
    queries: Any = Standing()
    return await run_command(cluster, queries, JANE, VISIT, argv or ("true",), write=write)


class Standing:
    """Says that the job runs."""

    async def batch(self, batch: Any, **which: Any) -> Any:
        return {
            "user": "jane",
            "job_list": [{"job": "re100", "state": "running", "node": "ws1", "attempt": 1}],
        }

    async def node(self, name: str) -> Any:
        return {"node": name, "state": "busy", "version": "1.0"}


@in_virtual_time
async def test_who_presses_ctrl_c_interrupts_the_command() -> None:
    async def write(out: memoryview, errors: memoryview) -> None: ...

    async with job_that_runs() as job:
        running = asyncio.create_task(run(job, write))
        await job.started.wait()
        await asyncio.sleep(5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert job.printers[0].signals == [2]


async def test_what_can_not_be_sent_is_refused_at_once() -> None:
    async def write(out: memoryview, errors: memoryview) -> None: ...

    async with job_that_runs() as job:
        with pytest.raises(InputError, match="not valid Unicode"):
            await run(job, write, "cat", "\udcff")
        assert job.printers == []
