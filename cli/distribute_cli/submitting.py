"""Handing in a batch: is it wanted and possible, then its inputs, then the batch, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.core.errors import Conflict, Refused
from distribute.core.events import Deleted, Guard, Submitted
from distribute_cli.fitting import fit_of, refuse_misfit
from distribute_cli.output import Document, Output, argument, printable
from distribute_cli.requests import delete_batch
from distribute_cli.session import author, stamp
from distribute_cli.uploading import upload

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.core.specs import BatchSpec
    from distribute.ports import Cluster
    from distribute_cli.reads import Reads


async def check(
    cluster: Cluster, reads: Reads, output: Output, spec: BatchSpec, *, replace: bool, anyway: bool
) -> Document:
    """See that the name is free and that nodes could run the batch. Returns what is known of it.

    Raises:
        Refused: a batch of this name exists, or no node could run some job, unless told otherwise.
    """
    if not replace:
        await _refuse_if_taken(cluster, spec.id)
    fit = await fit_of(reads, spec)
    if not anyway:
        refuse_misfit(fit)
    elif fit.problem is not None:
        output.warn(fit.problem)
    output.hint(fit.line)
    return {
        "namespace": spec.namespace,
        "batch": spec.batch,
        "jobs": len(spec.work.jobs),
        "nodes": fit.document["nodes"],
        "fit": fit.document["fit"],
        "capabilities": fit.document["capabilities"],
    }


async def hand_in(
    cluster: Cluster, output: Output, spec: BatchSpec, sources: Mapping[str, Path], *, replace: bool = False
) -> None:
    """Store the inputs, and submit.

    Raises:
        Refused: a batch of this name exists, and is not to be replaced.
        IntegrityError, InputError, StorageFull: an input could not be stored; nothing is submitted.
    """
    if sources:
        with output.bar("sending inputs", of_bytes=True) as bar:
            await upload(cluster.store, sources, bar)
    if replace and await _exists(cluster, spec.id):
        await delete_batch(cluster, spec.id)
    last = await cluster.log.last(spec.id)
    guard = Guard(last.seq if last is not None and isinstance(last.event, Deleted) else 0)
    event = Submitted(**stamp(), namespace=spec.namespace, batch=spec.batch, user=author(), spec=spec)
    try:
        await cluster.log.append(event, guard)
    except Conflict:
        raise _taken(spec.id) from None


async def _refuse_if_taken(cluster: Cluster, batch: BatchId) -> None:
    if await _exists(cluster, batch):
        raise _taken(batch)


async def _exists(cluster: Cluster, batch: BatchId) -> bool:
    last = await cluster.log.last(batch)
    return last is not None and not isinstance(last.event, Deleted)


def _taken(batch: BatchId) -> Refused:
    name = printable(str(batch))
    return Refused(
        f"there is a batch {name} already: give this one another batch_name, put it in its place with "
        f"`distribute add --replace`, or first `distribute delete {argument(str(batch))}`"
    )
