"""Read the end of what a failed job or build printed.

The event that reports the failure quotes it. So `wait` and `status` can show at once why a job failed. To
find the last line in the archive, each reader would have to fetch the whole output.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from distribute.core.event_base import MAX_LINE, MAX_LINES

READ_BYTES = 2048


def last_lines(stdout: Path) -> tuple[str, ...]:
    """The last lines in the file `stdout`, without empty ones; none if there is no such file.

    Looks at the last `READ_BYTES` bytes, so the first of the lines may lack its beginning.
    """
    try:
        # The job may have replaced the file by a link or a pipe.
        fd = os.open(stdout, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ()
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return ()
        text = os.pread(fd, READ_BYTES, max(0, status.st_size - READ_BYTES))
    except OSError:
        return ()
    finally:
        os.close(fd)
    return ending_lines(text)


def ending_lines(text: bytes) -> tuple[str, ...]:
    """The last lines of `text`, as an event can quote them."""
    lines = [line.rstrip() for line in text.decode(errors="replace").splitlines()]
    return tuple(line[:MAX_LINE] for line in lines if line)[-MAX_LINES:]
