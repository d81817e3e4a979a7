"""The streams and buckets of a cluster, and the version of their layout.

`provision` makes what is missing and brings the rest up to date; it can be repeated at any time. What it
finds of another layout version it leaves alone.
"""

from __future__ import annotations

import logging
from typing import Any

from distribute.core.errors import DistributeError, Refused, StorageFull
from distribute.nats.connection import Connection
from distribute.nats.jetstream import NOT_FOUND, ApiError, call
from distribute.nats.layout import EVENTS, LAYOUT, Layout, read_layout

_log = logging.getLogger(__name__)

BEATS = "BEATS"
LOGS = "LOGS"
BUCKETS = ("inputs", "results", "snapshots")

BEATS_KEPT_S = 15
LOGS_KEPT_S = 7 * 24 * 3600
LOGS_MAX_BYTES = 256 << 20
LOGS_MIN_BYTES = 16 << 20
"""What is kept of live output: as much as the first, halved for as long as the broker has not got it, but not
less than the second. A broker sets it aside at once. The whole output is archived with the results anyway."""
NEEDED_BYTES = 2 * LOGS_MIN_BYTES
"""A new cluster needs so much of free disk. A broker takes three quarters of what is free when it starts."""
LOG_MESSAGES_AN_ATTEMPT = 10_000
DUPLICATE_WINDOW_S = 120
MAX_CONSUMERS = 100_000

_SECOND = 1_000_000_000
_NO_STORAGE = 10047
_ANSWER_WITHIN_S = 30.0


async def provision(
    connection: Connection, *, replicas: int = 1, logs_max_bytes: int = LOGS_MAX_BYTES
) -> None:
    """Make the streams and buckets that are missing, and bring the others up to date.

    `logs_max_bytes`: what is kept of live output, where the broker has that much room.

    Raises:
        Refused: the cluster is of another layout version, or we may not provision it.
        StorageFull: the broker has no room for them.
    """
    if await read_layout(connection) is not None:
        await check_layout(connection)
    for config in _streams(replicas, logs_max_bytes):
        await _ensure(connection, config)


async def check_layout(connection: Connection) -> None:
    """Raises `Refused` unless the cluster is provisioned, in this version's layout."""
    layout = await read_layout(connection)
    if layout is None:
        raise Refused(
            f"{connection.address}: a broker, but no cluster: start one there with 'distribute up' or "
            "'distribute server'"
        )
    found = layout.number
    if found > LAYOUT:
        raise Refused(
            f"{connection.address}: the cluster is newer (layout {found}) than this distribute "
            f"(layout {LAYOUT}): upgrade distribute on this computer"
        )
    if found < LAYOUT:
        raise Refused(
            f"{connection.address}: the cluster is older (layout {found}) than this distribute "
            f"(layout {LAYOUT}): upgrade the cluster's head first"
        )


def bucket_stream(bucket: str) -> str:
    """The stream behind an object bucket."""
    return f"OBJ_{bucket}"


def _streams(replicas: int, logs_max_bytes: int) -> list[dict[str, Any]]:
    common: dict[str, Any] = {
        "num_replicas": replicas,
        "allow_direct": True,
        "max_consumers": MAX_CONSUMERS,
        "retention": "limits",
    }
    durable = common | {
        "storage": "file",
        "discard": "new",
        "duplicate_window": DUPLICATE_WINDOW_S * _SECOND,
    }
    # No message of these is worth an fsync. On file all the same: a memory stream, its definition too, is
    # gone when the broker restarts.
    passing = common | {"storage": "file", "discard": "old", "persist_mode": "async"}
    return [
        *(
            durable
            | {
                "name": bucket_stream(bucket),
                "subjects": [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"],
                "allow_rollup_hdrs": True,
            }
            for bucket in BUCKETS
        ),
        passing
        | {
            "name": BEATS,
            "subjects": ["beat.*"],
            "max_msgs_per_subject": 1,
            "max_age": BEATS_KEPT_S * _SECOND,
        },
        passing
        | {
            "name": LOGS,
            "subjects": ["log.>"],
            "max_bytes": logs_max_bytes,
            "max_age": LOGS_KEPT_S * _SECOND,
            "max_msgs_per_subject": LOG_MESSAGES_AN_ATTEMPT,
        },
        # The events come last: who finds them finds everything else, too.
        durable
        | {
            "name": EVENTS,
            "subjects": ["ev.>"],
            "allow_atomic": True,
            "metadata": Layout(LAYOUT).metadata(),
        },
    ]


async def _ensure(connection: Connection, wanted: dict[str, Any]) -> None:
    name = wanted["name"]
    found = await _config(connection, name)
    if found is not None and 0 < found["max_bytes"] < wanted.get("max_bytes", 0):
        wanted = wanted | {"max_bytes": found["max_bytes"]}  # there was no room for more
    if found is not None and _agrees(found, wanted):
        return
    verb = "CREATE" if found is None else "UPDATE"
    _log.info("%s: stream %s: %s", connection.address, name, verb.lower())
    try:
        await call(connection, f"STREAM.{verb}.{name}", (found or {}) | wanted, timeout_s=_ANSWER_WITHIN_S)
    except ApiError as error:
        if error.err_code == _NO_STORAGE:
            less = wanted.get("max_bytes", 0) // 2
            if less >= LOGS_MIN_BYTES:
                await _ensure(connection, wanted | {"max_bytes": less})
                return
            raise StorageFull(
                f"{connection.address}: no room for stream {name}: {error.description}; a new cluster needs "
                f"{NEEDED_BYTES >> 20} MiB of free disk where its broker keeps its data: make room there, "
                "and start the broker again"
            ) from error
        raise Refused(
            f"{connection.address}: can't {verb.lower()} stream {name}: {error.description}"
        ) from error


def _agrees(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    metadata = wanted.get("metadata", {})
    return metadata.items() <= found.get("metadata", {}).items() and all(
        found.get(key) == value for key, value in wanted.items() if key != "metadata"
    )


async def _config(connection: Connection, stream: str) -> dict[str, Any] | None:
    try:
        answer = await call(connection, f"STREAM.INFO.{stream}", timeout_s=_ANSWER_WITHIN_S)
    except ApiError as error:
        if error.code == NOT_FOUND:
            return None
        raise DistributeError(f"{connection.address}: can't ask for stream {stream}: {error}") from error
    config: dict[str, Any] = answer["config"]
    return config
