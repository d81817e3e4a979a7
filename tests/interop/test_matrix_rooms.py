"""The room with a person: found, joined, made; and people who don't want it."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from distribute_services.notifier.channel import Unavailable, Undeliverable
from distribute_services.notifier.channels.matrix.channel import MatrixChannel
from matrix_kit import Gate, MatrixPerson, Synapse, message

OpenChannel = Callable[..., MatrixChannel]


@pytest.fixture
def jane(synapse: Synapse) -> MatrixPerson:
    return synapse.new_person()


async def test_a_chat_that_the_person_began_is_joined(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    room = jane.make_room(notifying.id)
    await open_channel().send(message(jane))
    assert len(jane.texts(room)) == 1
    assert jane.invitations() == []


async def test_the_person_is_invited_to_a_chat(open_channel: OpenChannel, jane: MatrixPerson) -> None:
    """What tells a client to show the room among its chats."""
    await open_channel().send(message(jane))
    (invited,) = jane.sync()["invite"].values()
    (own,) = [event for event in invited["invite_state"]["events"] if event["state_key"] == jane.id]
    assert own["content"]["is_direct"]


async def test_a_room_of_the_two_is_used_though_nothing_lists_it(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    room = notifying.make_room(jane.id)
    await open_channel().send(message(jane))
    assert jane.invitations() == [room]
    direct = notifying.ask("GET", f"/user/{quote(notifying.id)}/account_data/m.direct")
    assert direct == {jane.id: [room]}


async def test_a_room_with_others_is_not_used(
    open_channel: OpenChannel, synapse: Synapse, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    group, john = notifying.make_room(jane.id), synapse.new_person("john")
    notifying.ask("POST", f"/rooms/{quote(group)}/invite", {"user_id": john.id})
    jane.join(group)
    await open_channel().send(message(jane))
    assert len(jane.texts(jane.accept())) == 1
    assert jane.texts(group) == []


async def test_each_person_has_a_room_of_their_own(
    open_channel: OpenChannel, synapse: Synapse, jane: MatrixPerson
) -> None:
    channel, john = open_channel(), synapse.new_person("john")
    await channel.send(message(jane, "k1", "for jane"))
    await channel.send(message(john, "k2", "for john"))
    await channel.send(message(jane, "k3", "for jane, too"))
    assert jane.texts(jane.accept()) == ["for jane", "for jane, too"]
    assert john.texts(john.accept()) == ["for john"]


@pytest.mark.parametrize("accepts_first", [True, False], ids=["left", "declined"])
async def test_who_leaves_is_invited_once_more(
    open_channel: OpenChannel, jane: MatrixPerson, accepts_first: bool
) -> None:
    await open_channel().send(message(jane, "k1"))
    (room,) = jane.invitations()
    if accepts_first:
        jane.join(room)
    jane.leave(room)
    await open_channel().send(message(jane, "k2", "two"))
    assert jane.invitations() == [room]
    jane.leave(room)
    for _ in range(2):
        with pytest.raises(Undeliverable, match=r"left the room with @lab-notify\S+, or declined .* twice"):
            await open_channel().send(message(jane, "k3", "three"))
    assert jane.invitations() == []


async def test_who_left_for_good_can_begin_a_chat(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    channel = open_channel()
    for key in ("k1", "k2"):
        await channel.send(message(jane, key))
        jane.leave(*jane.invitations())
    room = jane.make_room(notifying.id)
    await channel.send(message(jane, "k3", "three"))
    assert jane.texts(room) == ["three"]


async def test_who_removes_the_notifier_from_the_room_is_invited_once_more(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    channel, room = open_channel(), jane.make_room(notifying.id)
    await channel.send(message(jane, "k1"))
    jane.ask("POST", f"/rooms/{quote(room)}/kick", {"user_id": notifying.id})
    await channel.send(message(jane, "k2", "two"))
    again = jane.accept()
    assert jane.texts(again) == ["two"]
    jane.leave(again)
    with pytest.raises(Undeliverable, match="twice"):
        await channel.send(message(jane, "k3"))


def silence(person: MatrixPerson, room: str) -> None:
    """Let nobody else write in a room."""
    person.ask("PUT", f"/rooms/{quote(room)}/state/m.room.power_levels", {"events_default": 50})


async def test_a_room_in_which_the_notifier_may_not_write_is_left_for_another(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    """For one that the person began, or else for one more invitation."""
    channel, first = open_channel(), jane.make_room(notifying.id)
    silence(jane, first)
    await channel.send(message(jane, "k1", "one"))
    second = jane.accept()
    assert jane.texts(second) == ["one"]
    jane.leave(second)
    with pytest.raises(Undeliverable, match="twice"):
        await open_channel().send(message(jane, "k2", "two"))
    third = jane.make_room(notifying.id)
    await channel.send(message(jane, "k3", "three"))
    assert jane.texts(third) == ["three"]


async def test_a_person_who_lets_us_write_nowhere_is_undeliverable(
    open_channel: OpenChannel, jane: MatrixPerson, notifying: MatrixPerson
) -> None:
    channel = open_channel()
    for _ in range(2):
        silence(jane, jane.make_room(notifying.id))
    with pytest.raises(Undeliverable, match="may not write in the rooms with @jane"):
        await channel.send(message(jane))


async def test_whoever_cannot_be_invited_costs_one_room(
    open_channel: OpenChannel, notifying: MatrixPerson
) -> None:
    for _ in range(2):
        with pytest.raises(Undeliverable, match=r"@jane:example\.org can't be invited: .*M_FORBIDDEN"):
            await open_channel().send(message("@jane:example.org"))
    assert len(notifying.rooms()) == 1


@pytest.mark.parametrize("request_to", ["/profile/", "/state/m.room.member/"])
async def test_another_homeserver_that_fails_stops_nobody_else(
    open_channel: OpenChannel, gate: Gate, jane: MatrixPerson, request_to: str
) -> None:
    """Our own one answers for it. The same failure about somebody of its own is waited out."""
    channel = open_channel(url=gate.url)
    gate.status, gate.fails_for = 502, request_to
    gate.content = json.dumps({"errcode": "M_UNKNOWN", "error": "Failed to send"}).encode()
    with pytest.raises(Undeliverable, match="can't be invited"):
        await channel.send(message("@jane:example.org"))
    with pytest.raises(Unavailable, match="Failed to send"):
        await channel.send(message(jane))
    gate.status = None
    await channel.send(message(jane))
    assert len(jane.texts(jane.accept())) == 1


async def test_an_outage_at_the_second_invitation_does_not_use_it_up(
    open_channel: OpenChannel, gate: Gate, jane: MatrixPerson
) -> None:
    channel = open_channel(url=gate.url)
    await channel.send(message(jane, "k1"))
    jane.leave(*jane.invitations())
    gate.status, gate.fails_for = 502, "m.room.member/"
    with pytest.raises(Unavailable, match="502"):
        await channel.send(message(jane, "k2", "two"))
    gate.status = None
    await channel.send(message(jane, "k2", "two"))
    assert "two" in jane.texts(jane.accept())


async def test_a_suspended_account_is_not_the_persons_fault(
    open_channel: OpenChannel, gate: Gate, jane: MatrixPerson
) -> None:
    gate.status, gate.fails_for = 403, "/send/"
    gate.content = json.dumps({"errcode": "M_USER_SUSPENDED", "error": "suspended"}).encode()
    with pytest.raises(Unavailable, match="M_USER_SUSPENDED"):
        await open_channel(url=gate.url).send(message(jane))


async def test_a_message_that_is_too_large_is_sent_in_part(
    open_channel: OpenChannel, jane: MatrixPerson
) -> None:
    await open_channel().send(message(jane, plain="é" * 100_000))
    (event,) = jane.events(jane.accept())
    assert event["content"]["body"].endswith("é\n…")
    assert "formatted_body" not in event["content"]
