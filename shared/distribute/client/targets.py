"""What a person calls a batch or a job: its name, a part of it, or the path of the batch's YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distribute.client.person import user_name
from distribute.client.queries import no_such_batch
from distribute.client.words import argument, printable
from distribute.config.settings.folders import home_expanded
from distribute.core.errors import InputError, Refused
from distribute.core.ids import BatchId, JobId, check_name

if TYPE_CHECKING:
    from distribute.client.queries import Queries

LAST = "last"
"""A name of the batch that this person submitted last."""

MOST_NAMED = 5


async def find_batch(queries: Queries, text: str) -> BatchId:
    """The batch that `text` names. A bare batch name will do if only one namespace has it; `last` is the last
    that this person submitted.

    Raises:
        InputError: `text` can't be a name, or the file is not there.
        Refused: no batch has this bare name, or several have it.
    """
    target = await find_target(queries, text)
    if isinstance(target, JobId):
        raise InputError(f"{printable(text)!r} names a job; a batch is NAMESPACE/BATCH: {target.batch_id}")
    return target


async def find_job(queries: Queries, text: str) -> JobId:
    """The job that `text` names: [NAMESPACE/]BATCH/JOB. Raises as `find_target`."""
    target = await find_target(queries, text)
    if not isinstance(target, JobId):
        raise InputError(
            f"{printable(text)!r} names a batch; a job of it is {printable(str(target))}/JOB: "
            f"`distribute status {argument(str(target))}` lists them"
        )
    return target


def job_of(batch: BatchId, text: str) -> str:
    """The name of the job of this batch that `text` names: JOB, BATCH/JOB, NAMESPACE/BATCH/JOB or last/JOB.

    Raises:
        InputError: it is no name, or names a job of another batch.
    """
    *above, job = text.split("/")
    if above not in ([], [LAST], [batch.batch], [*batch]):
        raise InputError(
            f"{printable(text)} is no job of {printable(str(batch))}: name jobs of one batch, as JOB or as "
            f"{printable(batch.batch)}/JOB"
        )
    try:
        return check_name(job)
    except ValueError as error:
        raise InputError(f"{printable(text)!r}: {error}; write JOB or BATCH/JOB") from error


async def find_target(queries: Queries, text: str) -> BatchId | JobId:
    """The batch or job that `text` names; see `find_batch`. BATCH/JOB will do where NAMESPACE/BATCH names no
    batch, and only one namespace has a batch of this name.
    """
    if text == LAST:
        return await _find_last(queries)
    if _means_file(text) and not await _names_batch(queries, text):
        from distribute.config.loading import batch_named_in  # 20 ms for YAML, which a name does not need

        return batch_named_in(home_expanded(Path(text)))
    match text.split("/"):
        case [batch]:
            return await _find_bare(queries, _checked(text, batch))
        case ["last", job] if not await _names_batch(queries, text):
            return JobId(*await _find_last(queries), _checked(text, job))
        case [namespace, batch]:
            return await _find_pair(queries, _checked(text, namespace), _checked(text, batch))
        case [namespace, batch, job]:
            return JobId(_checked(text, namespace), _checked(text, batch), _checked(text, job))
        case _:
            raise InputError(
                f"{printable(text)!r} has too many parts; write NAMESPACE/BATCH or NAMESPACE/BATCH/JOB"
            )


def _checked(where: str, name: str) -> str:
    try:
        return check_name(name)
    except ValueError as error:
        raise InputError(
            f"{printable(where)!r}: {error}; write NAMESPACE/BATCH or NAMESPACE/BATCH/JOB"
        ) from error


def _means_file(text: str) -> bool:
    return (
        text.endswith((".yaml", ".yml")) or text.startswith(("/", "./", "../", "~")) or Path(text).is_file()
    )


async def _names_batch(queries: Queries, text: str) -> bool:
    """Does `text`, which looks like a path, name a batch or a job? An existing file takes precedence."""
    parts = text.split("/")
    if len(parts) not in {2, 3} or home_expanded(Path(text)).exists():
        return False
    batches = (await queries.batches())["batches"]
    return any([batch["namespace"], batch["batch"]] == parts[:2] for batch in batches)


async def _find_last(queries: Queries) -> BatchId:
    found = (await queries.batches(user=user_name(), last=1))["batches"]
    if not found:
        raise Refused("you have submitted no batch yet; `distribute status` lists those of others")
    return BatchId(found[0]["namespace"], found[0]["batch"])


async def _find_pair(queries: Queries, first: str, second: str) -> BatchId | JobId:
    named = BatchId(first, second)
    if await queries.has(named):
        return named
    found = await _namesakes(queries, first)
    return JobId(*_only(first, found, f"/{second}"), second) if found else named


async def _find_bare(queries: Queries, name: str) -> BatchId:
    found = await _namesakes(queries, name)
    if not found:
        raise no_such_batch(name)
    return _only(name, found)


async def _namesakes(queries: Queries, name: str) -> list[BatchId]:
    """The batches of this name, of all namespaces."""
    batches = (await queries.batches())["batches"]
    return [BatchId(batch["namespace"], batch["batch"]) for batch in batches if batch["batch"] == name]


def _only(name: str, found: list[BatchId], rest: str = "") -> BatchId:
    """The only one of the batches called `name`. `rest` is what a person wrote behind that."""
    if len(found) > 1:
        names = ", ".join(printable(f"{batch}{rest}") for batch in found[:MOST_NAMED])
        more = f", and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        raise Refused(f"{len(found)} batches are called {printable(name)!r}: name one of {names}{more}")
    return found[0]
