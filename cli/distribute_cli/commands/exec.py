"""`distribute exec JOB -- CMD`: runs a command in a job that runs."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import JobArgument
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.client.commands import Ended
    from distribute.client.visiting import Visit
    from distribute.core.spec.visits import CommandNews
    from distribute_cli.output.form import Output

ENDED_BY_SIGNAL = 128
"""A shell adds this to the signal that ended a program."""
LOST = 1


async def run(
    session: Session,
    job: JobArgument,
    command: Annotated[
        list[str], typer.Argument(metavar="-- CMD…", help="The command, behind `--`; it goes to no shell.")
    ],
    limit: Annotated[
        str, typer.Option("--timeout", metavar="T", help="End the command after so long, pauses not counted.")
    ] = "10m",
    force: Annotated[
        bool, typer.Option("--force", help="Also if it is a job of another person's batch.")
    ] = False,
) -> int:
    """Run a command in a job that runs: on its node, in its folder, with its environment and its cores.

    What it prints comes as it is printed, and its exit code is that of this verb. It has no terminal and an
    empty input. It counts as a process of the job: it ends with it, and is frozen with it.
    """
    from distribute.client.commands import run_command
    from distribute.client.saying import refuse_anothers
    from distribute.client.targets import find_job
    from distribute.client.visiting import find_running
    from distribute.core.spec.visits import MAX_LIMIT_S
    from distribute_cli.values import duration_s

    limit_s = duration_s("--timeout", limit, longest_s=MAX_LIMIT_S)
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        visit = await find_running(queries, await find_job(queries, job))
        refuse_anothers(visit.job.batch_id, visit.user, session.person, "run a command in", force=force)
        printed = _Printed(is_live=session.output.is_live)
        ended = await run_command(
            cluster,
            queries,
            session.person,
            visit,
            command,
            write=printed.write,
            limit_s=limit_s,
            on_pause=lambda news: session.output.hint(_paused(visit, news)),
        )
    return _tell(session.output, visit, command, ended, printed)


class _Printed:
    """What the command prints: written at once, or kept for a document."""

    def __init__(self, *, is_live: bool) -> None:
        self.out, self.errors = bytearray(), bytearray()
        self._is_live = is_live

    async def write(self, out: memoryview, errors: memoryview) -> None:
        if not self._is_live:
            self.out += out
            self.errors += errors
            return
        # In a thread: who reads this may be slow.
        await asyncio.to_thread(_write, out, errors)


def _write(out: memoryview, errors: memoryview) -> None:
    for stream, piece in ((sys.stdout, out), (sys.stderr, errors)):
        if piece:
            stream.buffer.write(piece)
            stream.buffer.flush()


def _tell(output: Output, visit: Visit, command: list[str], ended: Ended, printed: _Printed) -> int:
    from distribute.client.words import printable

    if ended.reason is not None:
        output.warn(f"{printable(visit.node)} ended the command: {printable(ended.reason)}")
    if not output.is_live:
        namespace, batch, job = visit.job
        document = {
            "namespace": namespace,
            "batch": batch,
            "job": job,
            "attempt": visit.attempt,
            "node": visit.node,
            "command": command,
            **ended._asdict(),
            "stdout": printed.out.decode(errors="backslashreplace"),
            "stderr": printed.errors.decode(errors="backslashreplace"),
        }
        output.done("", document)
    if ended.signal is not None:
        return ENDED_BY_SIGNAL + ended.signal
    return LOST if ended.exit_code is None else ended.exit_code


def _paused(visit: Visit, news: CommandNews) -> str:
    from datetime import datetime

    from distribute.client.words import printable

    assert news.paused_until is not None, "it is told of pauses only"
    until = datetime.fromtimestamp(news.paused_until).astimezone()
    by = f" by {printable(news.paused_by)}" if news.paused_by is not None else ""
    return f"{printable(visit.node)} is paused{by} until {until:%H:%M}: the command is frozen with its job"


app = verb(run)
