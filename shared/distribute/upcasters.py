"""Old versions of events as those of today: `UPCASTERS` has a function for each old type and version.

The codec tries them when a body does not validate. Each takes the JSON object of an event and returns that of
the next version, which may be of another type. Samples of every version stay in `tests/compat/data`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

Json = dict[str, Any]
Upcaster = Callable[[Json], Json]


def _with_defaults(version: int) -> Upcaster:
    """For a version that only added fields which have defaults."""
    return lambda body: body | {"v": version}


def _leaving_1(body: Json) -> Json:
    """Version 1 named jobs without their attempts. Nothing is kept: the jobs are released, and run again."""
    return body | {"v": 2, "keeps": []}


def _released_1(body: Json) -> Json:
    """Version 1 released a job that had ended, to take its failure back; `excused` says so now."""
    if body.get("reason") != "quarantined":
        return body | {"v": 2}
    return {key: value for key, value in body.items() if key != "reason"} | {"type": "excused", "v": 1}


def _quarantined_1(body: Json) -> Json:
    """In version 1 a quarantine had no end. The first one lasts ten minutes now."""
    until = datetime.fromisoformat(str(body.get("time"))) + timedelta(minutes=10)
    return body | {"v": 2, "until": until.isoformat()}


UPCASTERS: Mapping[tuple[str, int], Upcaster] = {
    ("assigned", 1): _with_defaults(2),
    ("build_started", 1): _with_defaults(2),
    ("joined", 1): _with_defaults(2),
    ("leaving", 1): _leaving_1,
    ("released", 1): _released_1,
    ("paused", 1): _with_defaults(2),
    ("drain_requested", 1): _with_defaults(2),
    ("quarantined", 1): _quarantined_1,
}


def is_old(body: object) -> bool:
    """Is this the JSON of an event of an old version?"""
    return isinstance(body, dict) and (str(body.get("type")), _version(body)) in UPCASTERS


def upcast(body: Json) -> Json | None:
    """The event's JSON as that of today; None if it is of no old version.

    Raises:
        ValueError: the body says that it is of an old version, and is not.
    """
    is_old = False
    while (upcaster := UPCASTERS.get((str(body.get("type")), _version(body)))) is not None:
        body, is_old = upcaster(body), True
    return body if is_old else None


def _version(body: Json) -> int:
    version = body.get("v")
    return version if isinstance(version, int) else 0
