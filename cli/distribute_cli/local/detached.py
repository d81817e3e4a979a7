"""Starting a local cluster in the background.

It needs nothing of what the cluster itself needs, whose imports take longer than all else of this.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from distribute.core.errors import DistributeError, InputError, Refused
from distribute.core.os_words import why
from distribute_cli.local.cluster_record import down_command, record_in, running
from distribute_cli.local.ready import show_ready, warn_if_verbs_go_elsewhere
from distribute_cli.local.services import python_program
from distribute_cli.output.form import Output


async def run_detached(output: Output, directory: Path, arguments: Sequence[str]) -> int:
    """Run `distribute` with these arguments in the background, and return when its cluster is ready.

    Raises:
        DistributeError, InputError, Refused: it did not become ready; the message is its own.
    """
    logs = directory / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{logs}: can't be made: {why(error)}; choose another folder with --dir") from error
    log_path = logs / "up.log"
    already_bytes = log_path.stat().st_size if log_path.exists() else 0
    process, pipe = _launch(arguments, log_path)
    with pipe:
        try:
            ready = await asyncio.to_thread(pipe.readline)
        except asyncio.CancelledError:
            process.terminate()
            process.wait()
            raise
    if not ready:
        raise _failure(process.wait(), log_path, already_bytes)
    record = running(record_in(directory))
    if record is None:
        raise DistributeError(
            f"the cluster in {directory} ended as soon as it was ready; {log_path} tells why"
        )
    for line in _messages(log_path, already_bytes):
        output.warn(line)
    show_ready(output, record)
    await warn_if_verbs_go_elsewhere(output, record)
    output.hint(f"`{down_command(directory)}` ends it")
    return 0


def _launch(arguments: Sequence[str], log_path: Path) -> tuple[subprocess.Popen[bytes], BinaryIO]:
    """Start `distribute` in a session of its own. Its output goes to a log; the pipe says it is ready."""
    reading, writing = os.pipe()
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            python_program("distribute_cli", *arguments, "--ready-fd", str(writing)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[writing],
        )
    os.close(writing)
    return process, os.fdopen(reading, "rb")


def _failure(code: int, log_path: Path, already_bytes: int) -> DistributeError:
    """The error that the other process ended with, in its own words, from the new part of the log."""
    text = "\n".join(_messages(log_path, already_bytes))
    text = text or f"the cluster did not start (exit code {code}); {log_path} tells more"
    return {2: InputError, 4: Refused}.get(code, DistributeError)(text)


def _messages(log_path: Path, already_bytes: int) -> list[str]:
    """What the other process has told a person, in the new part of the log."""
    lines = log_path.read_bytes()[already_bytes:].decode(errors="replace").splitlines()
    return [line.removeprefix("distribute: ") for line in lines if line.startswith("distribute: ")]
