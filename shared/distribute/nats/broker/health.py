"""Whether a broker's streams can be written.

A nats-server keeps a failed write in mind: a stream that met a full disk stores nothing more until the server
is started again, however much room there is by then. It answers nothing to what was to be stored, and all the
rest as ever; only a purge tells of it, here one of a subject that no stream has.
"""

from __future__ import annotations

from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import ApiError, call
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.provision import BEATS, BUCKETS, LOGS, bucket_stream

_NO_SUBJECT = "nowhere"
_PURGE_FAILED = 10051


async def failed_write(connection: Connection) -> str | None:
    """Which stream can't be written any more, and why; None if all can.

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
