"""Log lines without end: those that anyone who may publish can cause, and those of a loop in trouble."""

from __future__ import annotations

import logging

from distribute.core.words import counted

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


class Trouble:
    """A trouble that a loop may meet each time. Logs when it begins and when it is over."""

    def __init__(self, log: logging.Logger, level: int = logging.WARNING) -> None:
        self._log = log
        self._level = level
        self._times = 0

    def occurs(self, text: str, *args: object, error: BaseException | None = None) -> None:
        """Write a line, with the traceback of `error`, if the trouble is new."""
        self._times += 1
        if self._times == 1:
            self._log.log(self._level, text, *args, exc_info=error)

    def is_over(self, text: str) -> None:
        """Write a line, if there was trouble."""
        if self._times:
            self._log.log(self._level, "%s, after %s", text, counted(self._times, "failure"))
        self._times = 0
