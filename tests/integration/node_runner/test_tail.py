"""The output of running jobs is sent live, within bounds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distribute.core.errors import Unreachable
from distribute.core.ids import BuildId, JobId
from distribute_services.node_runner.host import tail as tail_module
from distribute_services.node_runner.host.tail import MAX_BYTES, Tail

JOB = JobId("lab", "sweep", "job")


class Recorder:
    """A `LiveOutput` that records what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.something = asyncio.Event()

    async def send(self, of: JobId | BuildId, attempt: int, text: bytes) -> None:
        assert (of, attempt) == (JOB, 1)
        self.sent.append(text)
        self.something.set()

    def follow(self, of: JobId | BuildId, attempt: int, *, since: float = 0.0) -> AsyncIterator[bytes]:
        raise AssertionError("this test has no reader")

    async def called(self) -> None:
        await asyncio.wait_for(self.something.wait(), 60)
        self.something.clear()

    async def next(self) -> bytes:
        await self.called()
        return self.sent[-1]


@pytest.fixture
def stdout(tmp_path: Path) -> Path:
    return tmp_path / "stdout"


def print_to(stdout: Path, text: bytes) -> None:
    with stdout.open("ab") as file:
        file.write(text)


def is_open(path: Path) -> bool:
    """Has this process opened a file?"""
    fds = os.listdir("/proc/self/fd")  # noqa: PTH208
    return any(os.path.realpath(f"/proc/self/fd/{fd}") == str(path) for fd in fds)


async def test_output_is_sent_until_the_job_ends(stdout: Path) -> None:
    live = Recorder()
    tail = Tail(live, interval_s=0.02)
    file = tail.add(JOB, 1, stdout)
    for text in (b"first\n", b"second, unfinished", b" line\n"):
        print_to(stdout, text)
        assert await live.next() == text
    print_to(stdout, b"last words")
    stdout.unlink()
    await tail.finish(file)
    assert b"".join(live.sent) == b"first\nsecond, unfinished line\nlast words"


async def test_an_idle_tail_has_no_task_and_no_open_file(stdout: Path) -> None:
    live = Recorder()
    tail = Tail(live, interval_s=0.01)
    tasks = asyncio.all_tasks()
    file = tail.add(JOB, 1, stdout)
    await tail.finish(file)
    await asyncio.sleep(0.05)
    assert live.sent == []
    assert asyncio.all_tasks() == tasks
    assert not is_open(stdout)
    file = tail.add(JOB, 1, stdout)
    print_to(stdout, b"again")
    assert await live.next() == b"again"
    assert is_open(stdout)
    await tail.close()
    assert not is_open(stdout)


async def test_a_flood_is_cut_short_with_a_note(stdout: Path) -> None:
    live = Recorder()
    tail = Tail(live, interval_s=10)
    file = tail.add(JOB, 1, stdout)
    lines = b"".join(b"line %d\n" % number for number in range(100_000))
    print_to(stdout, lines)
    await tail.finish(file)
    await tail.close()
    (text,) = live.sent
    assert len(text) < MAX_BYTES + 200
    marker, kept = text.lstrip(b"\n").split(b"\n", 1)
    assert lines.endswith(b"\n" + kept)
    assert marker == b"[%d bytes skipped here: the whole output comes with the results]" % (
        len(lines) - len(kept)
    )


async def test_an_output_file_that_the_job_empties_is_read_from_its_new_beginning(stdout: Path) -> None:
    """`echo words > /dev/stderr` in a shell empties it."""
    live = Recorder()
    tail = Tail(live, interval_s=0.02)
    file = tail.add(JOB, 1, stdout)
    print_to(stdout, b"many words before\n")
    assert await live.next() == b"many words before\n"
    stdout.write_bytes(b"few\n")
    assert await live.next() == b"few\n"
    print_to(stdout, b"more\n")
    await tail.finish(file)
    assert live.sent[-1] == b"more\n"


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_job_does_not_wait_for_an_absent_broker(
    stdout: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(tail_module, "SEND_TIMEOUT_S", 0.05)

    class Away(Recorder):
        async def send(self, of: JobId | BuildId, attempt: int, text: bytes) -> None:
            self.something.set()
            if how == "refuses":
                raise Unreachable("no broker")
            await asyncio.Event().wait()

    live = Away()
    tail = Tail(live, interval_s=0.01)
    file = tail.add(JOB, 1, stdout)
    print_to(stdout, b"one")
    await live.called()
    print_to(stdout, b"two")
    await asyncio.wait_for(tail.finish(file), 60)
    await tail.close()


async def test_the_next_runner_sends_what_was_printed_while_none_lived(stdout: Path) -> None:
    killed, live = Recorder(), Recorder()
    tail = Tail(killed, interval_s=0.02)
    tail.add(JOB, 1, stdout)
    print_to(stdout, b"first\n")
    assert await killed.next() == b"first\n"
    await asyncio.sleep(0.02)
    await tail.close()  # as if it were killed
    print_to(stdout, b"second\n")
    tail = Tail(live, interval_s=0.02)
    file = tail.add(JOB, 1, stdout, goes_on=True)
    assert await live.next() == b"second\n"
    print_to(stdout, b"third\n")
    await tail.finish(file)
    assert live.sent == [b"second\n", b"third\n"]


async def test_all_is_sent_of_an_output_that_the_killed_runner_had_not_begun_to_send(stdout: Path) -> None:
    live = Recorder()
    print_to(stdout, b"first\n")
    tail = Tail(live, interval_s=0.02)
    file = tail.add(JOB, 1, stdout, goes_on=True)
    await tail.finish(file)
    assert live.sent == [b"first\n"]
