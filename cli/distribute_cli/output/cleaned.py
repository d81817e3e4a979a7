"""What `clean` prints: what it removed of a batch's folder, and what stays there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from distribute.client.pull.cleaning import CHANGED, LOST, NOT_LISTED, Cleaned, clean
from distribute.client.pull.filters import Filter
from distribute.client.pull.listing import list_results
from distribute.client.pull.target_folder import shown
from distribute.client.words import printable
from distribute.config.sections.units import format_size
from distribute.core.words import counted
from distribute_cli.output.local_files import named

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output
    from distribute_cli.places import Place

_WHY = {
    CHANGED: "changed here, so {they} {stay}",
    NOT_LISTED: "not among the results that the cluster has, so {they} {stay}",
    LOST: "lost by the cluster, so {they} {stay}",
}


async def clean_batch(cluster: Cluster, output: Output, batch: BatchId, place: Place, *, dry: bool) -> int:
    """Remove local copies of a batch's results that can be had again, or list them (`dry`).

    Returns:
        The exit code: 1 if something can't be removed.

    Raises:
        Refused: there is no such batch, or the folder is another one's.
        InputError: nothing was pulled to that folder.
    """
    listing = await list_results(cluster, batch, Filter(), base=place.base)
    cleaned = await clean(cluster.store, listing, place.folder, dry=dry)
    files = [
        {"path": shown(removable.parts), "size_bytes": removable.size_bytes} for removable in cleaned.removed
    ]
    document = {
        "namespace": batch.namespace,
        "batch": batch.batch,
        "folder": str(place.path),
        "files": files,
        "filtered": [],
        "kept": [{"path": shown(parts), "reason": reason} for parts, reason in cleaned.kept],
        "others": [shown(parts) for parts in cleaned.others],
        "problems": cleaned.problems,
    }
    if dry:
        output.files(document)
    else:
        output.done(_result(cleaned, batch, place), document)
    for line in _kept(cleaned):
        output.warn(line)
    return 1 if cleaned.problems else 0


def _result(cleaned: Cleaned, batch: BatchId, place: Place) -> str:
    where = printable(str(place.path))
    if not cleaned.removed:
        return f"nothing of {printable(str(batch))} to remove in {where}"
    size = format_size(cleaned.size_bytes)
    return f"removed {counted(len(cleaned.removed), 'file')} ({size}) from {where}; `pull` brings them again"


def _kept(cleaned: Cleaned) -> Iterator[str]:
    for reason, text in _WHY.items():
        if paths := [parts for parts, why in cleaned.kept if why == reason]:
            one = len(paths) == 1
            words = text.format(they="it" if one else "they", stay="stays" if one else "stay")
            yield f"{words}: {named(paths)}"
    if cleaned.others:
        stay = "it stays" if len(cleaned.others) == 1 else "they stay"
        yield f"not from a pull, so {stay}: {named(cleaned.others)}"
    yield from map(printable, cleaned.problems)
