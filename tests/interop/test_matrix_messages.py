"""Messages reach a Matrix user: a real Synapse takes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from distribute.core.errors import InputError
from distribute_services.notifier import checking, opening
from distribute_services.notifier.channel import Unavailable, Undeliverable
from distribute_services.notifier.channels.matrix.channel import MatrixChannel
from matrix_kit import PATIENCE_S, MatrixPerson, Synapse, message, running_synapse

OpenChannel = Callable[..., MatrixChannel]


@pytest.fixture
def jane(synapse: Synapse) -> MatrixPerson:
    return synapse.new_person()


async def test_a_message_has_a_plain_and_a_formatted_body(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    await open_channel().send(message(jane, plain="3 of 3 succeeded"))
    (event,) = jane.events(jane.accept())
    assert event["sender"] == notifying.id
    assert event["content"] == {
        "msgtype": "m.text",
        "body": "3 of 3 succeeded",
        "format": "org.matrix.custom.html",
        "formatted_body": "<p><strong>3 of 3 succeeded</strong></p>",
    }


async def test_the_next_message_goes_to_the_same_room(open_channel: OpenChannel, jane: MatrixPerson) -> None:
    """Whether the invitation was accepted meanwhile or not, and over a start."""
    await open_channel().send(message(jane, "k1", "one"))
    await open_channel().send(message(jane, "k2", "two"))
    room = jane.accept()
    await open_channel().send(message(jane, "k3", "three"))
    assert jane.texts(room) == ["one", "two", "three"]
    assert jane.rooms() == [room]


async def test_a_repeated_message_arrives_once(open_channel: OpenChannel, jane: MatrixPerson) -> None:
    channel = open_channel()
    await channel.send(message(jane))
    await channel.send(message(jane))
    await open_channel().send(message(jane))
    assert len(jane.texts(jane.accept())) == 1


async def test_a_repeated_message_arrives_once_over_a_start_of_the_homeserver(tmp_path: Path) -> None:
    (tmp_path / "synapse").mkdir()
    with running_synapse(tmp_path / "synapse") as synapse:
        notifying, jane = synapse.new_person(), synapse.new_person()
        port = int(synapse.url.rpartition(":")[2])
        channel = MatrixChannel(synapse.account(notifying), tmp_path, tmp_path / "matrix", encrypts=False)
        await channel.send(message(jane))
    try:
        with pytest.raises(Unavailable, match="can't be reached"):
            await channel.send(message(jane))
        with running_synapse(tmp_path / "synapse", port):
            await channel.send(message(jane))
            assert len(jane.texts(jane.accept())) == 1
    finally:
        await channel.close()


async def test_only_the_owner_may_read_the_device(
    open_channel: OpenChannel, jane: MatrixPerson, tmp_path: Path
) -> None:
    await open_channel().send(message(jane))
    assert (tmp_path / "matrix").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "matrix" / "device.json").stat().st_mode & 0o777 == 0o600


async def test_the_notifier_logs_in_again_when_its_login_was_ended(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    """Under the same device, so that a repeated message is still discarded."""
    channel = open_channel()
    await channel.send(message(jane))
    before = notifying.ask("GET", "/devices")["devices"]
    notifying.ask("POST", "/logout/all", {})
    await channel.send(message(jane))
    await channel.send(message(jane, "k2", "two"))
    assert jane.texts(jane.accept()) == ["jane/k: 3 of 3 succeeded", "two"]
    assert any(device["device_id"].startswith("DISTRIBUTE") for device in before)


async def test_a_wrong_password_names_the_file_and_the_key(
    open_channel: OpenChannel, jane: MatrixPerson
) -> None:
    channel = open_channel(matrix_password="wrong")
    with pytest.raises(InputError, match=r"^matrix\.yaml: http\S+ refuses 'matrix_password' for"):
        await channel.check()
    with pytest.raises(Unavailable, match=r"^matrix\.yaml: .*'matrix_password'") as raised:
        await channel.send(message(jane))
    assert raised.value.retry_after_s is not None


async def test_a_wrong_password_is_said_at_the_start(
    synapse: Synapse,
    notifying: MatrixPerson,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(checking, "CHECK_WITHIN_S", PATIENCE_S)
    file = tmp_path / "matrix.yaml"
    account = synapse.account(notifying).model_copy(update={"matrix_password": "wrong"})
    file.write_text(account.model_dump_json())
    for channel in await opening.open_channels(None, file, tmp_path):
        await channel.close()
    assert "no message by matrix can be sent: " in caplog.text
    assert f"matrix.yaml: {synapse.url} refuses 'matrix_password' for the 'matrix_username'" in caplog.text


async def test_another_accounts_name_names_the_file_and_the_key(
    open_channel: OpenChannel, jane: MatrixPerson
) -> None:
    channel = open_channel(matrix_id=jane.id)
    for _ in range(2):
        with pytest.raises(InputError, match=r"^matrix\.yaml: 'matrix_id' is '@jane.*are those of '@lab-not"):
            await channel.check()


@pytest.mark.parametrize("user", ["@nobody-at-all:localhost", "jane", "@jane:[oops", "!x"])
async def test_a_user_who_does_not_exist_is_undeliverable(open_channel: OpenChannel, user: str) -> None:
    with pytest.raises(Undeliverable, match=r"no Matrix user|can't be invited"):
        await open_channel().send(message(user))


async def test_how_long_a_message_takes(
    open_channel: OpenChannel, jane: MatrixPerson, record_property: Callable[[str, object], None]
) -> None:
    channel = open_channel()
    began = time.perf_counter()
    await channel.send(message(jane, "first"))
    record_property("first message by Matrix, with login, room and invitation", _since(began))
    room = jane.accept()
    for number in range(3):
        began = time.perf_counter()
        await channel.send(message(jane, f"k{number}", f"message {number}"))
        assert jane.texts(room)[-1] == f"message {number}"
        record_property("a further message by Matrix, until it is read", _since(began))


def _since(began: float) -> str:
    return f"{1000 * (time.perf_counter() - began):.0f} ms"
