"""Files that are made of template files, one for each point of a sweep.

Another process renders them (`distribute.sweeps.renderer`): it has bounds that a template can't pass.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from distribute.core.os_words import why
from distribute.core.words import LONGEST_QUOTED_PATH, format_size, quoted
from distribute.inputs.made import MadeContents
from distribute.sweeps import Point, SweepError
from distribute.sweeps.renderer import GOOD, LENGTH_BYTES, pack_point, write

MAX_TEMPLATE_BYTES = 1 << 20
MAX_ALL_BYTES = 4 << 30
"""All files that a sweep renders. They go to the disk of the person's computer first."""

MAX_CPU_S = 5
"""Processor time for one file. Thousands of usual files are rendered in that time."""

LONGEST_WAIT_S = 120.0
"""For so long the other process may say nothing: its processor time is bounded, and it may have to wait."""


class Template(NamedTuple):
    """A template file: its path in the configuration, its text, and what its files inherit."""

    path: str
    text: str
    mode: int
    mtime_ns: int


def read_template(absolute: Path, path: str) -> Template:
    """Read a template file. Raises SweepError if it is none."""
    shown = quoted(path, LONGEST_QUOTED_PATH)
    try:
        with absolute.open("rb") as file:
            data = file.read(MAX_TEMPLATE_BYTES + 1)
        status = absolute.stat()
    except OSError as error:
        raise SweepError(
            f"can't read the template {shown}: {why(error)}; write the path of a text file"
        ) from error
    if len(data) > MAX_TEMPLATE_BYTES:
        raise SweepError(f"the template {shown} has more than {format_size(MAX_TEMPLATE_BYTES)}; is it data?")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise SweepError(
            f"the template {shown} is no text in UTF-8: byte {error.start + 1} is wrong"
        ) from None
    return Template(path, text, status.st_mode & 0o777, status.st_mtime_ns)


class Renderer:
    """Renders templates in another process. `made` gets the files."""

    def __init__(self, process: subprocess.Popen[bytes], made: MadeContents) -> None:
        self._process = process
        self._made = made
        self._buffer = bytearray()
        self._templates: list[Template] = []

    def add(self, template: Template, known: Sequence[str]) -> None:
        """Take a template. Raises SweepError if it is wrong, or uses a name that is not known."""
        self._templates.append(template)
        self._ask({"template": template.text, "name": template.path, "known": known})
        self._answer(template)

    def render(self, points: Sequence[Point]) -> Iterator[list[str]]:
        """The digests of each point's files, in the order of the templates.

        Raises SweepError if a file can't be made, InputError if it can't be kept.
        """
        self._ask({"points": [pack_point(point) for point in points]})
        for _ in points:
            yield [self._kept(self._answer(template)) for template in self._templates]

    def _kept(self, content: bytes) -> str:
        sha256 = self._made.add(content)
        if self._made.size_bytes > MAX_ALL_BYTES:
            most = format_size(MAX_ALL_BYTES)
            raise SweepError(f"the files that the templates make have more than {most} together")
        return sha256

    def _ask(self, message: dict[str, object]) -> None:
        stream = self._process.stdin
        assert stream is not None, "it is a pipe"
        try:
            write(stream, orjson.dumps(message))
        except BrokenPipeError as error:
            raise self._gone(None) from error

    def _answer(self, template: Template) -> bytes:
        """What the process says of a template. Raises SweepError if that is a problem."""
        length = int.from_bytes(self._read(LENGTH_BYTES, template))
        message = self._read(length, template)
        if message[:1] != GOOD:
            raise SweepError(message[1:].decode())
        return message[1:]

    def _read(self, count: int, template: Template) -> bytes:
        stream = self._process.stdout
        assert stream is not None, "it is a pipe"
        until = time.monotonic() + LONGEST_WAIT_S
        while len(self._buffer) < count:
            ready, _, _ = select.select([stream], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                what = f"it has not ended after {LONGEST_WAIT_S:.0f}s"
                raise SweepError(f"{template.path}: {what}; is there a loop too many?")
            piece = os.read(stream.fileno(), 1 << 20)
            if not piece:
                raise self._gone(template)
            self._buffer += piece
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    def _gone(self, template: Template | None) -> SweepError:
        named = "a template" if template is None else template.path
        return SweepError(
            f"{named}: the process that renders it ended ({self._process.wait()}); is it too large?"
        )


@contextmanager
def rendering(made: MadeContents) -> Iterator[Renderer]:
    """A process that renders, as long as the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "distribute.sweeps.renderer", str(MAX_CPU_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this program
    )
    with process:
        try:
            yield Renderer(process, made)
        finally:
            process.kill()
            assert process.stdin is not None, "it is a pipe"
            with suppress(BrokenPipeError):  # closing flushes what the process did not read
                process.stdin.close()
