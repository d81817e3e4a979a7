"""`distribute edit BATCH [JOB…]`: changes what has not started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import BatchArgument, ForceOption
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument, EditDocument
    from distribute.client.editing import Changes

NO_LIMIT = "none"


async def edit(
    session: Session,
    batch: BatchArgument,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Only these jobs of the batch."),
    ] = None,
    cpus: Annotated[str | None, typer.Option(metavar="N", help="The cpus of each job.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="The memory of each job: 8G.")] = None,
    gpus: Annotated[str | None, typer.Option(metavar="N", help="The GPUs of each job.")] = None,
    longest: Annotated[
        str | None, typer.Option("--timeout", metavar="T", help="The longest a job may run: 2h; or none.")
    ] = None,
    retries: Annotated[
        str | None, typer.Option(metavar="N", help="How often a failed job is tried again.")
    ] = None,
    max_running: Annotated[
        str | None, typer.Option(metavar="N", help="How many jobs of the batch may run at a time; or none.")
    ] = None,
    max_failures: Annotated[
        str | None, typer.Option(metavar="N", help="Begin no more jobs once N have failed; or none.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Edit even if no node could run the jobs.")
    ] = False,
    force: ForceOption = False,
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="Say what would change, but change nothing.")
    ] = False,
) -> None:
    """Change what the waiting jobs of a batch ask for, and how the batch limits itself.

    Jobs that run, or are over, keep what they have.
    """
    from distribute.client.editing import edit as edit_batch
    from distribute.client.submit import Fit
    from distribute.client.targets import find_batch, job_of

    changes = changes_of(cpus, memory, gpus, longest, retries, max_running, max_failures)
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_batch(queries, batch)
        named = [job_of(found, job) for job in jobs or ()]
        standing = await queries.batch(found, most=0)
        edited = await edit_batch(
            cluster, queries, session.person, found, changes,
            jobs=named, force=force, anyway=anyway, dry=dry,
        )  # fmt: skip
    document = {
        "editing": str(found),
        "user": standing["user"],
        "jobs": named or None,
        "changes": _given(changes),
        **{name: edited[name] for name in ("waiting", "in_flight", "over")},
        "dry": dry,
    }
    session.output.done(_line(standing, session.person.name, edited, changes.of_jobs, dry=dry), document)
    if (problem := Fit(edited["match"], {}).problem) is not None:
        session.output.warn(problem)


def changes_of(
    cpus: str | None,
    memory: str | None,
    gpus: str | None,
    longest: str | None,
    retries: str | None,
    max_running: str | None,
    max_failures: str | None,
) -> Changes:
    """The changes that these texts say. Raises `InputError`, which names the option."""
    from distribute.client.editing import Changes
    from distribute.core.spec import specs
    from distribute_cli.values import size_bytes, whole_number

    return Changes(
        cpus=whole_number("--cpus", cpus, 1, specs.MAX_CPUS),
        memory_bytes=None if memory is None else size_bytes("--memory", memory),
        gpus=whole_number("--gpus", gpus, 0, specs.MAX_GPUS),
        timeout_s=_timeout_s(longest),
        retries=whole_number("--retries", retries, 0, specs.MAX_RETRIES),
        max_running=_limit("--max-running", max_running),
        max_failures=_limit("--max-failures", max_failures),
    )


def _given(changes: Changes) -> dict[str, float]:
    """What changes, without the rest."""
    return {name: value for name, value in changes._asdict().items() if value is not None}


def _timeout_s(text: str | None) -> float | None:
    from distribute_cli.values import duration_s

    if text is None:
        return None
    return 0.0 if text == NO_LIMIT else duration_s("--timeout", text)


def _limit(option: str, text: str | None) -> int | None:
    """A number of jobs; 0 for `none`."""
    from distribute.core.spec.specs import MAX_JOBS
    from distribute_cli.values import whole_number

    return 0 if text == NO_LIMIT else whole_number(option, text, 1, MAX_JOBS, otherwise=f", or {NO_LIMIT}")


def _line(batch: BatchDocument, person: str, edited: EditDocument, of_jobs: bool, *, dry: bool) -> str:
    """What is edited, in words."""
    from distribute.core.words import counted
    from distribute_cli.output.losses import whose

    name = whose(batch, person)
    if not of_jobs:
        return f"{name} {'would be' if dry else 'is'} edited"
    waiting = edited["waiting"]
    are = "would be" if dry else "is" if waiting == 1 else "are"
    keep = ""
    if edited["in_flight"]:
        keeps = "keeps what it has" if edited["in_flight"] == 1 else "keep what they have"
        keep = f"; {counted(edited['in_flight'], 'job')} that a node has {keeps}"
    return f"{counted(waiting, 'waiting job')} of {name} {are} edited{keep}"


app = verb(edit)
