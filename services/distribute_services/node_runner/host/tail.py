"""Send the output of running jobs and builds while they print it."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from distribute.core.errors import DistributeError
from distribute.core.ids import BuildId, JobId
from distribute.ports import LiveOutput

log = logging.getLogger(__name__)

INTERVAL_S = 0.5

MAX_BYTES = 64 << 10
"""Max. bytes of an output per message (128 KiB/s). Of more output, only the end is sent, with a note."""

_NOTE = "sent"
"""The file beside an output that says how many bytes of it were sent."""

SEND_TIMEOUT_S = 2.0
"""Max. seconds to wait for the broker, which must not delay a job that has ended."""


class Followed:
    """A growing file. It stays open, so that we can read it to its end even if the job removes it."""

    __slots__ = ("_stdout", "attempt", "fd", "of", "sent_bytes")

    def __init__(self, of: JobId | BuildId, attempt: int, fd: int, stdout: Path) -> None:
        self.of = of
        self.attempt = attempt
        self.fd = fd
        self._stdout = stdout
        self.sent_bytes = 0

    @property
    def note(self) -> Path:
        """The file that says how much was sent, for the next runner."""
        return self._stdout.with_name(_NOTE)

    def go_on(self) -> None:
        """Go on behind what an earlier runner has sent."""
        try:
            self.sent_bytes = int(self.note.read_text())
        except (OSError, ValueError):
            self.sent_bytes = 0  # it sent nothing, or was killed at once

    def note_sent(self) -> None:
        """Note how much was sent. Without the note, the next runner sends all again."""
        try:
            self.note.write_text(str(self.sent_bytes))
        except OSError as error:
            log.debug("%s: %s could not be written: %s", self.of, self.note, error)

    def news(self) -> bytes:
        """The output since the last call; only its end if it is too long."""
        size = os.fstat(self.fd).st_size
        if size < self.sent_bytes:  # the job emptied it, as `> /dev/stderr` in a shell does
            self.sent_bytes = 0
        if size - self.sent_bytes <= MAX_BYTES:
            text = os.pread(self.fd, size - self.sent_bytes, self.sent_bytes)
            self.sent_bytes += len(text)
            return text
        text = os.pread(self.fd, MAX_BYTES, size - MAX_BYTES)
        text = text[text.find(b"\n") + 1 :]  # from the beginning of a line, if there is one
        skipped_bytes = size - len(text) - self.sent_bytes
        self.sent_bytes = size
        return b"\n[%d bytes skipped here: the whole output comes with the results]\n" % skipped_bytes + text


class Tail:
    """Follows the output files of running attempts and builds. Has no task while there are none."""

    def __init__(self, live: LiveOutput, interval_s: float = INTERVAL_S) -> None:
        self._live = live
        self._interval_s = interval_s
        self._files: set[Followed] = set()
        self._following: asyncio.Task[None] | None = None

    def add(self, of: JobId | BuildId, attempt: int, stdout: Path, *, goes_on: bool = False) -> Followed:
        """Follow the output of an attempt, or of a build (attempt 0). Call this before starting its process.

        `goes_on`: an earlier runner has followed it, so only what came since is sent.
        Takes about 5 µs. The process may remove the file, or replace it by a pipe, which would block us when
        we open it. Raises `OSError` if the file can't be made.
        """
        fd = os.open(stdout, os.O_RDONLY | os.O_CREAT, 0o644)
        file = Followed(of, attempt, fd, stdout)
        if goes_on:
            file.go_on()
        self._files.add(file)
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow(), name="follow output")
        return file

    async def finish(self, file: Followed) -> None:
        """Send the rest of the output of what has ended, and close the file."""
        self._files.remove(file)
        try:
            await self._send_news(file)
        finally:
            os.close(file.fd)

    def drop(self, file: Followed) -> None:
        """Forget what could not be started."""
        self._files.remove(file)
        os.close(file.fd)

    async def close(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        for file in self._files:
            os.close(file.fd)
        self._files.clear()

    async def _follow(self) -> None:
        while self._files:
            await asyncio.sleep(self._interval_s)
            for file in list(self._files):
                # It may have finished while another file's output was sent.
                if file in self._files and await self._send_news(file) and file.attempt:
                    file.note_sent()

    async def _send_news(self, file: Followed) -> bool:
        """Send what was printed since the last call. Returns False if that is nothing."""
        text = file.news()
        if not text:
            return False
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._live.send(file.of, file.attempt, text)
        except (DistributeError, TimeoutError) as error:
            # Only people who follow the output miss this part: the whole output comes with the results.
            lost = f"could not send {len(text)} bytes of its output to those who follow it"
            log.debug("%s: %s: %s", file.of, lost, str(error) or "no answer")
        return True
