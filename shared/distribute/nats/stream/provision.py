"""The streams and buckets of a cluster, in this distribute's layout.

`provision` creates what is missing and updates the rest; it can be repeated at any time. It never lowers a
value that an admin raised. It migrates a cluster of an older layout to ours, and leaves a newer one alone.
"""

from __future__ import annotations

import logging
from typing import Any

from distribute.core.errors import DistributeError, Refused, StorageFull
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import NOT_FOUND, ApiError, call
from distribute.nats.client.patience import patiently
from distribute.nats.stream.layout import EVENTS, LAYOUT, Layout, read_layout
from distribute.nats.stream.migrations import MIGRATIONS

_log = logging.getLogger(__name__)

BEATS = "BEATS"
LOGS = "LOGS"
BUCKETS = ("inputs", "results", "snapshots")

BEATS_KEPT_S = 15
LOGS_KEPT_S = 7 * 24 * 3600
LOGS_MAX_BYTES = 256 << 20
LOGS_MIN_BYTES = 16 << 20
"""Bound on stored live output: the first value, halved until the broker has that much room, but not below the
second. A broker reserves it at once. The whole output is archived with the results anyway."""
NEEDED_BYTES = 2 * LOGS_MIN_BYTES
"""Free disk that a new cluster needs. A broker uses three quarters of what is free when it starts."""
LOG_MESSAGES_AN_ATTEMPT = 10_000
DUPLICATE_WINDOW_S = 120
MAX_CONSUMERS = 100_000

_SECOND = 1_000_000_000
_NO_STORAGE = 10047
_GIVE_UP_AFTER_S = 30.0
"""A broker that has just started may not answer yet, nor several that have to elect a leader first."""


async def provision(
    connection: Connection, *, replicas: int = 1, logs_max_bytes: int = LOGS_MAX_BYTES
) -> None:
    """Make the streams and buckets that are missing, and bring the others up to date.

    `logs_max_bytes`: the bound on stored live output, if the broker has that much room.

    Raises:
        Refused: the cluster is of a newer layout, or we may not provision it.
        StorageFull: the broker has no room for them.
    """
    layout = await read_layout(connection, give_up_after_s=_GIVE_UP_AFTER_S)
    if layout is None:
        layout = Layout(LAYOUT)
    elif layout.number > LAYOUT:
        raise _newer(connection, layout)
    for number in range(layout.number + 1, LAYOUT + 1):
        _log.info("%s: from layout %d to %d", connection.address, number - 1, number)
        if (migrate := MIGRATIONS.get(number)) is not None:
            await migrate(connection)
    for config in _streams(replicas, logs_max_bytes, layout.raised_to(LAYOUT)):
        await _ensure(connection, config)


async def check_layout(connection: Connection) -> None:
    """Raise `Refused` unless there is a cluster with our layout."""
    layout = await read_layout(connection)
    if layout is None:
        raise Refused(
            f"{connection.address}: a broker, but no cluster: start one there with 'distribute up' or "
            "'distribute server'"
        )
    if layout.number > LAYOUT:
        raise _newer(connection, layout)
    if layout.number < LAYOUT:
        raise Refused(
            f"{connection.address}: the cluster is older (layout {layout.number}) than this distribute "
            f"(layout {LAYOUT}): upgrade the cluster's head first"
        )


def _newer(connection: Connection, layout: Layout) -> Refused:
    return Refused(
        f"{connection.address}: the cluster is newer (layout {layout.number}) than this distribute "
        f"(layout {LAYOUT}): upgrade distribute on this computer"
    )


def bucket_stream(bucket: str) -> str:
    """The stream behind an object bucket."""
    return f"OBJ_{bucket}"


def _streams(replicas: int, logs_max_bytes: int, layout: Layout) -> list[dict[str, Any]]:
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
    # No message of these streams is worth an fsync. They lie on disk because a memory stream is lost, with
    # its definition, when the broker restarts.
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
        # The event stream comes last: if it exists, all others do.
        durable
        | {
            "name": EVENTS,
            "subjects": ["ev.>"],
            "allow_atomic": True,
            "metadata": layout.metadata(),
        },
    ]


async def _ensure(connection: Connection, wanted: dict[str, Any]) -> None:
    name = wanted["name"]
    found = await _config(connection, name)
    if found is not None:
        wanted = _not_lowered(found, wanted)
        if _agrees(found, wanted):
            return
    verb = "CREATE" if found is None else "UPDATE"
    _log.info("%s: stream %s: %s", connection.address, name, verb.lower())
    try:
        await _ask(connection, f"STREAM.{verb}.{name}", (found or {}) | wanted)
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


def _not_lowered(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The wanted configuration, but with values that an admin raised: replicas, and the bound on live output.

    A smaller bound stays as well, because the broker had no room for more.
    """
    wanted = wanted | {"num_replicas": max(found["num_replicas"], wanted["num_replicas"])}
    if wanted["num_replicas"] > 1:
        # The broker refuses this setting for replicated streams.
        wanted.pop("persist_mode", None)
    if wanted["name"] == LOGS:
        wanted |= {
            key: max(found[key], wanted[key]) if found[key] > 0 else wanted[key]
            for key in ("max_age", "max_msgs_per_subject")
        }
        if found["max_bytes"] > 0:
            wanted["max_bytes"] = found["max_bytes"]
    return wanted


def _agrees(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    metadata = wanted.get("metadata", {})
    return metadata.items() <= found.get("metadata", {}).items() and all(
        found.get(key) == value for key, value in wanted.items() if key != "metadata"
    )


async def _config(connection: Connection, stream: str) -> dict[str, Any] | None:
    try:
        answer = await _ask(connection, f"STREAM.INFO.{stream}")
    except ApiError as error:
        if error.code == NOT_FOUND:
            return None
        raise DistributeError(f"{connection.address}: can't ask for stream {stream}: {error}") from error
    config: dict[str, Any] = answer["config"]
    return config


async def _ask(connection: Connection, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send a request until there is an answer: a broker that has just started drops some requests.

    All of these requests can be repeated.
    """
    return await patiently(connection, lambda: call(connection, verb, body), give_up_after_s=_GIVE_UP_AFTER_S)
