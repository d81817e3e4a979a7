"""What a service's log looks like, where it goes, and how large it may grow.

Levels: ERROR is a fault of this tool, or results that are lost. WARNING is what an admin may want to look at,
and its end. INFO is what happens: nodes, batches, jobs. DEBUG is every step.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from distribute.client.log_lines import OneLine
from distribute.core.errors import InputError
from distribute.core.os_words import why

MAX_BYTES = 10 << 20
KEPT_FILES = 3
"""A log file of this size is renamed, and so many of those are kept. A line takes about 90 bytes."""


def begin(path: Path | None, *, debug: bool) -> None:
    """Log from now on to a file that is renamed when it is large, or to stderr.

    Raises:
        InputError: the file can't be written.
    """
    handler = logging.StreamHandler(sys.stderr) if path is None else _log_file(path)
    handler.setFormatter(OneLine(debug=debug))
    if not debug:
        # Nothing of this is in our lines: https://docs.python.org/3/howto/logging.html#optimization
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        logging._srcfile = None
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)


def _log_file(path: Path) -> logging.Handler:
    from logging.handlers import RotatingFileHandler

    class LogFile(RotatingFileHandler):
        """A log that has stdout and stderr, too: also what Python writes at a crash."""

        def shouldRollover(self, record: logging.LogRecord) -> int:
            """Is the file too large? The original formats each line a second time to find out."""
            assert self.stream is not None, "the file is open"
            return int(os.fstat(self.stream.fileno()).st_size >= self.maxBytes)

        def doRollover(self) -> None:
            super().doRollover()
            self.take_stdout_and_stderr()

        def take_stdout_and_stderr(self) -> None:
            assert self.stream is not None, "the file is open"
            for fd in (1, 2):
                os.dup2(self.stream.fileno(), fd)

    try:
        handler = LogFile(path, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, errors="backslashreplace")
    except OSError as error:
        raise InputError(f"{path}: can't log there: {why(error)}") from error
    handler.take_stdout_and_stderr()
    return handler
