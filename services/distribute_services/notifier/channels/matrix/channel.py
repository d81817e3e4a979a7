"""The channel `matrix`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distribute.config.settings.matrix_account import MatrixAccount
from distribute.core.errors import InputError
from distribute_services.notifier.channel import Message, Unavailable, Undeliverable
from distribute_services.notifier.channels.matrix.content import content_of
from distribute_services.notifier.channels.matrix.homeserver import Declined, Homeserver
from distribute_services.notifier.channels.matrix.rooms import DirectRooms

REFUSED_AGAIN_S = 300.0
"""After the homeserver refused the account, we wait so long: some lock an account whose login often fails."""

NO_ENCRYPTION = (
    "encrypted rooms get no messages: they need `pip install 'distribute-lab[encryption]'` at the head"
)
"""What a person is told if the packages for that are not installed."""


class MatrixChannel:
    """Sends a message in the direct room with a Matrix user.

    The key of a message is its transaction id, and the device is kept in `folder`. So the homeserver discards
    the repetition of a message, as long as it remembers transactions (Synapse: a day).
    `source` is the file that `account` is from. `encrypts`: write into encrypted rooms; None: if the optional
    packages for it are installed.
    """

    name = "matrix"

    def __init__(
        self, account: MatrixAccount, source: Path, folder: Path, *, encrypts: bool | None = None
    ) -> None:
        self._homeserver = Homeserver(account, source, folder, encrypts=encrypts)
        self._rooms = DirectRooms(self._homeserver)
        self._one_at_a_time = asyncio.Lock()

    @property
    def limits(self) -> Sequence[str]:
        """That it can't write into encrypted rooms, if that is so."""
        return (NO_ENCRYPTION,) if self._homeserver.encrypts is False else ()

    async def check(self) -> None:
        """Log in, so that a wrong account shows at the start, not at the first message.

        Raises:
            InputError: the homeserver refuses the account.
            Unavailable: it can't be asked now.
        """
        async with self._one_at_a_time:
            await self._homeserver.open()
            await self._homeserver.sync()

    async def send(self, message: Message) -> None:
        """Send a message, also to somebody who has yet to accept the invitation: they see it when they join.

        Raises:
            Unavailable: the homeserver can't take it now.
            Undeliverable: it doesn't have this user, or they don't want messages, or we can't encrypt.
        """
        async with self._one_at_a_time:
            try:
                await self._homeserver.open()
                await self._send(message)
            except InputError as error:
                raise Unavailable(str(error), REFUSED_AGAIN_S) from error

    async def _send(self, message: Message) -> None:
        for _ in range(2):
            room = await self._rooms.room_with(message.to)
            if await self._is_taken(room, message):
                return
            self._rooms.leave_out(room)  # there may be another one, or we invite once more
        raise Undeliverable(f"we may not write in the rooms with {message.to}")

    async def _is_taken(self, room: Any, message: Message) -> bool:
        """Send to this room. False: we may not write there."""
        if room.encrypted:
            if not self._homeserver.encrypts:
                raise Undeliverable(
                    f"the room with {message.to} is encrypted, and the server's Python can't do that: "
                    "its admin runs `pip install 'distribute-lab[encryption]'` there"
                )
            await self._homeserver.share_session(room)
        try:
            await self._homeserver.ask(
                lambda client: client.room_send(
                    room.room_id,
                    "m.room.message",
                    content_of(message),
                    tx_id=message.key,
                    ignore_unverified_devices=True,
                )
            )
        except Declined as error:
            if error.is_ours:
                raise
            if error.code != "M_FORBIDDEN":
                raise Undeliverable(f"the room with {message.to} takes no message: {error}") from error
            return False
        return True

    async def close(self) -> None:
        """Close the connection."""
        await self._homeserver.close()
