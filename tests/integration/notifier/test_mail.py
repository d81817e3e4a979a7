"""The channel `mail` against a real SMTP server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from distribute.config.settings.notify_settings import MailChannel as Settings
from distribute_services.notifier.channel import Unavailable, Undeliverable
from distribute_services.notifier.channels.mail import MailChannel
from notifier_kit import MESSAGE


class Mailboxes:
    """A mail server's handler. `recipient` and `data` are what it answers."""

    def __init__(self) -> None:
        self.port = 0
        self.recipient = self.data = "250 OK"
        self.got: list[tuple[str, EmailMessage]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, to: str, options: Any) -> str:
        if self.recipient.startswith("250"):
            envelope.rcpt_tos.append(to)
        return self.recipient

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append((envelope.rcpt_tos[0], message_from_bytes(envelope.content, policy=default)))
        return self.data


@pytest.fixture
async def mailboxes() -> AsyncIterator[Mailboxes]:
    mailboxes = Mailboxes()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailboxes, enable_SMTPUTF8=True), "127.0.0.1", 0)
    mailboxes.port = server.sockets[0].getsockname()[1]
    yield mailboxes
    server.close()
    await server.wait_closed()


def channel_to(at: int, **settings: Any) -> MailChannel:
    basic = {"server": "127.0.0.1", "port": at, "security": "none", "from": "distribute@lab.org"}
    return MailChannel(Settings(**basic | {"domain": "lab.org"} | settings))


async def send(
    mailboxes: Mailboxes, to: str = "jane", subject: str = MESSAGE.subject, **settings: Any
) -> None:
    await channel_to(mailboxes.port, **settings).send(replace(MESSAGE, to=to, subject=subject))


async def test_a_check_sends_no_mail(mailboxes: Mailboxes) -> None:
    await channel_to(mailboxes.port).check()
    assert mailboxes.got == []


async def test_a_check_finds_a_server_that_is_not_there_or_refuses_the_login(mailboxes: Mailboxes) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 takes no mail now: "):
        await channel_to(mailboxes.port, user="lab", password="wrong").check()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1 takes no mail now: "):
            await channel_to(nobody.getsockname()[1]).check()


async def test_a_mail_has_both_forms_and_the_key(mailboxes: Mailboxes) -> None:
    await send(mailboxes)
    ((to, mail),) = mailboxes.got
    assert (to, mail["To"], mail["From"]) == ("jane@lab.org", "jane@lab.org", "distribute@lab.org")
    assert mail["Subject"] == "lab/sweep failed"
    assert mail["Message-ID"] == f"<{MESSAGE.key}@lab.org>"
    plain, html = mail.iter_parts()
    assert plain.get_content().strip() == "1 < 2"
    assert "<p>1 &lt; 2</p>" in html.get_content()


async def test_people_have_addresses_of_their_own(mailboxes: Mailboxes) -> None:
    await send(mailboxes, people={"jane": "jane.doe@example.org"})
    await send(mailboxes, "größe")
    assert [to for to, _ in mailboxes.got] == ["jane.doe@example.org", "größe@lab.org"]


async def test_the_name_of_a_batch_adds_no_header(mailboxes: Mailboxes) -> None:
    subject = "lab/=?utf-8?q?a=0D=0ABcc:_john@lab.org?= failed"
    await send(mailboxes, subject=subject)
    ((_, mail),) = mailboxes.got
    assert mail["Bcc"] is None
    assert mail["Subject"] == subject.replace("=?", "= ?")


@pytest.mark.parametrize("name", ["a b", "x@y", "<jane>", "a\nBcc: b", "=?utf-8?q?john=2C?="])
async def test_a_name_that_makes_no_address_is_refused(mailboxes: Mailboxes, name: str) -> None:
    with pytest.raises(Undeliverable, match="no mail address is known for"):
        await send(mailboxes, name)
    assert mailboxes.got == []


@pytest.mark.parametrize(
    ("answers", "error", "others_wait"),
    [
        ({"recipient": "550 no such user"}, Undeliverable, None),
        ({"recipient": "450 come later"}, Unavailable, False),
        ({"data": "554 spam"}, Undeliverable, None),
        ({"data": "452 no room"}, Unavailable, False),
        ({"data": "421 closing"}, Unavailable, True),
    ],
)
async def test_what_the_server_refuses_for_now_is_tried_again(
    mailboxes: Mailboxes, answers: dict[str, str], error: type[Exception], others_wait: bool | None
) -> None:
    vars(mailboxes).update(answers)
    (answer,) = answers.values()
    with pytest.raises(error, match=answer) as raised:
        await send(mailboxes)
    assert getattr(raised.value, "others_wait", None) is others_wait


@pytest.mark.parametrize(
    "settings", [{"security": "starttls"}, {"user": "lab", "password": "wrong-one"}, {"port": 1}]
)
async def test_a_server_that_takes_no_mail_is_waited_for(mailboxes: Mailboxes, settings: Any) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 takes no mail now: ") as raised:
        await send(mailboxes, **settings)
    assert "wrong-one" not in str(raised.value)
