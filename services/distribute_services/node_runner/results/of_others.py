"""What the other jobs of a batch left, for the job that runs when they are over."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.client.pull.fetching import fetch
from distribute.client.pull.filters import Filter
from distribute.client.pull.listing import Listing, list_results
from distribute.client.pull.note import NOTE_NAME
from distribute.core.errors import IntegrityError
from distribute.core.words import counted

if TYPE_CHECKING:
    from distribute.core.ids import JobId
    from distribute.ports import Cluster

log = logging.getLogger(__name__)


async def lay_out_results(cluster: Cluster, last: JobId, folder: Path) -> None:
    """Write what all other jobs of the batch left below `folder`, in a folder for each job, as pull does.

    `folder` is there. What the archive has lost for ever is not in it.

    Raises:
        IntegrityError: something can't be fetched.
        StorageFull: the disk has no room.
        DistributeError: the cluster does not answer, or a file could not be written.
    """
    listing = await list_results(cluster, last.batch_id, Filter(), base=())
    if len(listing.problems) > listing.lost:
        raise _not_fetched(listing.problems)
    for problem in listing.problems:
        log.warning("%s: %s", last, problem)
    _leave_out(listing, os.fsencode(last.job))
    pulled = await fetch(cluster.store, listing, folder)
    if pulled.problems:
        raise _not_fetched(pulled.problems)
    folder.joinpath(os.fsdecode(NOTE_NAME)).unlink(missing_ok=True)


def _leave_out(listing: Listing, last: bytes) -> None:
    """Leave out what the job itself left in an earlier attempt, and what builds printed."""
    listing.files = [each for each in listing.files if _is_of_other(each[1].parts, last)]
    listing.links = [each for each in listing.links if _is_of_other(each[0], last)]
    listing.folders = [parts for parts in listing.folders if parts[0] != last]
    listing.attempts.pop(last, None)


def _is_of_other(parts: tuple[bytes, ...], last: bytes) -> bool:
    return len(parts) > 1 and parts[0] != last


def _not_fetched(problems: list[str]) -> IntegrityError:
    more = f" (and {counted(len(problems) - 1, 'more problem')})" if len(problems) > 1 else ""
    return IntegrityError(f"the results of the other jobs could not be fetched: {problems[0]}{more}")
