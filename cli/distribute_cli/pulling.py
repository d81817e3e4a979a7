"""`pull`, from the log to the files: what is archived, what of it is wanted, and what was done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distribute.config.units import format_size
from distribute_cli.fetching import Pulled, fetch
from distribute_cli.filters import Filter
from distribute_cli.output import Document, Output, printable
from distribute_cli.reads import no_such_batch
from distribute_cli.results import archived_results
from distribute_cli.wanted import find_wanted

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster


async def pull_batch(
    cluster: Cluster, output: Output, batch: BatchId, paths: Filter, folder: Path, *, dry: bool, folders: bool
) -> int:
    """Pull what is archived of a batch, or list it (`dry`), and say what was done. Returns the exit code.

    Raises:
        Refused: there is no such batch.
        StorageFull, InputError: the folder has no room, or something in it is in the way.
    """
    archived = await archived_results(cluster, batch)
    if not archived.course.seq:
        raise no_such_batch(batch)
    wanted = await find_wanted(cluster, batch, archived, paths, folders=folders)
    document: Document = {
        "namespace": batch.namespace,
        "batch": batch.batch,
        "complete": archived.course.archived,
    }
    pulled = Pulled()
    if dry:
        output.files(document | wanted.document())
    else:
        with output.bar(f"pulling {printable(str(batch))}", of_bytes=True) as bar:
            pulled = await fetch(cluster.store, wanted, folder, bar)
        where = folder / batch.namespace / batch.batch
        output.done(_told(pulled, where), document | pulled.document(where))
    if not archived.course.archived:
        output.warn(
            f"{printable(str(batch))} is not over: this is what is archived of it so far, "
            f"{len(archived.jobs)} jobs; pull again later for the rest"
        )
    for line in wanted.left_out:
        output.warn(f"not archived: {printable(line)}")
    problems = [*wanted.problems, *pulled.problems]
    for line in problems:
        output.warn(printable(line))
    return 1 if problems else 0


def _told(pulled: Pulled, where: Path) -> str:
    place = printable(str(where))
    if pulled.kept and not pulled.fetched:
        return f"nothing new: all {pulled.kept} files are in {place} already"
    kept = f"; {pulled.kept} more were there already" if pulled.kept else ""
    return f"{pulled.fetched} files, {format_size(pulled.size_bytes)}, are in {place}{kept}"
