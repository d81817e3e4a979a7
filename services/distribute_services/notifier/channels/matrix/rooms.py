"""The room in which a person gets messages: found, joined, or made."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from distribute.client.words import printable
from distribute_services.notifier.channel import Unavailable, Undeliverable
from distribute_services.notifier.channels.matrix.homeserver import Declined, Homeserver

log = logging.getLogger(__name__)

NEWS_WITHIN_S = 5.0
_SYNCS = 6
"""A large homeserver has many processes, so that a sync may be a little behind what another one did."""


class DirectRooms:
    """The rooms that the account has with one person each.

    The account's data `m.direct` lists them, by person. Another room with just the two counts as well.
    """

    def __init__(self, homeserver: Homeserver) -> None:
        self._homeserver = homeserver
        self._listed: dict[str, list[str]] | None = None
        self._closed: set[str] = set()

    def leave_out(self, room: Any) -> None:
        """Use this room no more, as long as the process lasts: it takes no messages from us."""
        self._closed.add(room.room_id)

    async def room_with(self, person: str) -> Any:
        """The room for messages to `person`, as matrix-nio knows it. They may not have joined it yet.

        Raises:
            Undeliverable: there is no such user, or they left us twice.
            Unavailable: the homeserver can't be asked now.
        """
        await self._homeserver.sync()
        if self._listed is None:
            self._listed = await self._read_listed()
        listed = self._listed.get(person, [])
        known = self._known_with(person, listed)
        room = next((one for one in known if _has_joined(one, person) and self._can_write_in(one)), None)
        room = room or await self._accepted(person)
        room = room or next((one for one in known if person in one.users), None)
        if room is not None:
            await self._list(person, room.room_id)
            return room
        is_again = bool(listed) and (not known or await self._was_left(known[0], person))
        if is_again:
            self._check_may_be_invited_again(person)
        else:
            await self._check_exists(person)
        room = known[0] if known else await self._made(person)
        await self._invite(person, room)
        if is_again:
            self._homeserver.device.invited_again.add(person)
            self._homeserver.save_device()
        return room

    @property
    def _rooms(self) -> dict[str, Any]:
        rooms: dict[str, Any] = self._homeserver.client.rooms
        return rooms

    def _known_with(self, person: str, listed: Iterable[str]) -> list[Any]:
        """The rooms for `person` in which we are."""
        two = {person, self._homeserver.user_id}
        of_two = (name for name, room in self._rooms.items() if set(room.users) == two)
        names = dict.fromkeys(name for name in (*listed, *of_two) if name not in self._closed)
        return [self._rooms[name] for name in names if name in self._rooms]

    def _can_write_in(self, room: Any) -> bool:
        return bool(self._homeserver.encrypts) or not room.encrypted

    async def _accepted(self, person: str) -> Any:
        """The room to which `person` invited us, joined; None: there is none."""
        invitations = self._homeserver.client.invited_rooms
        for name in [name for name, room in invitations.items() if room.inviter == person]:
            joined = await self._joined(name, person)
            if joined is not None:
                return joined
        return None

    async def _joined(self, name: str, person: str) -> Any:
        try:
            await self._homeserver.ask(lambda client: client.join(name))
        except Declined as error:  # it was withdrawn, or the room is gone
            log.info("can't join the room to which %s invited us: %s", person, error)
            return None
        return await self._known(name)

    async def _was_left(self, room: Any, person: str) -> bool:
        """Was `person` in the room, or invited? Else we could not invite them to it so far."""
        try:
            await self._homeserver.ask(
                lambda client: client.room_get_state_event(room.room_id, "m.room.member", person)
            )
        except Declined as error:
            if error.code != "M_NOT_FOUND":
                raise
            return False
        return True

    def _check_may_be_invited_again(self, person: str) -> None:
        """Raises `Undeliverable` if `person` was invited again before."""
        us = self._homeserver.user_id
        if person in self._homeserver.device.invited_again:
            raise Undeliverable(
                f"{person} left the room with {us}, or declined its invitation, twice; "
                f"to get messages again, they start a chat with {us}"
            )

    async def _check_exists(self, person: str) -> None:
        """A homeserver lets us invite people whom it doesn't have.

        Raises:
            Undeliverable: there is no such user.
        """
        try:
            await self._homeserver.ask(lambda client: client.get_profile(person))
        except Declined as error:
            if error.status in (400, 404):
                raise Undeliverable(f"there is no Matrix user {printable(person)}: {error}") from error
            if not self._homeserver.is_about(person, error):
                raise
            # Some tell profiles only to those who share a room.

    async def _made(self, person: str) -> Any:
        """A new room for `person`, encrypted where we can do that. They are not invited yet."""
        from nio.event_builders import EnableEncryptionBuilder

        encryption = [EnableEncryptionBuilder().as_dict()] if self._homeserver.encrypts else []
        made = await self._homeserver.ask(
            lambda client: client.room_create(
                is_direct=True,
                initial_state=encryption,
                power_level_override={"users_default": 100},  # the person may do what we may, as in any chat
            )
        )
        await self._list(person, made.room_id)
        log.info("made a room for %s, which is %sencrypted", person, "" if encryption else "not ")
        return await self._known(made.room_id)

    async def _invite(self, person: str, room: Any) -> None:
        """Invite `person` to the room, in which they are not.

        Raises:
            Undeliverable: they can't be invited.
        """
        invitation = {"membership": "invite", "is_direct": True}  # so their client shows a chat, not a room
        try:
            await self._homeserver.ask(
                lambda client: client.room_put_state(room.room_id, "m.room.member", invitation, person)
            )
        except Declined as error:
            if not self._homeserver.is_about(person, error):
                raise
            raise Undeliverable(f"{person} can't be invited: {error}") from error
        await self._homeserver.sync()

    async def _known(self, name: str) -> Any:
        """A room that we have just joined or made, once the homeserver tells of it.

        Raises:
            Unavailable: it does not.
        """
        for _ in range(_SYNCS):
            await self._homeserver.sync(NEWS_WITHIN_S)
            if name in self._rooms:
                return self._rooms[name]
        reason = f"the homeserver does not tell of the room {name}, in which we are"
        raise Unavailable(reason, others_wait=False)

    async def _read_listed(self) -> dict[str, list[str]]:
        try:
            return dict((await self._homeserver.ask(lambda client: client.list_direct_rooms())).rooms)
        except Declined as error:
            if error.code != "M_NOT_FOUND":
                raise
            return {}

    async def _list(self, person: str, room: str) -> None:
        """Note in the account's data that this is the room with `person`."""
        listed = self._listed or {}
        if room not in listed.get(person, []):
            listed = {**listed, person: [room, *listed.get(person, [])]}
            path = f"/_matrix/client/v3/user/{quote(self._homeserver.user_id, safe='')}/account_data/m.direct"
            await self._homeserver.put(path, json.dumps(listed))
            self._listed = listed


def _has_joined(room: Any, person: str) -> bool:
    return person in room.users and person not in room.invited_users
