"""The channels that are configured."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from distribute.config.matrix_account import load_matrix_account
from distribute.config.notify_settings import NotifySettings, load_notify_settings
from distribute.core.errors import InputError
from distribute_services.notifier.channel import Channel, Unavailable

log = logging.getLogger(__name__)

LOG_IN_WITHIN_S = 5.0
"""A homeserver that has not answered by then is asked again with the first message."""


async def open_channels(
    notify_config: Path | None, matrix_config: Path | None, folder: Path
) -> list[Channel]:
    """The channels of a `notify.yaml`, and Matrix if there is an account. `folder` is for what they keep.

    Raises:
        InputError: something in a file is wrong.
    """
    settings = NotifySettings() if notify_config is None else load_notify_settings(notify_config)
    channels = _channels_of(settings)
    if (file := matrix_config or settings.matrix) is not None:
        channels.append(await _matrix(file, folder / "matrix"))
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


async def _matrix(file: Path, folder: Path) -> Channel:
    """The channel for Matrix, logged in if the homeserver answers soon, so that a wrong account shows now.

    A wrong account stops nothing else: it is tried again with each message.
    """
    from distribute_services.notifier.channels.matrix.channel import MatrixChannel

    channel = MatrixChannel(load_matrix_account(file), file, folder)
    try:
        await asyncio.wait_for(channel.log_in(), LOG_IN_WITHIN_S)
    except InputError as error:
        log.warning("no message to Matrix can be sent: %s", error)
    except (Unavailable, TimeoutError) as error:
        log.warning("can't log in to Matrix now; trying again later: %s", str(error) or "no answer")
    return channel
