"""`distribute retry BATCH|JOB`: has jobs run again that failed or were killed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import ForceOption, TargetArgument
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.client.retrying import Outcome, Retried


async def retry(
    session: Session,
    target: TargetArgument,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Only these jobs of the batch.", show_default=False),
    ] = None,
    include: Annotated[
        str | None,
        typer.Option("--include", "-i", metavar="RE", help="Only jobs of whose name this matches a part."),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only jobs that failed.")] = False,
    killed: Annotated[bool, typer.Option("--killed", help="Only jobs that were killed.")] = False,
    hold: Annotated[
        bool, typer.Option("--hold", help="Hold the batch: none of them begins before `release`.")
    ] = False,
    force: ForceOption = False,
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="Say what would run again, but change nothing.")
    ] = False,
) -> int:
    """Have jobs of a batch run again that failed or were killed. What succeeded, and was built, is kept.

    A batch that is over goes on, and ends again: `wait` waits for that.
    """
    from distribute.client.retrying import matching_jobs
    from distribute.client.retrying import retry as retry_jobs
    from distribute.client.targets import find_target, job_of
    from distribute.client.words import argument, printable
    from distribute.core.ids import JobId
    from distribute_cli.output.losses import whose

    person, pattern = session.person, _pattern(include)
    only: Outcome | None = None if failed == killed else "failed" if failed else "killed"
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_target(queries, target)
        batch = found.batch_id if isinstance(found, JobId) else found
        named = [found.job] if isinstance(found, JobId) else []
        named += [job_of(batch, job) for job in jobs or ()]
        if pattern is not None:
            _refuse_names(named)
            named = await matching_jobs(queries, batch, pattern, only=only)
            if not named:
                wanted = only or "failed or killed"
                session.output.warn(f"no {wanted} job of {printable(str(batch))} matches {pattern.pattern!r}")
                return 1
        standing = await queries.batch(batch, most=0)
        retried = await retry_jobs(
            cluster, queries, person, batch, named, only=only, hold=hold, force=force, dry=dry
        )
    document = {
        "retrying": str(batch),
        "user": standing["user"],
        "job_names": named or None,
        **retried._asdict(),
        "hold": hold,
        "dry": dry,
    }
    session.output.done(_line(retried, whose(standing, person.name), hold=hold, dry=dry), document)
    if not dry:
        name = argument(str(batch))
        until = f"`distribute release {name}` lets them begin"
        session.output.hint(until if hold else f"`distribute wait {name}` returns when it is over")
    return 0


def _pattern(text: str | None) -> re.Pattern[str] | None:
    """The regular expression that a person wrote.

    Raises:
        InputError: it is none.
    """
    from distribute.core.errors import InputError

    try:
        return re.compile(text) if text is not None else None
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"--include: {text!r} is not a regular expression: {error}") from error


def _refuse_names(named: list[str]) -> None:
    """Refuse jobs that are named beside a pattern."""
    from distribute.core.errors import InputError

    if named:
        raise InputError("--include chooses jobs of a batch: name the batch alone, or leave --include out")


def _line(retried: Retried, batch: str, *, hold: bool, dry: bool) -> str:
    """What runs again, in words."""
    from distribute.core.words import counted

    parts = [(retried.failed, "failed job"), (retried.killed, "killed job")]
    jobs = " and ".join(counted(number, what) for number, what in parts if number)
    runs = "would run" if dry else "runs" if retried.total == 1 else "run"
    return f"{jobs} of {batch} {runs} again{', once it is released' if hold else ''}"


app = verb(retry)
