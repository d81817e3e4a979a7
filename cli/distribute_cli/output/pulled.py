"""What `pull` prints: files that it lists, pulled, or could not pull."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from distribute.client.pull.fetching import Pulled, fetch
from distribute.client.pull.listing import Listing, list_results
from distribute.client.pull.target_folder import shown
from distribute.client.words import argument, printable
from distribute.config.units import format_size
from distribute.core.words import counted

if TYPE_CHECKING:
    from distribute.client.pull.filters import Filter
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output


async def pull_batch(
    cluster: Cluster,
    output: Output,
    batch: BatchId,
    wanted: Filter,
    folder: Path,
    *,
    dry: bool,
    folders: bool,
) -> int:
    """Pull what the archive holds of a batch, or list it (`dry`), and say what was done.

    Returns:
        The exit code: 1 if something could not be pulled, or the filter matches nothing.

    Raises:
        Refused: there is no such batch.
        StorageFull, InputError: the folder has no room, or can't be made.
    """
    listing = await list_results(cluster, batch, wanted, folders=folders)
    document: dict[str, Any] = {
        "namespace": batch.namespace,
        "batch": batch.batch,
        "complete": listing.complete,
    }
    pulled = Pulled()
    if dry:
        output.files(document | _listed(listing))
    else:
        with output.bar(f"pulling {printable(str(batch))}", of_bytes=True) as bar:
            pulled = await fetch(cluster.store, listing, folder, bar.update)
        where = folder / batch.namespace / batch.batch
        output.done(_told(batch, listing, pulled, where), document | _pulled(pulled, where))
    problems = [*listing.problems, *pulled.problems]
    _warn(output, batch, listing, problems)
    return 1 if problems or _nothing_matches(listing) else 0


def _nothing_matches(listing: Listing) -> bool:
    return bool(listing.filtered) and not listing.files and not listing.links


def _told(batch: BatchId, listing: Listing, pulled: Pulled, where: Path) -> str:
    place = printable(str(where))
    if _nothing_matches(listing):
        name, there = printable(str(batch)), len(listing.filtered)
        return (
            f"no file of {name} matches ({there} {'is' if there == 1 else 'are'} there): "
            f"`distribute pull {argument(str(batch))} --dry` lists them"
        )
    if pulled.kept and not pulled.fetched:
        return f"nothing new: {counted(pulled.kept, 'file')} already in {place}"
    kept = f"; {pulled.kept} more already there" if pulled.kept else ""
    return f"pulled {counted(pulled.fetched, 'file')} ({format_size(pulled.size_bytes)}) into {place}{kept}"


def _warn(output: Output, batch: BatchId, listing: Listing, problems: list[str]) -> None:
    if not listing.complete:
        output.warn(
            f"{printable(str(batch))} is not over: this is what is archived of it so far, "
            f"the results of {counted(listing.jobs, 'job')}; pull again later for the rest"
        )
    for line in listing.left_out:
        output.warn(f"not archived: {printable(line)}")
    for line in problems:
        output.warn(printable(line))


def _listed(listing: Listing) -> dict[str, Any]:
    files = [
        {"path": shown(wanted.parts), "size_bytes": wanted.file.size_bytes, "sha256": wanted.file.sha256}
        for _, wanted in listing.files
    ]
    return {"files": files, "filtered": [shown(parts) for parts in listing.filtered]}


def _pulled(pulled: Pulled, where: Path) -> dict[str, Any]:
    return {
        "folder": str(where),
        "fetched": pulled.fetched,
        "kept": pulled.kept,
        "size_bytes": pulled.size_bytes,
        "problems": pulled.problems,
    }
