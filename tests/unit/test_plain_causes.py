"""Why the system or a broker refuses, in plain words."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from distribute.core.errors import Unreachable
from distribute.core.os_words import cause, message_of, why
from distribute.nats.client.connect import Address, connect
from distribute.nats.client.unreachable import ClosedAtOnce, NotABroker, in_short, why_unreachable
from plain_words import assert_plain

ADDRESS = "nats://h:1 (from client.yaml)"
BOTH_REFUSE = OSError(
    "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), "
    "[Errno 111] Connect call failed ('127.0.0.1', 1)"
)


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_refusal_of_the_system_is_told_without_its_number(number: int) -> None:
    error = OSError(number, os.strerror(number))
    assert_plain(why(error))
    assert_plain(cause(error))
    assert str(number) not in why(error).split()


def test_an_error_of_a_file_names_it() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/out/a")
    assert cause(error) == message_of(error) == "/out/a: the disk is full"
    assert cause(KeyError("a")) == "KeyError: 'a'"
    assert why(OSError()) == "the system does not say why"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), " refused the connection: is `distribute server`"),
        (BOTH_REFUSE, " refused the connection: is `distribute server` running there?"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ": there is no such host; "),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), ": the host's name can't be looked up now"),
        (OSError(errno.ENETUNREACH, "x"), " can't be reached: this computer has no network that leads there"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), ": no encrypted connection could be made"),
        (NotABroker(), ": another program answers there, not a broker"),
        (ClosedAtOnce(), " closes every connection at once"),
        (TimeoutError(), ": no answer within 5 s; is the computer on"),
        (None, ": no answer within 5 s; is the computer on"),
    ],
)
def test_a_broker_out_of_reach_is_told_with_its_cause(error: Exception | None, told: str) -> None:
    said = why_unreachable(ADDRESS, error, 5.0, reached=False)
    assert said.startswith(ADDRESS + told)
    assert_plain(said)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "it refuses the connection"),
        (BOTH_REFUSE, "it refuses the connection"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "there is no such host"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "the host's name can't be looked up now"),
        (OSError(errno.ENETUNREACH, "x"), "this computer has no network that leads there"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "no encrypted connection can be made"),
        (NotABroker(), "no broker answers there"),
        (ClosedAtOnce(), "no broker answers there"),
        (TimeoutError(), "no answer in time"),
    ],
)
def test_the_log_tells_the_cause_in_a_few_words(error: Exception, told: str) -> None:
    assert in_short(error) == told


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(range(256)) * 1000]
)
async def test_a_program_that_is_no_broker_is_recognised_at_once(greeting: bytes) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()

    async with serving(greet) as server:
        with pytest.raises(Unreachable) as caught:
            await connect(Address.of(server), "nobody", timeout_s=600)
    assert str(caught.value).startswith(f"{server}: another program answers there, not a broker")


async def test_a_program_that_hangs_up_is_told_as_that() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Close at once."""

    async with serving(hang_up) as server:
        with pytest.raises(Unreachable) as caught:
            await connect(Address.of(server), "nobody", timeout_s=2)
    assert str(caught.value).startswith(f"{server} closes every connection at once")
