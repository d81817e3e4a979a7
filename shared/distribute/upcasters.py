"""Read old versions of events: `UPCASTERS` has a function for each old type and version.

The codec tries them if a body is not valid. Each takes the JSON object of an event and returns that of the
next version, which may have another type. Samples of every version stay in `tests/compat/data`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

Json = dict[str, Any]
Upcaster = Callable[[Json], Json]


def _with_defaults(version: int) -> Upcaster:
    """The upcaster to a version that only added fields with defaults."""
    return lambda body: body | {"v": version}


def _leaving_1(body: Json) -> Json:
    """Version 1 named jobs without attempts. We keep none: the jobs are released, and run again."""
    return body | {"v": 2, "keeps": []}


def _released_1(body: Json) -> Json:
    """Version 1 took a failure back by releasing the ended job; since version 2 `excused` does that."""
    if body.get("reason") != "quarantined":
        return body | {"v": 2}
    return {key: value for key, value in body.items() if key != "reason"} | {"type": "excused", "v": 1}


def _quarantined_1(body: Json) -> Json:
    """In version 1 a quarantine had no end. We give it ten minutes, as for a first quarantine."""
    until = datetime.fromisoformat(str(body.get("time"))) + timedelta(minutes=10)
    return body | {"v": 2, "until": until.isoformat()}


UPCASTERS: Mapping[tuple[str, int], Upcaster] = {
    ("kill_requested", 1): _with_defaults(2),
    ("kill_requested", 2): _with_defaults(3),
    ("retry_requested", 1): _with_defaults(2),
    ("reprioritized", 1): _with_defaults(2),
    ("completed", 1): _with_defaults(2),
    ("batch_archived", 1): _with_defaults(2),
    ("deleted", 1): _with_defaults(2),
    ("assigned", 1): _with_defaults(2),
    ("build_started", 1): _with_defaults(2),
    ("build_finished", 1): _with_defaults(2),
    ("joined", 1): _with_defaults(2),
    ("leaving", 1): _leaving_1,
    ("leaving", 2): _with_defaults(3),
    ("left", 1): _with_defaults(2),
    ("released", 1): _released_1,
    ("released", 2): _with_defaults(3),
    ("excused", 1): _with_defaults(2),
    ("paused", 1): _with_defaults(2),
    ("paused", 2): _with_defaults(3),
    ("resumed", 1): _with_defaults(2),
    ("drain_requested", 1): _with_defaults(2),
    ("quarantined", 1): _quarantined_1,
}


def is_old(body: object) -> bool:
    """Is this the JSON of an event of an old version?"""
    return isinstance(body, dict) and (str(body.get("type")), _version(body)) in UPCASTERS


def upcast(body: Json) -> Json | None:
    """The event's JSON in the current version; None if its version is not an old one.

    Raises:
        ValueError: the body names an old version, but does not fit it.
    """
    is_old = False
    while (upcaster := UPCASTERS.get((str(body.get("type")), _version(body)))) is not None:
        body, is_old = upcaster(body), True
    return body if is_old else None


def _version(body: Json) -> int:
    version = body.get("v")
    return version if isinstance(version, int) else 0
