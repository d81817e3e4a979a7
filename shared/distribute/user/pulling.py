"""Pulling a batch's results, and where they are."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from distribute.client.pull.fetching import fetch
from distribute.client.pull.listing import list_results
from distribute.client.pull.settling import Edited
from distribute.client.pull.target_folder import Parts, shown
from distribute.core.errors import IntegrityError, InvalidArgument
from distribute.core.words import few

if TYPE_CHECKING:
    from distribute.client.pull.filters import Filter
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster
    from distribute.user.progress import Show

_EDITED = {"kept": Edited.KEPT, "overwritten": Edited.OVERWRITTEN, "beside": Edited.BESIDE}


@dataclass(frozen=True, slots=True)
class Choice:
    """What to pull, and how. `base` is the batch's folder, below `folder`.

    `replace`: first remove what is there of another batch, or of earlier attempts.
    """

    wanted: Filter
    folder: Path
    base: Parts
    edited: Literal["kept", "overwritten", "beside"] = "kept"
    replace: bool = False


async def pull(cluster: Cluster, batch: BatchId, choice: Choice, show: Show) -> dict[str, Path]:
    """Pull what there is by now. Returns the folders, by job.

    Raises:
        InvalidArgument: `edited` is none of its words.
        IntegrityError: some results could not be pulled; the others are there.
    """
    if (edited := _EDITED.get(choice.edited)) is None:
        raise InvalidArgument(f"results(): edited takes {few([*map(repr, _EDITED)])}, not {choice.edited!r}")
    listing = await list_results(cluster, batch, choice.wanted, base=choice.base)
    pulled = await fetch(
        cluster.store,
        listing,
        choice.folder,
        lambda done, total: show(done, total, ""),
        edited=edited,
        replace=choice.replace,
    )
    if problems := [*listing.problems, *pulled.problems]:
        raise IntegrityError("\n".join(problems))
    if pulled.edited and not pulled.beside:
        changed = [shown(parts) for parts in pulled.edited]
        warnings.warn(
            f"kept in {choice.folder}, because somebody changed them there: {few(changed)}", stacklevel=2
        )
    place = choice.folder.joinpath(*map(os.fsdecode, choice.base))
    return {os.fsdecode(job): place / os.fsdecode(job) for job in sorted(listing.attempts)}
