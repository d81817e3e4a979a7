"""What the services of the head say of themselves, for whoever checks a cluster."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict, cast

import orjson

from distribute.core.errors import Unreachable

if TYPE_CHECKING:
    from distribute.ports import Queries

Service = Literal["scheduler", "archiver", "notifier"]
ANSWERS_WITHIN_S = 15.0
"""A notifier looks at its channels before it answers."""


class ChannelAbout(TypedDict):
    """One way to reach people: why it can't send now, and what it can't do as it is installed."""

    channel: str
    problem: str | None
    limits: list[str]


class About(TypedDict):
    """What a service says of itself. `channels`: those of a notifier."""

    version: str
    computer: str
    channels: NotRequired[list[ChannelAbout]]


def own_version() -> str:
    """The version of distribute that runs here."""
    return version("distribute-lab")


def serving_about(
    queries: Queries, service: Service, channels: Callable[[], Awaitable[list[ChannelAbout]]] | None = None
) -> AbstractAsyncContextManager[None]:
    """Answer what this process is, while the context lasts. `channels` looks at its channels now."""

    async def handle(_: bytes) -> bytes:
        about = About(version=own_version(), computer=platform.node())
        if channels is not None:
            about["channels"] = await channels()
        return orjson.dumps(about)

    return queries.serving(_verb(service), handle)


async def ask_about(queries: Queries, service: Service) -> About | None:
    """What a service says of itself; None: it doesn't answer."""
    try:
        answer = await queries.ask(_verb(service), timeout_s=ANSWERS_WITHIN_S)
    except Unreachable:
        return None
    return cast("About", orjson.loads(answer))


def _verb(service: Service) -> str:
    return f"about-{service}"
