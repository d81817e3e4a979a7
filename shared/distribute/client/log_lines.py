"""The form of a line in the log of a process that runs for long."""

from __future__ import annotations

import logging

from distribute.client.words import printable

FORM = "%(asctime)s %(levelname)s %(message)s"
DEBUG_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TIME_FORM = "%Y-%m-%d %H:%M:%S%z"


class OneLine(logging.Formatter):
    """Writes each message on one line, whatever names and texts of others are in it."""

    _second = -1
    _time = ""

    def __init__(self, *, debug: bool = False) -> None:
        """`debug`: name the module of each line, too."""
        super().__init__(DEBUG_FORM if debug else FORM, TIME_FORM)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """As `logging.Formatter` does, but only once for each second."""
        second = int(record.created)
        if second != self._second:
            self._second, self._time = second, super().formatTime(record, datefmt)
        return self._time

    def formatMessage(self, record: logging.LogRecord) -> str:
        """As `logging.Formatter` does, with everything escaped that a terminal could take for a command."""
        record.message = printable(record.message)
        return super().formatMessage(record)
