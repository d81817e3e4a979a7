"""Moments, as people write them: a date and time, or how long from now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator

from distribute.config.sections.forms import Form
from distribute.config.sections.units import DURATION, parse_duration
from distribute.core.spec.specs import EARLIEST, LATEST, Time
from distribute.core.words import quoted

MOMENT = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?: ?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
"""RFC 3339, with less than it demands: the seconds, the zone and the time of day may be left out."""
_MOMENT = re.compile(MOMENT)
_AS_MOMENT = (
    "write a date and time, such as 2030-01-31T18:00 (local, unless it names a zone), "
    "or how long from now: 2h, 3d"
)


class UnclearMoment(ValueError):
    """A local time that comes twice or never, because clocks are set back or forward then."""


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment in `text`, in UTC. A time without a zone is local; a duration counts from `now`.

    Raises:
        ValueError: it is neither, or too far away.
        UnclearMoment: clocks here are set then, so a zone is needed.
    """
    text = text.strip()
    try:
        if _MOMENT.fullmatch(text):
            found = datetime.fromisoformat(re.sub(" (?=[Z+-])", "", text.upper()))
        else:
            found = now + timedelta(seconds=parse_duration(text))
        readings = [found.replace(fold=fold).astimezone() for fold in (0, 1)]
        comes = found.time() == readings[0].time()
        found = found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{quoted(text)} is not a time; {_AS_MOMENT}") from None
    if readings[0] != readings[1]:
        raise UnclearMoment(_why_unclear(text, *sorted(readings), comes=comes))
    if not EARLIEST <= found <= LATEST:
        raise ValueError(f"{quoted(text)} is too far away; write a time between the years 2000 and 2200")
    return found


def _why_unclear(text: str, first: datetime, second: datetime, *, comes: bool) -> str:
    """Why a local time, which may mean one of these two, is unclear. `comes`: a clock here shows it."""
    times, where = ("comes twice", "back") if comes else ("never comes", "forward")
    ways = f"{first.isoformat()} or {second.isoformat()}"
    return f"{quoted(text)} {times}, because clocks are set {where} then; write {ways}"


def _moment(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return parse_moment(value, datetime.now(UTC)) if isinstance(value, str) else value


Moment = Annotated[
    Time,
    BeforeValidator(_moment),
    Form("a time, or how long from now", ("string", "number"), rf"\s*(?:{MOMENT}|{DURATION})\s*", _AS_MOMENT),
]
"""A time in UTC. Also accepts what `parse_moment` accepts, from the present moment on."""
