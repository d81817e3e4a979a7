"""How fast something goes on, and when it is probably done."""

from __future__ import annotations

from datetime import datetime, timedelta

from distribute.config.sections.units import format_duration, format_size

_DAY_S = 86400
_UNITS = (("s", 1), ("min", 60), ("h", 3600), ("d", _DAY_S))


def rate_text(per_second: float, *, of_bytes: bool) -> str:
    """`12.3M/s`; or of jobs, so that the number is not below 1 if possible: `3.2 jobs/min`."""
    if of_bytes:
        return f"{format_size(round(per_second))}/s"
    unit, seconds = next((each for each in _UNITS if per_second * each[1] >= 1), _UNITS[-1])
    jobs = per_second * seconds
    return f"{jobs:.0f} jobs/{unit}" if jobs >= 100 else f"{jobs:.2g} jobs/{unit}"


def end_text(left_s: float, now: datetime) -> str:
    """`done in about 12m (19:42)`. `now` is local time."""
    rounded = left_s - left_s % 60 if left_s >= 3600 else max(1.0, left_s // 1)
    ends = now + timedelta(seconds=left_s)
    clock = f"{ends:%H:%M}" if left_s < _DAY_S else f"{ends:%d %b %H:%M}"
    return f"done in about {format_duration(rounded)} ({clock})"


def pace_text(per_second: float, left_s: float, now: datetime, *, of_bytes: bool) -> str:
    """Both. An end that lies beyond all plans says nothing, and is left out."""
    rate = rate_text(per_second, of_bytes=of_bytes)
    return f"{rate}, {end_text(left_s, now)}" if 0 < left_s < 1000 * _DAY_S else rate
