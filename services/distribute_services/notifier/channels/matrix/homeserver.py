"""The homeserver as the channel uses it: logged in under one device, its answers sorted into three kinds.

What it says is an answer, `Unavailable` (an outage, a rate limit), or `Declined` (an error named by Matrix).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from distribute.config.settings.matrix_account import MatrixAccount
from distribute.core.errors import InputError
from distribute.core.words import quoted
from distribute_services.notifier.channel import Unavailable
from distribute_services.notifier.channels.matrix.device import DeviceFile
from distribute_services.notifier.channels.matrix.encryption import exchange_keys, share_session

log = logging.getLogger(__name__)

ANSWERS_WITHIN_S = 30.0
_LESS_TO_SYNC = {
    "presence": {"types": []},
    "room": {"ephemeral": {"types": []}, "timeline": {"limit": 1}},
}
_OURS = frozenset(
    {
        "M_CONSENT_NOT_GIVEN",
        "M_RESOURCE_LIMIT_EXCEEDED",
        "M_USER_LOCKED",
        "M_USER_SUSPENDED",
        "M_MISSING_TOKEN",
    }
)
"""What a homeserver holds against the account that asks, whatever it asks for."""
_BAD_LOGIN = frozenset({"M_FORBIDDEN", "M_USER_DEACTIVATED", "M_INVALID_USERNAME"})


class Declined(Unavailable):
    """The homeserver answers that it does not do this, or that it failed.

    `code` is Matrix's name for the reason, `status` that of HTTP.
    """

    def __init__(self, reason: str, code: str, status: int) -> None:
        super().__init__(reason)
        self.code = code
        self.status = status

    @property
    def is_ours(self) -> bool:
        """Does the homeserver fail, or refuse the account itself? Then it is nobody else's fault."""
        return self.status >= 500 or self.code in _OURS


