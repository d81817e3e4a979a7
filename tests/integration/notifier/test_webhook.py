"""The channel `webhook` against a real web server."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from email.header import decode_header, make_header
from typing import Any

import pytest
from aiohttp import web

from distribute.config.settings.notify_settings import WebhookChannel as Settings
from distribute_services.notifier.channel import Unavailable, Undeliverable
from distribute_services.notifier.channels.webhook import WebhookChannel
from notifier_kit import MESSAGE


@dataclass
class Service:
    """A web service that remembers what it got, and answers with this status."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers=self.headers)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_post("/secret", service.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    service.url = f"http://{host}:{port}/secret"
    yield service
    await runner.cleanup()


async def post(
    service: Service,
    to: str = "jane",
    subject: str = MESSAGE.subject,
    plain: str = MESSAGE.plain,
    **settings: Any,
) -> None:
    channel = WebhookChannel(Settings(**{"url": service.url} | settings))
    try:
        await channel.send(replace(MESSAGE, to=to, subject=subject, plain=plain))
    finally:
        await channel.close()


async def test_a_check_connects_and_posts_nothing(service: Service) -> None:
    await WebhookChannel(Settings(url=service.url)).check()
    assert service.got == []
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/secret"
        with pytest.raises(Unavailable, match=r"^127\.0\.0\.1 can't be reached: ") as caught:
            await WebhookChannel(Settings(url=url)).check()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("slack", b'{"text":"*jane: lab/sweep failed*\\n```1 &lt; 2```"}'),
        ("mattermost", b'{"text":"**jane: lab/sweep failed**\\n```\\n1 < 2\\n```"}'),
        ("ntfy", b"1 < 2"),
    ],
)
async def test_each_service_gets_its_form(service: Service, form: str, body: bytes) -> None:
    await post(service, form=form)
    ((headers, got),) = service.got
    assert got == body
    assert headers["Idempotency-Key"] == MESSAGE.key
    if form == "ntfy":
        assert headers["Title"] == "jane: lab/sweep failed"


@pytest.mark.parametrize(("form", "call"), [("slack", "<!channel>"), ("mattermost", "@all")])
async def test_names_and_output_call_nobody(service: Service, form: str, call: str) -> None:
    await post(service, subject=f"lab/{call} failed", plain=f"```\n{call}\n````", form=form)
    text = json.loads(service.got[0][1])["text"]
    title, _, output = text.partition("\n")
    assert call not in title
    assert output.count("```") == 2
    assert output.count("`") == 2 * 3 + 7


async def test_a_program_of_ones_own_gets_all_as_json_and_the_headers_that_are_configured(
    service: Service,
) -> None:
    await post(service, headers={"Authorization": "Bearer x"})
    ((headers, got),) = service.got
    assert headers["Authorization"] == "Bearer x"
    assert b'"facts":{"news":"end"}' in got


async def test_a_title_of_ntfy_may_have_any_characters(service: Service) -> None:
    await post(service, "größe\nX: y", form="ntfy")
    assert str(make_header(decode_header(service.got[0][0]["Title"]))) == r"größe\nX: y: lab/sweep failed"


async def test_a_rate_limit_says_how_long_to_wait(service: Service) -> None:
    service.status, service.headers = 429, {"Retry-After": "30"}
    with pytest.raises(Unavailable) as raised:
        await post(service)
    assert raised.value.retry_after_s == 30


@pytest.mark.parametrize("status", [302, 403, 404, 500, 503])
async def test_an_outage_or_a_wrong_address_for_all_is_waited_out(service: Service, status: int) -> None:
    service.status = status
    with pytest.raises(Unavailable, match=rf"^127\.0\.0\.1 answers with HTTP status {status}$"):
        await post(service)


async def test_nobody_at_a_persons_own_address_concerns_only_that_person(service: Service) -> None:
    service.status = 410
    with pytest.raises(Undeliverable, match="HTTP status 410"):
        await post(service, url=None, people={"jane": service.url})
    with pytest.raises(Undeliverable, match="no webhook is configured for john"):
        await post(service, "john", url=None, people={"jane": service.url})


@pytest.mark.parametrize(("status", "others_wait"), [(500, False), (503, True)])
async def test_who_has_to_wait(service: Service, status: int, others_wait: bool) -> None:
    """A fault of the service may be due to the message; a person's own address is nobody else's."""
    service.status = status
    for settings in {}, {"people": {"jane": service.url}}:
        with pytest.raises(Unavailable) as raised:
            await post(service, **settings)
        assert raised.value.others_wait is (others_wait and not settings)


async def test_a_service_that_does_not_listen_is_waited_for() -> None:
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1 can't be reached: ") as raised:
        await post(Service(url="http://127.0.0.1:1/secret"))
    assert "secret" not in str(raised.value)


async def test_what_is_no_web_service_is_waited_for_and_its_address_not_told() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.lab.org ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(Unavailable, match=r"^127\.0\.0\.1 does not answer as a web service: ") as raised:
            await post(Service(url=f"http://127.0.0.1:{port}/secret"))
    assert "secret" not in str(raised.value)


async def test_an_address_that_only_aiohttp_refuses_is_waited_for_and_stays_secret() -> None:
    settings = Settings(url="http://lab.org/secret")
    channel = WebhookChannel(settings.model_copy(update={"url": "http://lab..org/secret"}))
    with pytest.raises(Unavailable, match=r"^the address of lab\.\.org is wrong$"):
        await channel.send(MESSAGE)
    await channel.close()
