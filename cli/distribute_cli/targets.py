"""What a BATCH or JOB on the command line means: a name, or the path of a batch's YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distribute.core.errors import InputError, Refused
from distribute.core.ids import BatchId, JobId, check_name
from distribute_cli.output import printable

if TYPE_CHECKING:
    from distribute_cli.reads import Reads

DEFAULT_FILE = "distribute-jobs.yaml"

BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help="NAMESPACE/BATCH, or its YAML file.")]
"""A batch, by default that of the YAML file in this folder."""


async def find_batch(reads: Reads, text: str) -> BatchId:
    """The batch that `text` names. A bare batch name will do where one namespace alone has it.

    Raises:
        InputError: no name can look like this, or its file is not there.
        Refused: a bare name that no batch has, or several.
    """
    target = await find_target(reads, text)
    if isinstance(target, JobId):
        raise InputError(f"{printable(text)!r} names a job; a batch is NAMESPACE/BATCH: {target.batch_id}")
    return target


async def find_target(reads: Reads, text: str) -> BatchId | JobId:
    """The batch or job that `text` names; see `find_batch`."""
    if _means_file(text) and not await _names_batch(reads, text):
        from distribute.config.loading import batch_named_in  # YAML costs a query by name 20 ms

        return batch_named_in(Path(text).expanduser())
    match text.split("/"):
        case [batch]:
            return await _find_bare(reads, _checked(text, batch))
        case [namespace, batch]:
            return BatchId(_checked(text, namespace), _checked(text, batch))
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


async def _names_batch(reads: Reads, text: str) -> bool:
    """Does what looks like a file's path name a batch, or a job of one? A file that is there goes first."""
    parts = text.split("/")
    if len(parts) not in {2, 3} or Path(text).expanduser().exists():
        return False
    batches = (await reads.status())["batches"]
    return any([batch["namespace"], batch["batch"]] == parts[:2] for batch in batches)


async def _find_bare(reads: Reads, name: str) -> BatchId:
    batches = (await reads.status())["batches"]
    found = [BatchId(batch["namespace"], batch["batch"]) for batch in batches if batch["batch"] == name]
    if not found:
        raise Refused(f"there is no batch {printable(name)!r}; `distribute status` lists those there are")
    if len(found) > 1:
        names = ", ".join(printable(str(batch)) for batch in found)
        raise Refused(f"{len(found)} batches are called {printable(name)!r}: name one of {names}")
    return found[0]
