"""Looks at channels: whether messages could be sent now, and what can never be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from distribute.client.about import ChannelAbout
from distribute.client.words import printable
from distribute.core.errors import InputError
from distribute_services.notifier.channel import Channel, Unavailable

CHECK_WITHIN_S = 5.0
"""A channel that has not answered by then counts as one that can't send now."""


class Checked(NamedTuple):
    """What was found of a channel. `problem`: why it can't send; None: it can.

    `is_wrong`: it is not configured well, so it never can. `limits`: what it can't do as it is installed.
    """

    channel: str
    problem: str | None
    is_wrong: bool
    limits: Sequence[str]


async def checked(channel: Channel) -> Checked:
    """Look at a channel, without sending anything."""
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            await channel.check()
    except InputError as error:
        return Checked(channel.name, str(error), True, channel.limits)
    except (Unavailable, TimeoutError) as error:
        return Checked(channel.name, printable(str(error)) or "no answer", False, channel.limits)
    return Checked(channel.name, None, False, channel.limits)


async def about_channels(channels: Sequence[Channel]) -> list[ChannelAbout]:
    """The same of several, as people are told of it."""
    found = await asyncio.gather(*map(checked, channels))
    return [ChannelAbout(channel=one.channel, problem=one.problem, limits=list(one.limits)) for one in found]
