"""The moment that an answer shows: the present one, unless the answer is about the past."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_shown: ContextVar[datetime | None] = ContextVar("the moment that is shown", default=None)


def now() -> datetime:
    """The moment from which times such as "2h ago" count, in UTC."""
    return _shown.get() or datetime.now(UTC)


def is_past() -> bool:
    """Whether the answer shows a moment of the past, so that nothing can be done about it any more."""
    return _shown.get() is not None


@contextmanager
def as_of(moment: float | None) -> Iterator[None]:
    """In the block, answers show this moment, in seconds since 1970. None: the present one."""
    token = _shown.set(None if moment is None else datetime.fromtimestamp(moment, UTC))
    try:
        yield
    finally:
        _shown.reset(token)