class Homeserver:
    """A connection that logs in when it must.

    `source` is the file that `account` is from. `folder` keeps the device, and the keys of encrypted rooms.
    `encrypts`: write into encrypted rooms; None: if matrix-nio has what it needs for that.
    """

    def __init__(
        self, account: MatrixAccount, source: Path, folder: Path, *, encrypts: bool | None = None
    ) -> None:
        self._account = account
        self._source = source
        self._folder = folder
        self._encrypts = encrypts
        self._file = DeviceFile(folder)
        self._client: Any = None

    @property
    def encrypts(self) -> bool | None:
        """Can it write into encrypted rooms? None: that is not known before `open`."""
        return self._encrypts

    @property
    def user_id(self) -> str:
        """The account's own name."""
        return self._account.matrix_id

    def is_about(self, person: str, error: Declined) -> bool:
        """Is it the person who can't be reached, and not this homeserver that fails?

        A request about somebody of another homeserver also fails when that one does.
        """
        is_from_elsewhere = person.partition(":")[2] != self.user_id.partition(":")[2]
        return not error.is_ours or (error.status >= 500 and is_from_elsewhere)

    @property
    def client(self) -> Any:
        """The client of matrix-nio, which knows the rooms since `sync`."""
        return self._client

    async def open(self) -> None:
        """Log in, unless that was done.

        Raises:
            InputError: the homeserver refuses the account.
            Unavailable: it can't be asked now.
        """
        if self._client is None:
            self.device = self._file.load(self._account)
            self._client = self._new_client()
        if self._client.logged_in:
            return
        if self.device.access_token is None:
            await self._log_in()
        else:
            self._client.restore_login(self.device.user_id, self.device.id, self.device.access_token)

    def _new_client(self) -> Any:
        from nio import AsyncClient, AsyncClientConfig
        from nio.crypto import ENCRYPTION_ENABLED

        logging.getLogger("nio").setLevel(logging.ERROR)  # it warns of every answer that we expect and handle
        if self._encrypts is None:
            self._encrypts = ENCRYPTION_ENABLED
        config = AsyncClientConfig(
            max_limit_exceeded=0,
            max_timeouts=0,
            request_timeout=ANSWERS_WITHIN_S,
            encryption_enabled=self._encrypts,
            store_name="keys.db",
        )
        return AsyncClient(
            self.device.homeserver_url,
            self._account.matrix_username,
            self.device.id,
            store_path=str(self._folder) if self._encrypts else "",
            config=config,
        )

    async def _log_in(self) -> None:
        client, account, url = self._client, self._account, self.device.homeserver_url
        try:
            login = await self._answer(client.login(account.matrix_password, device_name="distribute"))
        except Declined as error:
            if error.code not in _BAD_LOGIN:
                raise
            raise InputError(
                f"{self._source}: {url} refuses 'matrix_password' for the 'matrix_username' "
                f"{quoted(account.matrix_username)}: {error}"
            ) from error
        if login.user_id != account.matrix_id:
            client.access_token = ""
            raise InputError(
                f"{self._source}: 'matrix_id' is {quoted(account.matrix_id)}, but 'matrix_username' and "
                f"'matrix_password' are those of {quoted(login.user_id)}"
            )
        self.device.access_token = login.access_token
        self.save_device()
        if client.olm is not None:
            client.olm.account.shared = False  # a new login has no keys, whatever this device had before
        log.info("logged in to %s as %s", url, login.user_id)

    def save_device(self) -> None:
        """Keep what changed in `device`."""
        self._file.save(self.device)

    async def ask(self, request: Callable[[Any], Awaitable[Any]]) -> Any:
        """What the homeserver answers to a request that `client` makes.

        Raises:
            Declined: it does not do this.
            Unavailable: it does not answer, or not now.
            InputError: it forgot the login, and refuses a new one.
        """
        try:
            return await self._answer(request(self._client))
        except Declined as error:
            if error.code != "M_UNKNOWN_TOKEN":
                raise
        log.info("%s ended the login; logging in again", self.device.homeserver_url)
        self._client.access_token = ""
        await self._log_in()
        return await self._answer(request(self._client))

    async def _answer(self, request: Awaitable[Any]) -> Any:
        import aiohttp
        from nio import ErrorResponse

        url = self.device.homeserver_url
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                response = await request
        except TimeoutError as error:
            raise Unavailable(f"{url} does not answer within {ANSWERS_WITHIN_S:g} s") from error
        except aiohttp.ClientError as error:
            raise Unavailable(f"{url} can't be reached: {error}") from error
        if isinstance(response, ErrorResponse):
            raise _problem(url, response)
        return response

    async def sync(self, news_within_s: float = 0) -> None:
        """Learn of rooms, their members, and invitations; send and ask for keys where they are due.

        `news_within_s`: wait for so long if there is nothing new.
        """
        first = not self._client.next_batch
        # A first sync is answered at once, whatever it would wait. But Synapse keeps the answer for two
        # minutes, and gives it again to who asks the same. With another wait it is another question.
        wait_ms = random.randrange(1, 10_000) if first else int(news_within_s * 1000)
        news = await self.ask(
            lambda client: client.sync(timeout=wait_ms, sync_filter=_LESS_TO_SYNC, full_state=first)
        )
        for room in news.rooms.leave:
            self._client.rooms.pop(room, None)
            self._client.invited_rooms.pop(room, None)
        if self._client.olm is not None:
            await exchange_keys(self.ask, self._client)

    async def share_session(self, room: Any) -> None:
        """Make the next messages readable for the members of an encrypted room.

        Raises:
            Unavailable: not now.
        """
        await share_session(self.ask, self._client, room)

    async def put(self, path: str, body: str) -> None:
        """Store something for which matrix-nio has no function.

        Raises:
            Unavailable: it is not stored.
        """
        from nio.responses import EmptyResponse

        async def request(client: Any) -> Any:
            headers = {"Authorization": f"Bearer {client.access_token}", "Content-Type": "application/json"}
            return await client.create_matrix_response(
                EmptyResponse, await client.send("PUT", path, body, headers)
            )

        await self.ask(request)

    async def close(self) -> None:
        """Close the connection; the login stays."""
        if self._client is not None:
            await self._client.close()
            self._client = None


def _problem(url: str, response: Any) -> Unavailable:
    """What an answer that is an error means. nio keeps the status of HTTP in `transport_response`."""
    http = response.transport_response
    status = http.status if http is not None else 0
    code = response.status_code
    if status == 429 or code == "M_LIMIT_EXCEEDED":
        return Unavailable(f"{url} asks us to send more slowly", _retry_after_s(http, response))
    if status < 400 or not isinstance(code, str) or code == "M_UNRECOGNIZED":
        return Unavailable(
            f"{url} answers with HTTP status {status}, not as a homeserver: {response.message}"
        )
    return Declined(f"{response.message} ({code})", code, status)


def _retry_after_s(http: Any, response: Any) -> float | None:
    """The header, which newer versions of Matrix have, or the field of older ones."""
    header = http.headers.get("Retry-After", "") if http is not None else ""
    if header.isdigit():
        return float(header)
    return response.retry_after_ms / 1000 if response.retry_after_ms else None
