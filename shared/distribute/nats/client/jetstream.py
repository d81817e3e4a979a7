"""JetStream's API as requests with JSON, for the settings that nats-py's classes lack.

Reference: https://docs.nats.io/reference/reference-protocols/nats_api_reference
"""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from distribute.core.errors import DistributeError
from distribute.nats.client.connection import Connection
from distribute.nats.client.protocol import header_fields, status

NOT_FOUND = 404

_FRACTION = re.compile(r"\.(\d{1,9})")


class ApiError(DistributeError):
    """JetStream refused. `code` is an HTTP-like status, `err_code` the precise reason."""

    def __init__(self, subject: str, error: dict[str, Any]) -> None:
        super().__init__(
            f"{subject}: {error.get('description', 'unknown error')} ({error.get('err_code', 0)})"
        )
        self.code = int(error.get("code", 0))
        self.err_code = int(error.get("err_code", 0))
        self.description = str(error.get("description", ""))


class Stored(NamedTuple):
    """A message of a stream. `time` is the stream's, in seconds since 1970."""

    seq: int
    time: float
    subject: str
    fields: dict[str, str]
    payload: bytes


async def call(
    connection: Connection, verb: str, body: dict[str, Any] | None = None, *, timeout_s: float = 5.0
) -> dict[str, Any]:
    """Send a request to `$JS.API.<verb>` and return the answer.

    Raises:
        ApiError: JetStream refused.
        NobodyAnswers, Unreachable, Refused: as `Connection.request`.
    """
    subject = f"$JS.API.{verb}"
    message = await connection.request(subject, orjson.dumps(body) if body else b"", timeout_s=timeout_s)
    answer = json_object(message.payload)
    error = answer.get("error")
    if error is not None or not answer:
        raise ApiError(subject, error or {"description": "an unreadable answer"})
    return answer


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; an empty one if there is none."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


async def direct_get(connection: Connection, stream: str, wanted: dict[str, Any]) -> Stored | None:
    """Get a message from any replica, which may lag. `wanted`: `{"seq": 5}`, `{"last_by_subj": "a.>"}`, …"""
    message = await connection.request(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(wanted))
    if status(message.header) == NOT_FOUND:
        return None
    if status(message.header):
        reason = message.header[13:].partition(b"\r\n")[0].decode("utf-8", "replace")
        raise ApiError(f"reading {stream}", {"code": status(message.header), "description": reason})
    fields = header_fields(message.header)
    return Stored(
        int(fields["Nats-Sequence"]),
        _seconds(fields["Nats-Time-Stamp"]),
        fields["Nats-Subject"],
        fields,
        message.payload,
    )


async def leader_get(connection: Connection, stream: str, wanted: dict[str, Any]) -> Stored | None:
    """Like `direct_get`, but from the stream's leader, which has every acknowledged message."""
    try:
        answer = await call(connection, f"STREAM.MSG.GET.{stream}", wanted)
    except ApiError as error:
        if error.code == NOT_FOUND:
            return None
        raise
    found = answer["message"]
    return Stored(
        int(found["seq"]),
        _seconds(found["time"]),
        found["subject"],
        header_fields(base64.b64decode(found.get("hdrs", ""))),
        base64.b64decode(found.get("data", "")),
    )


def _seconds(text: str) -> float:
    """The stream's time to the nanosecond, as consumers report it; `datetime` would drop three digits."""
    whole = datetime.fromisoformat(text)
    fraction = _FRACTION.search(text)
    nanoseconds = int(fraction[1].ljust(9, "0")) if fraction else 0
    return (int(whole.replace(microsecond=0).timestamp()) * 1_000_000_000 + nanoseconds) / 1_000_000_000


async def last_seq(connection: Connection, stream: str) -> int:
    """The sequence of the last message of a stream (0: none)."""
    return int((await call(connection, f"STREAM.INFO.{stream}"))["state"]["last_seq"])
