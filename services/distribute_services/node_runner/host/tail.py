"""Sends what running jobs print, while they print it."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from distribute.core.errors import DistributeError
from distribute.core.ids import JobId
from distribute.ports import LiveOutput

log = logging.getLogger(__name__)

INTERVAL_S = 0.5

MAX_BYTES = 64 << 10
"""The most that is sent of one job at a time: 128 KiB/s. Of more, only the end is sent, and that is said."""

SEND_TIMEOUT_S = 2.0
"""A broker that is away must not hold up a job that ended."""


class _File:
    """A growing file. It stays open, so that it can be read to its end when it is removed."""

    __slots__ = ("attempt", "fd", "job", "sent_bytes")

    def __init__(self, job: JobId, attempt: int, fd: int) -> None:
        self.job = job
        self.attempt = attempt
        self.fd = fd
        self.sent_bytes = 0

    def news(self) -> bytes:
        """What came since the last call; of too much, the end."""
        size = os.fstat(self.fd).st_size
        if size < self.sent_bytes:  # the job emptied it, as `> /dev/stderr` in a shell does: it begins anew
            self.sent_bytes = 0
        if size - self.sent_bytes <= MAX_BYTES:
            text = os.pread(self.fd, size - self.sent_bytes, self.sent_bytes)
            self.sent_bytes += len(text)
            return text
        text = os.pread(self.fd, MAX_BYTES, size - MAX_BYTES)
        text = text[text.find(b"\n") + 1 :]  # from the beginning of a line, where there is one
        skipped_bytes = size - len(text) - self.sent_bytes
        self.sent_bytes = size
        return b"\n[%d bytes skipped here: the whole output comes with the results]\n" % skipped_bytes + text


class Tail:
    """Follows the output files of running attempts. Nothing happens while there are none."""

    def __init__(self, live: LiveOutput, interval_s: float = INTERVAL_S) -> None:
        self._live = live
        self._interval_s = interval_s
        self._files: dict[tuple[JobId, int], _File] = {}
        self._following: asyncio.Task[None] | None = None

    def add(self, job: JobId, attempt: int, stdout: Path) -> None:
        """Follow an attempt's output. To be called before its process is started. About 5 µs.

        For the process may do anything to the file's name: remove it, or put a pipe there, which would
        hold up whoever opens it. Raises `OSError` where the file can't be made.
        """
        fd = os.open(stdout, os.O_RDONLY | os.O_CREAT, 0o644)
        self._files[job, attempt] = _File(job, attempt, fd)
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow(), name="follow output")

    async def finish(self, job: JobId, attempt: int) -> None:
        """Send what is still unsent of an attempt that ended, and forget it. The file may go afterwards."""
        file = self._files.pop((job, attempt))
        try:
            await self._send_news(file)
        finally:
            os.close(file.fd)

    def drop(self, job: JobId, attempt: int) -> None:
        """Forget an attempt that could not be started."""
        os.close(self._files.pop((job, attempt)).fd)

    async def close(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        for file in self._files.values():
            os.close(file.fd)
        self._files.clear()

    async def _follow(self) -> None:
        while self._files:
            await asyncio.sleep(self._interval_s)
            for key, file in list(self._files.items()):
                if key in self._files:  # it may have finished while another one's news were sent
                    await self._send_news(file)

    async def _send_news(self, file: _File) -> None:
        text = file.news()
        if not text:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._live.send(file.job, file.attempt, text)
        except (DistributeError, TimeoutError) as error:
            # A view that is lost, no more: the whole output comes with the results.
            lost = f"{len(text)} bytes of its output could not be sent for following"
            log.warning("%s: %s: %s", file.job, lost, error or "no answer")
