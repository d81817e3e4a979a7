"""Log lines that anyone who may publish can cause."""

from __future__ import annotations

import logging

MOST = 100


class LimitedLog:
    """Writes at most `MOST` lines to a log, so that nobody can fill a disk with messages.

    What comes after is only counted, by whoever has a figure for it.
    """

    def __init__(self, log: logging.Logger, level: int = logging.WARNING) -> None:
        self._log = log
        self._level = level
        self._written = 0

    def write(self, text: str, *args: object, error: BaseException | None = None) -> None:
        """Write a line, with the traceback of `error`, unless there were too many."""
        if self._written == MOST:
            return
        self._written += 1
        self._log.log(self._level, text, *args, exc_info=error)
        if self._written == MOST:
            self._log.log(self._level, "there were %d such lines: no more of them are written", MOST)
