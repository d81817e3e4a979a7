"""Running a local cluster until a person ends it: in this terminal, or in the background."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from distribute.client.log_lines import OneLine
from distribute.core.errors import DistributeError, InputError, Refused
from distribute.core.os_words import why
from distribute.inherited import end_signals
from distribute.runtime import KEEP_JOBS, Stop
from distribute_cli.local.cluster import Plan, local_cluster
from distribute_cli.local.cluster_record import down_command, record_in, recorded, running
from distribute_cli.local.listening import Reach
from distribute_cli.local.ready import how_to_end, show_ready, warn_if_verbs_go_elsewhere
from distribute_cli.local.services import python_program
from distribute_cli.output.form import Output


async def run_here(
    output: Output, plan: Plan, ready_fd: int | None = None, *, reach: Reach | None = None
) -> int:
    """Run a cluster until a signal ends it. When it is ready, say so, and write to `ready_fd`.

    `reach` is how other computers reach a head.
    """
    for handler in logging.getLogger().handlers:
        handler.setFormatter(OneLine())  # what is logged for days needs times
    stop = Stop()
    serving = asyncio.create_task(_serve(output, plan, ready_fd, stop, reach))
    loop = asyncio.get_running_loop()

    numbers = (*end_signals(), KEEP_JOBS)

    def end(number: signal.Signals) -> None:
        if not serving.cancelling():
            stop.keeps_jobs = number is KEEP_JOBS
            serving.cancel()
        elif number is not signal.SIGHUP:
            stop.at_once.set()  # a second Ctrl-C does not wait for the results of nodes
            for each in numbers:
                loop.remove_signal_handler(each)  # and a third ends this process at once

    for number in numbers:
        loop.add_signal_handler(number, end, number)
    try:
        await serving
    except asyncio.CancelledError:
        output.hint(f"the cluster has ended; its data stays in {plan.directory}; `{plan.command}` continues")
    return 0


async def _serve(output: Output, plan: Plan, ready_fd: int | None, stop: Stop, reach: Reach | None) -> None:
    with ExitStack() as until_it_has_ended:  # until then a second `down` must find the record
        async with local_cluster(plan, stop) as server:
            nodes = [node.name for node in plan.nodes]
            record = until_it_has_ended.enter_context(
                recorded(server, plan.directory, nodes, plan.verb, plan.command, warn=output.warn)
            )
            show_ready(output, record, reach)
            if ready_fd is not None:
                os.write(ready_fd, b"ready\n")
                os.close(ready_fd)
            else:
                await warn_if_verbs_go_elsewhere(output, record)
                output.hint(how_to_end(record))
            await asyncio.Event().wait()


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
