"""Standard streams that a program can rely on, however it was started and wherever they lead.

A supervisor may have closed them, a disk may be full, a terminal or a reader may be gone.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from distribute.core.errors import DistributeError
from distribute.core.os_words import why

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


class OutputLost(DistributeError):
    """Standard output can't be written."""


class ReaderGone(OutputLost):
    """Nobody reads standard output any more, as in `distribute status | head`."""


def prepare_standard_streams() -> None:
    """Make the standard streams of this process reliable.

    Closed ones become /dev/null: else the next connection that is opened would be written to in their place.
    Standard output raises `OutputLost`. Standard error loses what it can't write, because there is no other
    place to say so, and what a program says beside its answer must not make it fail. Characters that the
    terminal can't show are escaped.
    """
    for descriptor, (name, mode) in enumerate(_MODES.items()):
        if getattr(sys, name) is None:
            _open_null(descriptor)
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115 - for ever
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")
    sys.stdout = _text(_Output, sys.stdout)
    sys.stderr = _text(_Messages, sys.stderr)


def drop_output() -> None:
    """Let standard output lead nowhere, so that what is still buffered does not disturb the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _open_null(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, descriptor)  # inheritable, unlike what `open` gives
        if null != descriptor:
            os.close(null)


def _text(kind: type[_Output | _Messages], stream: io.TextIOBase | object) -> io.TextIOWrapper:
    assert isinstance(stream, io.TextIOWrapper), "called once, at the start of a program"
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(kind(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _written(write: Callable[[ReadableBuffer], int | None], descriptor: int, data: ReadableBuffer) -> int:
    """Write, and wait for room first if the descriptor does not block: another program may have set it so."""
    while (count := write(data)) is None:
        select.select([], [descriptor], [])
    return count


class _Output(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return _written(super().write, self.fileno(), data)
        except BrokenPipeError:
            raise ReaderGone("nobody reads standard output") from None
        except OSError as error:
            raise OutputLost(f"standard output can't be written: {why(error)}") from error


class _Messages(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return _written(super().write, self.fileno(), data)
        except OSError:
            return memoryview(data).nbytes
