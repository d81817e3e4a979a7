"""Keys for encrypted rooms.

matrix-nio does this, too, in `sync_forever` and `room_send`, but ignores there what the homeserver refuses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from distribute_services.notifier.channel import Unavailable

Ask = Callable[[Callable[[Any], Awaitable[Any]]], Awaitable[Any]]
"""`Homeserver.ask`."""


async def exchange_keys(ask: Ask, client: Any) -> None:
    """Send our keys and ask for those of others, where a sync told that it is due."""
    if client.should_upload_keys:
        await ask(lambda client: client.keys_upload())
    if client.should_query_keys:
        await ask(lambda client: client.keys_query())
    if client.should_claim_keys:
        await ask(lambda client: client.keys_claim(client.get_users_for_key_claiming()))
    for message in list(client.outgoing_to_device_messages):
        await ask(partial(_to_device, message))


def _to_device(message: Any, client: Any) -> Awaitable[Any]:
    sent: Awaitable[Any] = client.to_device(message)
    return sent


async def share_session(ask: Ask, client: Any, room: Any) -> None:
    """Give the key of the next messages to the members' devices, which could not show them without it.

    Raises:
        Unavailable: they could not be given it now.
    """
    if not client.olm.should_share_group_session(room.room_id):
        return
    missing = client.get_missing_sessions(room.room_id)
    if missing:
        await ask(lambda client: client.keys_claim(missing))
    # Devices that still miss a session have no keys left at the homeserver: nothing helps them.
    beyond_help = {
        (user, device)
        for user, devices in client.get_missing_sessions(room.room_id).items()
        for device in devices
    }
    await ask(lambda client: client.share_group_session(room.room_id, ignore_unverified_devices=True))
    session = client.olm.outbound_group_sessions[room.room_id]
    wanted = {
        (user, device.id) for user in room.users for device in client.device_store.active_user_devices(user)
    }
    if wanted - session.users_shared_with - session.users_ignored - beyond_help:
        session.shared = False  # so that the next try shares it with the others
        raise Unavailable("the homeserver did not pass on the key of an encrypted message", others_wait=False)
