"""Messages in encrypted rooms: readable where we can encrypt, refused where we can't."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nio import AsyncClient, AsyncClientConfig, RoomMessageText

from distribute_services.notifier.channel import Undeliverable
from distribute_services.notifier.channels.matrix.channel import MatrixChannel
from distribute_services.notifier.checking import checked
from matrix_kit import PASSWORD, MatrixPerson, Synapse, message

OpenChannel = Callable[..., MatrixChannel]


class Device:
    """A device of a person that can decrypt."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.read: list[str] = []
        client.add_event_callback(self._note, RoomMessageText)

    async def _note(self, _room: object, event: RoomMessageText) -> None:
        if event.decrypted:
            self.read.append(event.body)

    async def sync(self) -> list[str]:
        """Send its keys if it must, and read: all encrypted messages since it is there, as plain texts."""
        await self.client.sync(timeout=1000)
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        return self.read


@pytest.fixture
def jane(synapse: Synapse) -> MatrixPerson:
    return synapse.new_person()


@asynccontextmanager
async def new_device(person: MatrixPerson, name: str, folder: Path) -> AsyncIterator[Device]:
    """A new device of a person, which has told the homeserver its keys."""
    folder.mkdir()
    config = AsyncClientConfig(encryption_enabled=True)
    client = AsyncClient(person.url, person.id, name, store_path=str(folder), config=config)
    await client.login(PASSWORD)
    try:
        device = Device(client)
        await device.sync()
        yield device
    finally:
        await client.close()


@pytest.fixture
async def phone(jane: MatrixPerson, tmp_path: Path) -> AsyncIterator[Device]:
    """A device of Jane's."""
    async with new_device(jane, "PHONE", tmp_path / "phone") as device:
        yield device


async def test_a_new_room_is_encrypted_where_we_can_do_that(
    open_channel: OpenChannel, jane: MatrixPerson, phone: Device
) -> None:
    channel = open_channel(encrypts=True)
    await channel.send(message(jane, "k1", "before she joined"))
    room = jane.accept()
    await phone.sync()
    await channel.send(message(jane, "k2", "after it"))
    await open_channel(encrypts=True).send(message(jane, "k3", "after a start"))
    assert await phone.sync() == ["before she joined", "after it", "after a start"]
    assert jane.events(room) == []
    assert len(jane.events(room, "m.room.encrypted")) == 3


async def test_a_repeated_encrypted_message_arrives_once(
    open_channel: OpenChannel, jane: MatrixPerson, phone: Device
) -> None:
    for _ in range(2):
        await open_channel(encrypts=True).send(message(jane))
    room = jane.accept()
    await phone.sync()
    assert len(jane.events(room, "m.room.encrypted")) == 1


async def test_a_message_can_be_read_after_the_login_was_ended(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson, phone: Device
) -> None:
    channel = open_channel(encrypts=True)
    await channel.send(message(jane, "k1", "one"))
    jane.accept()
    await phone.sync()
    notifying.ask("POST", "/logout/all", {})
    await channel.send(message(jane, "k2", "two"))
    assert await phone.sync() == ["one", "two"]


async def test_a_device_that_is_new_reads_what_comes_after_it(
    open_channel: OpenChannel, jane: MatrixPerson, phone: Device, tmp_path: Path
) -> None:
    channel = open_channel(encrypts=True)
    await channel.send(message(jane, "k1", "one"))
    jane.accept()
    async with new_device(jane, "TABLET", tmp_path / "tablet") as tablet:
        await channel.send(message(jane, "k2", "two"))
        assert await tablet.sync() == ["two"]
    assert await phone.sync() == ["one", "two"]


async def test_where_we_can_encrypt_a_room_without_it_is_used_as_well(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    room = jane.make_room(notifying.id)
    await open_channel(encrypts=True).send(message(jane, plain="hello"))
    assert jane.texts(room) == ["hello"]


async def test_no_clear_text_is_sent_to_an_encrypted_room(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    """Nor to a new room, instead."""
    room = jane.make_room(notifying.id, is_encrypted=True)
    with pytest.raises(Undeliverable, match=r"is encrypted, .*distribute-lab\[encryption\]"):
        await open_channel(encrypts=False).send(message(jane))
    assert jane.events(room) == []
    assert jane.invitations() == []


async def test_a_look_at_the_channel_tells_that_it_cannot_encrypt(open_channel: OpenChannel) -> None:
    found = await checked(open_channel(encrypts=False))
    assert found.problem is None
    assert ["distribute-lab[encryption]" in limit for limit in found.limits] == [True]
    assert (await checked(open_channel(encrypts=True))).limits == ()


async def test_a_room_that_is_not_encrypted_is_preferred_where_we_cannot_encrypt(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    channel = open_channel(encrypts=False)
    encrypted = jane.make_room(notifying.id, is_encrypted=True)
    with pytest.raises(Undeliverable, match="is encrypted"):
        await channel.send(message(jane, "k1", "one"))
    clear = jane.make_room(notifying.id)
    await channel.send(message(jane, "k1", "one"))
    assert jane.texts(clear) == ["one"]
    assert jane.events(encrypted) == []


async def test_a_room_that_becomes_encrypted_gets_no_clear_text(
    open_channel: OpenChannel, jane: MatrixPerson
) -> None:
    channel = open_channel(encrypts=False)
    await channel.send(message(jane, "k1", "clear"))
    room = jane.accept()
    algorithm = {"algorithm": "m.megolm.v1.aes-sha2"}
    jane.ask("PUT", f"/rooms/{room}/state/m.room.encryption", algorithm)
    with pytest.raises(Undeliverable, match="is encrypted"):
        await channel.send(message(jane, "k2", "not clear"))
    assert jane.texts(room) == ["clear"]


def test_the_channel_is_imported_without_the_library() -> None:
    """Only the notifier pays for it, when it connects."""
    program = (
        "import sys, distribute_services.notifier.channels.matrix.channel; sys.exit('nio' in sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
