"""The program that renders template files, within bounds: `python -m distribute.sweeps.renderer SECONDS`.

A template is a program: it may loop for ever, or fill the memory. Here it can't harm the program of the
person, which reads points and gives them to this one. Each message is its length in four bytes, and JSON or
the bytes of a file. A file may take so many SECONDS of processor time.
"""

from __future__ import annotations

import math
import resource
import signal
import sys
from types import FrameType
from typing import IO, Any, NoReturn

import orjson

from distribute.core.words import format_size
from distribute.sweeps.errors import SweepError
from distribute.sweeps.points import point_text
from distribute.sweeps.rendering import FileTemplate
from distribute.sweeps.values import Scalar, Written, written

LENGTH_BYTES = 4
GOOD, BAD = b"+", b"-"
"""The first byte of an answer: the file, or what is wrong."""

MAX_MEMORY_BYTES = 1 << 30

_WRITTEN = "written"


def pack_point(point: dict[str, Scalar]) -> dict[str, object]:
    """A point as JSON, with the text of each value that its author wrote."""
    return {
        name: {_WRITTEN: value.text} if isinstance(value, Written) else value for name, value in point.items()
    }


def _unpack(point: dict[str, Any]) -> dict[str, Scalar]:
    return {
        name: written(value[_WRITTEN]) if isinstance(value, dict) else value for name, value in point.items()
    }


class _TooLong(Exception):
    """A template used more processor time than it may."""


def _too_long(number: int, frame: FrameType | None) -> NoReturn:
    raise _TooLong


def _grant(seconds: int) -> None:
    """Let the process use so many more seconds of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard < 0 else min(limit, hard), hard))


def _rendered(template: FileTemplate, point: dict[str, Scalar], seconds: int) -> bytes:
    _grant(seconds)
    try:
        return GOOD + template.render(point)
    except SweepError as error:
        return BAD + str(error).encode()
    except _TooLong:
        what = f"it takes more than {seconds}s of processor time"
    except MemoryError:
        what = f"it needs more than {format_size(MAX_MEMORY_BYTES)} of memory"
    return BAD + f"{template.name}: {what} at {point_text(point)}; is there a loop too many?".encode()


def read(stream: IO[bytes]) -> bytes | None:
    """The next message; None at the end."""
    head = stream.read(LENGTH_BYTES)
    return stream.read(int.from_bytes(head)) if len(head) == LENGTH_BYTES else None


def write(stream: IO[bytes], message: bytes) -> None:
    """Write a message."""
    stream.write(len(message).to_bytes(LENGTH_BYTES) + message)
    stream.flush()


def main() -> None:
    """Read the templates, and answer each list of points with the files of each point."""
    reading, writing, seconds = sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1])
    signal.signal(signal.SIGXCPU, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    templates: list[FileTemplate] = []
    while (message := read(reading)) is not None:
        asked = orjson.loads(message)
        if "template" in asked:
            _grant(seconds)
            try:
                templates.append(FileTemplate(asked["template"], asked["name"], asked["known"]))
                write(writing, GOOD)
            except SweepError as error:
                write(writing, BAD + str(error).encode())
            continue
        for point in asked["points"]:
            values = _unpack(point)
            for template in templates:
                write(writing, _rendered(template, values, seconds))


if __name__ == "__main__":
    main()
