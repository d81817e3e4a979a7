"""The channel `mail`: a server for mail (SMTP).

The `Message-ID` is made of the message's key: after a crash a mail may be sent twice, and most servers and
mail programs show a `Message-ID` once.
"""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

import aiosmtplib

from distribute.config.settings.notify_settings import MailChannel as Settings
from distribute.core.words import quoted
from distribute_services.notifier.channel import Message, Unavailable, Undeliverable

TIMEOUT_S = 60.0
_CLOSING = 421
PORTS = {"starttls": 587, "tls": 465, "none": 25}
_NOT_IN_A_NAME = frozenset(' \t\r\n"(),:;<>@[\\]')
_ENCODED = "=?"
"""Begins an encoded word of RFC 2047. `EmailMessage` decodes those in what it is given."""


class MailChannel:
    """Sends a mail for each message, over a connection of its own."""

    name = "mail"
    limits = ()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def check(self) -> None:
        """Log in at the server. Raises as `Channel.check`."""
        try:
            async with self._client():
                pass
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unavailable(f"{self._settings.server} takes no mail now: {_words(error)}") from error

    async def send(self, message: Message) -> None:
        """Send a mail. Raises as `Channel.send`."""
        settings = self._settings
        mail = self._mail(message)
        try:
            async with self._client() as client:
                await client.send_message(mail)
        except aiosmtplib.SMTPNotSupported as error:
            raise Undeliverable(f"{settings.server}: {error}") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refused(settings.server, error.recipients[0]) from error
        except aiosmtplib.SMTPDataError as error:
            raise _refused(settings.server, error) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unavailable(f"{settings.server} takes no mail now: {_words(error)}") from error

    async def close(self) -> None:
        """Nothing is kept."""

    def _client(self) -> aiosmtplib.SMTP:
        """A connection to the server, once it is entered."""
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.server,
            port=settings.port or PORTS[settings.security],
            username=settings.user,
            password=settings.password,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            timeout=TIMEOUT_S,
        )

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self._settings.sender
        mail["To"] = self._address(message.to)
        mail["Subject"] = _as_it_stands(message.subject)
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message.key}@{self._settings.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # so that nobody's "I am away" answers
        mail.set_content(message.plain)
        mail.add_alternative(f"<html><body>{message.html}</body></html>", subtype="html")
        return mail

    def _address(self, person: str) -> str:
        """Raises `Undeliverable` if we know none."""
        if (address := self._settings.people.get(person)) is not None:
            return address
        if (
            self._settings.domain is None
            or not person.isprintable()
            or _NOT_IN_A_NAME & set(person)
            or _ENCODED in person
        ):
            raise Undeliverable(f"no mail address is known for {quoted(person)}")
        return f"{person}@{self._settings.domain}"


def _as_it_stands(text: str) -> str:
    """`text` without encoded words: the name of a batch could hide the end of a line in one, and headers."""
    return text.replace(_ENCODED, "= ?")


def _refused(server: str, error: aiosmtplib.SMTPResponseException) -> Unavailable | Undeliverable:
    """SMTP codes from 500 on are final; those below mean: later. 421: the server ends the connection."""
    reason = f"{server} refuses the mail: {_words(error)}"
    if error.code >= 500:
        return Undeliverable(reason)
    return Unavailable(reason, others_wait=error.code == _CLOSING)


def _words(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return str(error) or "no answer"
