"""The hours of the week in which a node lends its computer: `18:00-08:00, sat, sun`.

Hours are by the computer's own clock on the wall. Callers give that as a function from seconds since 1970 to
the local date and time, so nothing here depends on a time zone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from distribute.core.words import quoted

LocalTime = Callable[[float], datetime]
"""The local date and time at a moment in seconds since 1970."""

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = 24 * 60
_WEEK = 7 * _DAY

_CLOCK_STEP_S = 15 * 60
"""Clocks on the wall are put forward and back only at whole quarters of an hour."""
_LONGEST_WAIT_S = 16 * 24 * 3600
"""Hours repeat each week. Those of one week may fall into an hour that the clock leaves out."""

_SPAN = r"(?P<begin>\d{1,2}:\d\d) ?- ?(?P<end>\d{1,2}:\d\d)"
_TERM = re.compile(
    rf"(?:(?P<first>[a-z]+)(?: ?- ?(?P<last>[a-z]+))?)?(?: ?{_SPAN})?", re.ASCII | re.IGNORECASE
)
_ADVICE = "write 18:00-08:00, sat, mon-fri or mon-fri 19:00-07:30, with commas between several"


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of a week. `spans` are in minutes since Monday 0:00, in order, and do not touch each other.

    A span at the end of Sunday and one at the beginning of Monday may meet.
    """

    spans: tuple[tuple[int, int], ...]

    def include(self, local: datetime) -> bool:
        """Is this date and time of the clock on the wall within the hours?"""
        minute = _minute_of_week(local)
        at = bisect_right(self.spans, (minute, _WEEK))
        return at > 0 and minute < self.spans[at - 1][1]

    def next_change(self, now: float, local_time: LocalTime) -> float | None:
        """When the hours begin, or end, next. None: they include the whole week.

        It is exact when the clock on the wall is put forward or back, too.
        """
        if self.spans == ((0, _WEEK),):
            return None
        included = self.include(local_time(now))
        moment = now
        while moment < now + _LONGEST_WAIT_S:
            moment += self._uneventful_s(moment, local_time(moment))
            if self.include(local_time(moment)) != included:
                return moment
        return None

    def _uneventful_s(self, moment: float, local: datetime) -> float:
        """For how long the hours can neither begin nor end: until a span does, or the clock may be moved."""
        minute = _minute_of_week(local)
        edges = (edge for span in self.spans for edge in span)
        to_edge = min((edge - minute - 1) % _WEEK + 1 for edge in edges)
        seconds = 60.0 * to_edge - local.second - local.microsecond / 1e6
        return min(seconds, _CLOCK_STEP_S - moment % _CLOCK_STEP_S)


def parse_hours(text: str) -> Hours:
    """Read hours: terms with commas between them, each of days, of a span of hours, or of both.

    A span whose end is not behind its begin goes on into the next day.

    Raises:
        ValueError: this is not how hours are written.
    """
    minutes = [span for term in text.split(",") for span in _spans(term.strip())]
    return Hours(tuple(_merged(minutes)))


def _spans(term: str) -> Iterator[tuple[int, int]]:
    match = _TERM.fullmatch(term)
    if match is None or not term:
        raise ValueError(f"{quoted(term)} names no hours; {_ADVICE}")
    days = _days(match["first"], match["last"])
    begin, end = (0, _DAY) if match["begin"] is None else (_minute(match["begin"]), _minute(match["end"]))
    if begin == _DAY:
        raise ValueError(f"{quoted(term)} begins at the end of a day; write 0:00 instead")
    if end <= begin:
        end += _DAY
    for day in days:
        first, behind = day * _DAY + begin, day * _DAY + end
        yield first, min(behind, _WEEK)
        if behind > _WEEK:
            yield 0, behind - _WEEK


def _days(first: str | None, last: str | None) -> Iterable[int]:
    if first is None:
        return range(7)
    begin = _day(first)
    end = begin if last is None else _day(last)
    return ((begin + number) % 7 for number in range((end - begin) % 7 + 1))


def _day(word: str) -> int:
    for number, name in enumerate(_DAYS):
        if len(word) >= 3 and name.startswith(word.lower()):
            return number
    raise ValueError(f"{quoted(word)} is not a day; write mon, tue, wed, thu, fri, sat or sun")


def _minute(text: str) -> int:
    hour, minute = map(int, text.split(":"))
    if minute > 59 or hour * 60 + minute > _DAY:
        raise ValueError(f"{quoted(text)} is not a time of day; write 0:00 to 24:00")
    return hour * 60 + minute


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    current: tuple[int, int] | None = None
    for begin, end in sorted(spans):
        if current is not None and begin <= current[1]:
            current = current[0], max(current[1], end)
            continue
        if current is not None:
            yield current
        current = begin, end
    if current is not None:
        yield current


def _minute_of_week(local: datetime) -> int:
    return local.weekday() * _DAY + local.hour * 60 + local.minute
