"""A homeserver that is away, slow or in doubt: nothing is lost, and nothing arrives twice."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from distribute_services.notifier.channel import Unavailable
from distribute_services.notifier.channels.matrix import homeserver
from distribute_services.notifier.channels.matrix.channel import MatrixChannel
from infra_kit import ROOT
from matrix_kit import PATIENCE_S, Gate, MatrixPerson, Synapse, message

OpenChannel = Callable[..., MatrixChannel]

SENDS_ONE = """
import asyncio, sys
from pathlib import Path
from distribute.config.settings.matrix_account import MatrixAccount
from distribute_services.notifier.channels.matrix.channel import MatrixChannel
from matrix_kit import message

async def main():
    account, folder, person = MatrixAccount.model_validate_json(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    channel = MatrixChannel(account, Path("matrix.yaml"), folder, encrypts=False)
    await channel.send(message(person))
    await channel.close()

asyncio.run(main())
"""


@pytest.fixture
def jane(synapse: Synapse) -> MatrixPerson:
    return synapse.new_person()


@pytest.mark.parametrize(
    "during", ["/login", "/createRoom", "/account_data/m.direct", "/send/m.room.message/", "/sync"]
)
def test_a_notifier_that_is_killed_before_it_has_the_answer_sends_no_message_twice(
    gate: Gate, synapse: Synapse, jane: MatrixPerson, notifying: MatrixPerson, tmp_path: Path, during: str
) -> None:
    """Whatever the homeserver did last."""
    account = synapse.account(notifying).model_copy(update={"homeserver_url": gate.url})
    words = [account.model_dump_json(), str(tmp_path / "matrix"), jane.id]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-c", SENDS_ONE, *words]
    gate.holds_answer_to = during
    with subprocess.Popen(command, env=env) as sending:
        assert gate.held.wait(PATIENCE_S)
        sending.kill()
    gate.holds_answer_to = None
    for _ in range(2):
        subprocess.run(command, env=env, check=True, timeout=PATIENCE_S)
    assert len(jane.texts(jane.accept())) == 1


async def test_a_refused_connection_is_an_outage(open_channel: OpenChannel, jane: MatrixPerson) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    channel = open_channel(url=url)
    with pytest.raises(Unavailable, match=f"{url} can't be reached"):
        await channel.check()
    with pytest.raises(Unavailable, match=f"{url} can't be reached"):
        await channel.send(message(jane))


@pytest.mark.parametrize("status", [502, 404, 403, 200])
async def test_what_is_no_homeserver_is_an_outage(
    open_channel: OpenChannel, jane: MatrixPerson, gate: Gate, status: int
) -> None:
    """A proxy answers in its place. Afterwards the same channel goes on."""
    channel = open_channel(url=gate.url)
    await channel.send(message(jane, "k1", "one"))
    gate.status = status
    with pytest.raises(Unavailable, match=f"status {status}, not as a homeserver"):
        await channel.send(message(jane, "k2", "two"))
    gate.status = None
    await channel.send(message(jane, "k2", "two"))
    assert jane.texts(jane.accept()) == ["one", "two"]


async def test_an_answer_that_does_not_come_is_an_outage(
    open_channel: OpenChannel, jane: MatrixPerson, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = open_channel(url=gate.url)
    await channel.send(message(jane, "k1", "one"))
    monkeypatch.setattr(homeserver, "ANSWERS_WITHIN_S", 0.5)
    gate.holds_answer_to = "/send/"
    with pytest.raises(Unavailable, match=r"does not answer within 0\.5 s"):
        await channel.send(message(jane, "k2", "two"))
    monkeypatch.undo()
    gate.holds_answer_to = None
    await channel.send(message(jane, "k2", "two"))
    assert jane.texts(jane.accept()) == ["one", "two"]


async def test_a_rate_limit_tells_when_to_try_again(
    open_channel: OpenChannel, synapse: Synapse, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    channel = open_channel()
    await channel.send(message(jane))
    (room,) = notifying.rooms()
    synapse.limit_messages(notifying, per_second=1, burst=1)
    with flooding(notifying, room), pytest.raises(Unavailable, match="more slowly") as raised:
        await _send_many(channel, jane)
    assert raised.value.retry_after_s is not None
    assert 0 < raised.value.retry_after_s <= 2


async def _send_many(channel: MatrixChannel, person: MatrixPerson) -> None:
    for number in range(1000):
        await channel.send(message(person, f"k{number}"))


@contextmanager
def flooding(person: MatrixPerson, room: str) -> Iterator[None]:
    """While the block lasts, the person's account also sends as fast as it may, from another client."""
    over = threading.Event()

    def flood() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            with suppress(urllib.error.HTTPError):  # the limit
                person.ask("PUT", f"/rooms/{quote(room)}/send/m.room.message/{number}", {"body": ""})

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
