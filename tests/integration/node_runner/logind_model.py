"""A small logind on the system's bus. Arguments are its sessions; a line of input replaces the first one.

A session is written as `type=x11 class=user state=active seat=seat0 idle=1 since=5000000`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_method_return,
    new_signal,
)
from jeepney.io.asyncio import DBusConnection, DBusRouter, Proxy, open_dbus_connection

NAME = "org.freedesktop.login1"
SESSION = f"{NAME}.Session"
DEFAULTS = {"type": "x11", "class": "user", "state": "active", "seat": "seat0", "idle": "0", "since": "0"}


def session(text: str) -> dict[str, str]:
    return DEFAULTS | dict(word.partition("=")[::2] for word in text.split())


def path(number: int) -> str:
    return f"/org/freedesktop/login1/session/_3{number}"


def properties(of: dict[str, str]) -> dict[str, tuple[str, Any]]:
    return {
        "Type": ("s", of["type"]),
        "Class": ("s", of["class"]),
        "State": ("s", of["state"]),
        "IdleHint": ("b", of["idle"] == "1"),
        "IdleSinceHintMonotonic": ("t", int(of["since"])),
    }


async def answer(connection: DBusConnection, sessions: list[dict[str, str]], call: Message) -> None:
    fields = call.header.fields
    match fields.get(HeaderFields.member):
        case "ListSessions":
            rows = [
                (str(number), 1000, "jane", one["seat"], path(number)) for number, one in enumerate(sessions)
            ]
            await connection.send(new_method_return(call, "a(susso)", (rows,)))
        case "GetAll":
            number = next(n for n in range(len(sessions)) if path(n) == fields[HeaderFields.path])
            await connection.send(new_method_return(call, "a{sv}", (properties(sessions[number]),)))


async def follow_input(connection: DBusConnection, sessions: list[dict[str, str]]) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        sessions[0] = session(line.decode())
        emitter = DBusAddress(path(0), NAME, "org.freedesktop.DBus.Properties")
        body = (SESSION, {}, ["IdleHint", "IdleSinceHintMonotonic"])
        await connection.send(new_signal(emitter, "PropertiesChanged", "sa{sv}as", body))
        print("changed", flush=True)


async def main() -> None:
    sessions = [session(text) for text in sys.argv[1:]]
    async with await open_dbus_connection("SYSTEM") as connection:
        async with DBusRouter(connection) as router:
            await Proxy(message_bus, router).RequestName(NAME)
        print("ready", flush=True)
        following = asyncio.create_task(follow_input(connection, sessions))
        while not following.done():
            call = await connection.receive()
            if call.header.message_type is MessageType.method_call:
                await answer(connection, sessions, call)


asyncio.run(main())
