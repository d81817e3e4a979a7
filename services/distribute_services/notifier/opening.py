"""The channels that are configured."""

from __future__ import annotations

from distribute.config.notify_settings import NotifySettings
from distribute_services.notifier.channel import Channel


def channels_of(settings: NotifySettings) -> list[Channel]:
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
