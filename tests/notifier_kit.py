"""A channel that remembers what it was given, and a notifier that runs while a test lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from distribute.client.channels import ask_channels
from distribute.ports import Cluster
from distribute_services.notifier.channel import Channel, Message
from distribute_services.notifier.service import NotifierService

WITHIN_S = 300.0
"""Ends only a test that hangs: several programs start one after the other."""


class Remembering:
    """A channel that takes every message, unless it is `trouble`d. A message that comes again counts once.

    `troubled_person`: only this person's messages meet the trouble.
    """

    def __init__(self, name: str = "mail") -> None:
        self.name = name
        self.limits: tuple[str, ...] = ()
        self.taken: dict[str, Message] = {}
        self.times = 0
        self.trouble: Exception | None = None
        self.troubled_person: str | None = None
        self.is_closed = False
        self._news = asyncio.Event()

    async def check(self) -> None:
        """It is always there."""

    async def send(self, message: Message) -> None:
        self.times += 1
        self._news.set()
        if self.trouble is not None and self.troubled_person in {None, message.to}:
            raise self.trouble
        self.taken[message.key] = message

    async def close(self) -> None:
        self.is_closed = True

    async def until(self, happens: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        """Wait until it is so, looking whenever a message comes."""
        async with asyncio.timeout(within_s):
            while not happens():
                self._news.clear()
                await self._news.wait()

    @property
    def subjects(self) -> list[str]:
        return [message.subject for message in self.taken.values()]


@asynccontextmanager
async def notifier_of(cluster: Cluster, *channels: Channel) -> AsyncIterator[NotifierService]:
    """Run a notifier. The block begins when it tells what happens from now on."""
    stop, notifier = asyncio.Event(), NotifierService(cluster, channels)
    running = asyncio.create_task(notifier.run(stop))
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await ask_channels(cluster):  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0)
        yield notifier
    finally:
        stop.set()
        await running


MESSAGE = Message(
    key="0e1d2c3b4a5968778695a4b3c2d1e0f9",
    to="jane",
    subject="lab/sweep failed",
    plain="1 < 2",
    html="<p>1 &lt; 2</p>",
    facts={"news": "end"},
)
