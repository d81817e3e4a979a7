"""The channels that are configured."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from distribute.config.settings.matrix_account import load_matrix_account
from distribute.config.settings.notify_settings import NotifySettings, load_notify_settings
from distribute_services.notifier.channel import Channel
from distribute_services.notifier.checking import checked

log = logging.getLogger(__name__)


async def open_channels(
    notify_config: Path | None, matrix_config: Path | None, folder: Path
) -> list[Channel]:
    """The channels of a `notify.yaml`, and Matrix if there is an account. `folder` is for what they keep.

    The log says which of them can't send now. That stops no other: it is tried again with each message.

    Raises:
        InputError: something in a file is wrong.
    """
    settings = NotifySettings() if notify_config is None else load_notify_settings(notify_config)
    channels = _channels_of(settings)
    if (file := matrix_config or settings.matrix) is not None:
        from distribute_services.notifier.channels.matrix.channel import MatrixChannel

        channels.append(MatrixChannel(load_matrix_account(file), file, folder / "matrix"))
    await asyncio.gather(*map(_check, channels))
    return channels


def _channels_of(settings: NotifySettings) -> list[Channel]:
    """A channel for each section. What none of them needs is not imported."""
    channels: list[Channel] = []
    if settings.command is not None:
        from distribute_services.notifier.channels.command import CommandChannel

        channels.append(CommandChannel(settings.command))
    if settings.webhook is not None:
        from distribute_services.notifier.channels.webhook import WebhookChannel

        channels.append(WebhookChannel(settings.webhook))
    if settings.mail is not None:
        from distribute_services.notifier.channels.mail import MailChannel

        channels.append(MailChannel(settings.mail))
    return channels


async def _check(channel: Channel) -> None:
    """Say now if messages can't be sent on a channel, not only when there is one."""
    found = await checked(channel)
    if found.is_wrong:
        log.warning("no message by %s can be sent: %s", channel.name, found.problem)
    elif found.problem is not None:
        log.warning(
            "%s can send nothing now; trying again with the first message: %s", channel.name, found.problem
        )
    for limit in found.limits:
        log.info("%s: %s", channel.name, limit)
