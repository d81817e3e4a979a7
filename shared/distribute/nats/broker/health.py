"""Check that a broker can write its streams.

After a failed write, for example on a full disk, a stream stores nothing until the nats-server is restarted,
even if there is room again. It stops acknowledging writes but serves everything else. Only a purge
reveals the error, so we purge a subject that no message has.
"""

from __future__ import annotations

from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import ApiError, call
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.provision import BEATS, BUCKETS, LOGS, bucket_stream

_NO_SUBJECT = "nowhere"
_PURGE_FAILED = 10051


async def failed_write(connection: Connection) -> str | None:
    """Name a stream that can't be written, and why. Returns None if all can.

    Raises:
        Unreachable: the broker does not answer.
    """
    for stream in (EVENTS, *map(bucket_stream, BUCKETS), LOGS, BEATS):
        try:
            await call(connection, f"STREAM.PURGE.{stream}", {"filter": _NO_SUBJECT})
        except ApiError as error:
            if error.err_code == _PURGE_FAILED:
                return f"stream {stream}: {error.description}"
    return None
