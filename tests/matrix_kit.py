"""A real Matrix homeserver for tests: `infra/synapse.sh` runs it, in a folder of its own."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from distribute.config.settings.matrix_account import MatrixAccount
from distribute_services.notifier.channel import Message
from infra_kit import running_script

PATIENCE_S = 120
PASSWORD = "a password"
INHERITED = dict(os.environ)
"""As this process found it: Synapse is installed below the true cache folder, which tests replace."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class MatrixPerson:
    """A user of the homeserver, with a client of their own."""

    url: str
    id: str
    token: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the homeserver answers to a request of this person. `path` is below `/_matrix/client/v3`."""
        return request(method, f"{self.url}/_matrix/client/v3{path}", body, self.token)

    def sync(self) -> Any:
        """All rooms and invitations. Synapse gives an old answer to who asks the same again."""
        return self.ask("GET", f"/sync?timeout={next(_numbers)}&full_state=true").get("rooms", {})

    def invitations(self) -> list[str]:
        """The rooms to which this person is invited."""
        return list(self.sync().get("invite", {}))

    def rooms(self) -> list[str]:
        """The rooms in which this person is."""
        return self.ask("GET", "/joined_rooms")["joined_rooms"]  # type: ignore[no-any-return]

    def join(self, room: str) -> None:
        self.ask("POST", f"/rooms/{quote(room)}/join", {})

    def leave(self, room: str) -> None:
        """Leave a room, or decline the invitation."""
        self.ask("POST", f"/rooms/{quote(room)}/leave", {})

    def accept(self) -> str:
        """Join the one room to which this person is invited."""
        (room,) = self.invitations()
        self.join(room)
        return room

    def make_room(self, invite: str, *, is_encrypted: bool = False) -> str:
        """A direct room to which `invite` is invited, with less power than its maker."""
        encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        made = self.ask(
            "POST",
            "/createRoom",
            {
                "is_direct": True,
                "invite": [invite],
                "preset": "private_chat",
                "initial_state": [encryption] if is_encrypted else [],
            },
        )
        return made["room_id"]  # type: ignore[no-any-return]

    def events(self, room: str, kind: str = "m.room.message") -> list[Any]:
        """The events of a type in a room, from the first on."""
        query = urlencode({"dir": "f", "limit": 1000})
        chunk = self.ask("GET", f"/rooms/{quote(room)}/messages?{query}")["chunk"]
        return [event for event in chunk if event["type"] == kind]

    def texts(self, room: str) -> list[str]:
        """The plain texts of the messages in a room."""
        return [event["content"]["body"] for event in self.events(room)]


@dataclass(frozen=True)
class Synapse:
    """A running Synapse."""

    url: str

    def new_person(self, name: str = "jane", *, is_admin: bool = False) -> MatrixPerson:
        """Register a user whose name begins with `name`."""
        name = f"{name}-{next(_numbers)}"
        path = f"{self.url}/_synapse/admin/v1/register"
        nonce = request("GET", path)["nonce"]
        words = [nonce, name, PASSWORD, "admin" if is_admin else "notadmin"]
        mac = hmac.new(b"of-the-tests", b"\0".join(word.encode() for word in words), hashlib.sha1).hexdigest()
        user = {"nonce": nonce, "username": name, "password": PASSWORD, "admin": is_admin, "mac": mac}
        made = request("POST", path, user)
        return MatrixPerson(self.url, made["user_id"], made["access_token"])

    def account(self, person: MatrixPerson) -> MatrixAccount:
        """What the file of `server --matrix-config` would say of this user."""
        return MatrixAccount(
            matrix_username=person.id[1:].partition(":")[0],
            matrix_password=PASSWORD,
            homeserver_url=self.url,
            matrix_id=person.id,
        )

    def limit_messages(self, person: MatrixPerson, per_second: int, burst: int) -> None:
        """Limit how fast a user may send messages."""
        path = f"/_synapse/admin/v1/users/{quote(person.id)}/override_ratelimit"
        limit = {"messages_per_second": per_second, "burst_count": burst}
        request("POST", self.url + path, limit, self.new_person("admin", is_admin=True).token)


class Gate(ThreadingHTTPServer):
    """Stands before a homeserver, and passes requests and answers on, except while told otherwise.

    `status` is answered instead of asking the homeserver, if `fails_for` is part of the path: with
    `content`, or with a page as of a proxy. While `holds_answer_to` is part of a path, the homeserver is
    asked, but its answer is kept: `held` tells that there is one.
    """

    daemon_threads = True

    def __init__(self, homeserver: str) -> None:
        super().__init__(("127.0.0.1", 0), _Through)
        self.homeserver = homeserver
        self.status: int | None = None
        self.fails_for = ""
        self.content = b"<h1>No homeserver</h1>"
        self.holds_answer_to: str | None = None
        self.held = threading.Event()
        self.closes = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Through(BaseHTTPRequestHandler):
    server: Gate

    def _pass(self) -> None:
        gate = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        fails_with = gate.status  # the test may change it at any moment
        if fails_with is not None and gate.fails_for in self.path:
            return self._answer(fails_with, gate.content)
        asked = urllib.request.Request(
            gate.homeserver + self.path, body, dict(self.headers), method=self.command
        )
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, error.read()
        held = gate.holds_answer_to
        if held is not None and held in self.path:
            gate.held.set()
            gate.closes.wait(PATIENCE_S)
            return None
        return self._answer(status, content)

    do_GET = do_POST = do_PUT = _pass

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if content.startswith(b"{") else "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


@contextmanager
def gate_before(homeserver: str) -> Iterator[Gate]:
    """A gate, open."""
    with Gate(homeserver) as gate:
        thread = threading.Thread(target=gate.serve_forever, daemon=True)
        thread.start()
        try:
            yield gate
        finally:
            gate.closes.set()
            gate.shutdown()
            thread.join(PATIENCE_S)


def request(method: str, url: str, body: Any = None, token: str = "") -> Any:
    """The JSON that a homeserver answers.

    Raises:
        urllib.error.HTTPError: it answers with an error.
    """
    asked = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), method=method)
    if token:
        asked.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def message(to: MatrixPerson | str, key: str = "key-1", plain: str = "jane/k: 3 of 3 succeeded") -> Message:
    """A message as the notifier makes them."""
    person = to if isinstance(to, str) else to.id
    return Message(key, person, "jane/k", plain, f"<p><strong>{plain}</strong></p>", {"batch": "k"})


@contextmanager
def running_synapse(folder: Path, port: int | None = None) -> Iterator[Synapse]:
    """A Synapse with all its files in `folder`. It ends with the block, or when this process is killed."""
    words = [] if port is None else [str(port)]
    with running_script("synapse.sh", folder, *words, env=INHERITED) as (url, errors):
        if "is not installed" in errors:
            pytest.skip("Synapse is not installed: sh infra/synapse.sh installs it")
        assert url, errors
        yield Synapse(url)
