"""Read the end of what a failed job or build printed.

The event that reports the failure quotes it. So `wait` and `status` can show at once why a job failed. To
find the last line in the archive, each reader would have to fetch the whole output.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from distribute.core.log.event_base import MAX_LINE, MAX_LINES

READ_BYTES = 2048


def last_lines(stdout: Path) -> tuple[str, ...]:
    """The last lines in the file `stdout`, without empty ones; none if there is no such file.

    Looks at the last `READ_BYTES` bytes, so the first of the lines may lack its beginning.
    """
    text = read_part(stdout, READ_BYTES, from_end=True)
    return ending_lines(text) if text is not None else ()


def read_part(path: Path, size: int, *, from_end: bool = False) -> bytes | None:
    """The first bytes of a file that a job could write to, or the last ones. None: there is no such file."""
    try:
        # The job may have replaced the file by a link or a pipe.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        return os.pread(fd, size, max(0, status.st_size - size) if from_end else 0)
    except OSError:
        return None
    finally:
        os.close(fd)


def ending_lines(text: bytes) -> tuple[str, ...]:
    """The last lines of `text`, as an event can quote them."""
    lines = [line.rstrip() for line in text.decode(errors="replace").splitlines()]
    return tuple(line[:MAX_LINE] for line in lines if line)[-MAX_LINES:]
