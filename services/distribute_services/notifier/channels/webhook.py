"""The channel `webhook`: a web service that gets each message by POST.

Each request has the message's key as `Idempotency-Key`: after a crash a message may be sent twice, and a
service that knows this header takes it once. Slack, Mattermost and ntfy don't know it.
"""

from __future__ import annotations

import asyncio
import html
from dataclasses import asdict
from email.header import Header
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson

from distribute.client.words import printable
from distribute.config.settings.notify_settings import WebhookChannel as Settings
from distribute.core.os_words import why
from distribute_services.notifier.channel import Message, Unavailable, Undeliverable

TIMEOUT_S = 30.0
MAX_NTFY_BYTES = 4000
"""ntfy makes an attachment of a longer text."""
MAX_TITLE = 10_000
"""A header of HTTP has one line."""

_NOTHING = "\u200b"
"""A space without width."""

_BAD_MESSAGE = frozenset({400, 413, 422})
"""The service does not take this message, and never will."""
_FAULT = 500
"""The service has a fault. That may be due to the message."""
_NOBODY = frozenset({401, 403, 404, 410})
"""There is nobody at this address. If it is everybody's, the head's admin has to mend it."""


class Body(NamedTuple):
    """What is sent: the bytes, and the headers that belong to them."""

    data: bytes
    headers: dict[str, str]


class WebhookChannel:
    """Posts each message. It connects when it first sends."""

    name = "webhook"
    limits = ()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def check(self) -> None:
        """Look if the service can be reached. It gets no request. Raises as `Channel.check`."""
        if self._settings.url is None:
            return
        parts = urlsplit(self._settings.url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        try:
            _, writer = await asyncio.open_connection(parts.hostname, port)
        except OSError as error:
            raise Unavailable(f"{parts.hostname} can't be reached: {why(error)}") from error
        writer.close()
        await writer.wait_closed()

    async def send(self, message: Message) -> None:
        """Post the message. Raises as `Channel.send`."""
        own = self._settings.people.get(message.to)
        url = own or self._settings.url
        if url is None:
            raise Undeliverable(f"no webhook is configured for {message.to}")
        body = body_of(message, self._settings.form)
        headers = {"Idempotency-Key": message.key, **body.headers, **self._settings.headers}
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        host = urlsplit(url).hostname  # the rest of the address may be a secret
        try:
            answer = self._session.post(url, data=body.data, headers=headers, allow_redirects=False)
            async with answer as response:
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.InvalidURL, UnicodeError) as error:
            raise Unavailable(f"the address of {host} is wrong", others_wait=own is None) from error
        except aiohttp.ClientResponseError as error:  # its text has the whole address
            reason = f"{host} does not answer as a web service: {error.message}"
            raise Unavailable(reason, others_wait=own is None) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"{host} can't be reached: {str(error) or 'no answer'}"
            raise Unavailable(reason, others_wait=own is None) from error
        if 200 <= status < 300:
            return
        reason = f"{host} answers with HTTP status {status}"
        if status in _BAD_MESSAGE or (own is not None and status in _NOBODY):
            raise Undeliverable(reason)
        retry_after_s = float(retry_after) if retry_after.isdecimal() else None
        raise Unavailable(reason, retry_after_s, others_wait=own is None and status != _FAULT)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def body_of(message: Message, form: str) -> Body:
    """The message in the form of a service.

    Sources: https://docs.slack.dev/messaging/formatting-message-text, https://docs.ntfy.sh/publish/,
    https://developers.mattermost.com/integrate/webhooks/incoming/
    """
    title = f"{printable(message.to)}: {message.subject}"
    match form:
        case "slack":
            text = html.escape(f"*{title}*\n```{_unfenced(message.plain)}```", quote=False)
            return _json({"text": text})
        case "mattermost":
            title = title.replace("@", f"@{_NOTHING}")  # a batch called `@all` calls nobody
            return _json({"text": f"**{title}**\n```\n{_unfenced(message.plain)}\n```"})
        case "ntfy":
            data = message.plain.encode()[:MAX_NTFY_BYTES].decode(errors="ignore").encode()
            return Body(data, {"Title": Header(title, maxlinelen=MAX_TITLE).encode()})
        case _:
            return _json(asdict(message))


def _unfenced(text: str) -> str:
    """`text` as it may stand between fences: what a job printed could end them, and call everybody."""
    return text.replace("``", f"`{_NOTHING}`")


def _json(value: object) -> Body:
    return Body(orjson.dumps(value), {"Content-Type": "application/json"})
