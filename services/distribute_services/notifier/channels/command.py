"""The channel `command`: a program of the lab's, which gets each message as JSON on its standard input.

Exit code 0: it took the message. 67 (EX_NOUSER of sysexits.h): the person can't be reached. 69
(EX_UNAVAILABLE): nobody can be reached now. Anything else: this person can't be reached now. The program may
get a message twice, after a crash; then it has the same `key`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import asdict
from shutil import which
from tempfile import TemporaryFile
from typing import IO

import orjson

from distribute.client.words import printable
from distribute.config.settings.notify_settings import CommandChannel as Settings
from distribute.core.os_words import signal_name, why
from distribute_services.notifier.channel import Message, Unavailable, Undeliverable

NO_USER = 67
UNAVAILABLE = 69
MOST_PRINTED_BYTES = 2000
"""So much of the end of what a program printed is looked at for the reason."""


class CommandChannel:
    """Runs a program for each message."""

    name = "command"
    limits = ()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def check(self) -> None:
        """Look if the program is there. Raises as `Channel.check`."""
        if which(self._settings.run[0]) is None:
            raise Unavailable(f"{self._settings.run[0]} is no program that this user can run")

    async def send(self, message: Message) -> None:
        """Run the program. Raises as `Channel.send`."""
        with TemporaryFile() as printed:
            code = await self._run(orjson.dumps(asdict(message)), printed)
            reason = f"{self._settings.run[0]} {_how(code)}{_last_line(printed)}"
        if code == NO_USER:
            raise Undeliverable(reason)
        if code:
            raise Unavailable(reason, others_wait=code == UNAVAILABLE)

    async def close(self) -> None:
        """Nothing is kept."""

    async def _run(self, given: bytes, printed: IO[bytes]) -> int:
        """The exit code; if a signal ended the program, its number below 0."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._settings.run,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=printed,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"{self._settings.run[0]} can't be started: {why(error)}") from error
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await process.communicate(given)
        except TimeoutError:
            reason = f"{self._settings.run[0]} took longer than {self._settings.timeout_s:g} s"
            raise Unavailable(reason, others_wait=False) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):  # it has ended just now
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        assert process.returncode is not None, "it has ended"
        return process.returncode


def _how(code: int) -> str:
    return f"was ended by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"


def _last_line(printed: IO[bytes]) -> str:
    printed.seek(max(0, printed.seek(0, os.SEEK_END) - MOST_PRINTED_BYTES))
    lines = printed.read().decode(errors="replace").strip().splitlines()
    return f": {printable(lines[-1])}" if lines else ""
