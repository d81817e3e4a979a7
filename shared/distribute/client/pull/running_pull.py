"""`pull --running`: bring here what jobs have that run now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.client.batch_log import read_standing
from distribute.client.pull.fetching import OnBytes, Pulled
from distribute.client.pull.listing import Listing, StoredContent, WantedFile
from distribute.client.pull.local_batch import LocalBatch, held
from distribute.client.pull.note import Origin
from distribute.client.pull.running import Fetched, RunningFetch
from distribute.client.pull.running_listing import RunningListing, list_running
from distribute.client.pull.settling import Edited, Settling
from distribute.client.pull.target_folder import Parts, shown
from distribute.client.queries import no_such_batch
from distribute.client.running_files import list_files, read_pieces
from distribute.client.visiting import RUNS, Visit, find_running
from distribute.client.words import argument, printable
from distribute.client.workers import for_each
from distribute.core.errors import DistributeError, InputError, Refused
from distribute.core.ids import BatchId, JobId
from distribute.core.os_words import message_of

if TYPE_CHECKING:
    from distribute.client.pull.filters import Filter
    from distribute.client.queries import Queries
    from distribute.ports import Cluster

JOBS_AT_ONCE = 4


@dataclass(slots=True)
class Running:
    """What jobs that run have now."""

    origin: Origin
    base: Parts
    jobs: list[tuple[Visit, RunningListing]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Jobs whose files can't be listed, and why."""

    @property
    def listings(self) -> list[RunningListing]:
        return [listing for _, listing in self.jobs]

    @property
    def matches(self) -> bool:
        """Is anything wanted, or nothing left out?"""
        return any(one.files or one.links for one in self.listings) or not any(
            one.filtered for one in self.listings
        )


async def list_running_jobs(
    cluster: Cluster, queries: Queries, target: BatchId | JobId, wanted: Filter, base: Parts
) -> Running:
    """What the jobs of a batch have that run now, or one of them: their results, or all with a filter.

    Raises:
        Refused: there is no such batch or job, or none runs.
        InputError: a pattern is neither a regular expression nor a piece of any path.
    """
    batch = target.batch_id if isinstance(target, JobId) else target
    course, _ = await read_standing(cluster, batch)
    if not course.exists:
        raise no_such_batch(batch)
    running = Running(Origin(*batch, course.submission, course.submitted_at), base)
    found: dict[str, tuple[Visit, RunningListing]] = {}
    jobs = [target] if isinstance(target, JobId) else await _jobs_that_run(queries, batch)

    async def look(job: JobId) -> None:
        try:
            visit = await find_running(queries, job)
            files = await list_files(cluster, queries, visit, None if wanted.is_all else ".")
            found[job.job] = visit, list_running(job, files, wanted, base)
        except (DistributeError, ValueError) as error:
            if isinstance(target, JobId):
                raise
            running.problems.append(message_of(error))

    await for_each(jobs, look, at_once=JOBS_AT_ONCE)
    running.jobs = [found[job.job] for job in jobs if job.job in found]
    _check(wanted, running)
    return running


async def _jobs_that_run(queries: Queries, batch: BatchId) -> list[JobId]:
    listed = (await queries.batch(batch, states=sorted(RUNS)))["job_list"]
    if not listed:
        name = argument(str(batch))
        raise Refused(
            f"no job of {printable(str(batch))} runs now: `distribute pull {name}` brings what is archived, "
            f"`distribute status {name}` shows what its jobs do"
        )
    return [JobId(*batch, one["job"]) for one in listed]


def _check(wanted: Filter, running: Running) -> None:
    names = [running.origin.namespace, running.origin.batch]
    wanted.check(
        "/".join([*names, shown(parts[len(running.base) :])])
        for listing in running.listings
        for parts in (
            *(file.parts for file in listing.files),
            *(parts for parts, _ in listing.links),
            *listing.filtered,
        )
    )


async def fetch_running(
    cluster: Cluster,
    queries: Queries,
    running: Running,
    folder: Path,
    on_bytes: OnBytes = lambda done, total: None,
    *,
    edited: Edited = Edited.KEPT,
    folders: bool = True,
) -> tuple[Pulled, Fetched]:
    """Write the listed files below `folder`. What a person changed there is treated as `edited` says.

    Raises:
        StorageFull: the folder's disk is full.
        InputError: the folder can't be made or opened.
        Refused: another batch was pulled there, or another program pulls there now.
    """
    fetched = Fetched()
    with held(folder, running.base) as local:
        local.take(running.origin, replace=False)
        local.clean_parts(all_of_them=False)
        settling = Settling(local, _as_listing(running), edited)
        pulled = Pulled(edited=settling.edited, beside=settling.beside, unreadable=local.note.unreadable)
        total, done = sum(listing.size_bytes for listing in running.listings), 0

        def advance(size_bytes: int) -> None:
            nonlocal done
            done += size_bytes
            on_bytes(min(done, total), total)

        async def fetch(job: tuple[Visit, RunningListing]) -> None:
            visit, listing = job
            run = RunningFetch(local, settling, pulled, fetched, advance)
            try:
                await run.fetch(listing.files, partial(read_pieces, cluster, queries, visit))
            except Refused as error:
                pulled.problems.append(message_of(error))

        await for_each(running.jobs, fetch, at_once=JOBS_AT_ONCE)
        await _make_links(local, settling, running.listings, pulled, folders=folders)
        local.clean_parts(all_of_them=False)
    return pulled, fetched


async def _make_links(
    local: LocalBatch,
    settling: Settling,
    listings: Sequence[RunningListing],
    pulled: Pulled,
    *,
    folders: bool,
) -> None:
    """Make links and empty folders, last: so that nothing is written through them."""
    for listing in listings:
        for parts in listing.folders if folders else ():
            try:
                settling.folder(parts)
                settling.record()
                local.target.make_folder(parts)
            except (InputError, OSError) as error:
                pulled.problems.append(message_of(error))
        for parts, target in listing.links:
            try:
                settled = await settling.link(parts, target)
                if settled is not None and settled.found is None:
                    await asyncio.to_thread(settling.record)
                    local.target.make_link(settled.place, target, settling.over.get(settled.place))
            except (InputError, OSError) as error:
                pulled.problems.append(message_of(error))


def _as_listing(running: Running) -> Listing:
    """What `Settling` needs to know of all that is fetched. Attempts are negative: they are not over."""
    listing = Listing(running.origin, running.base)
    for visit, one in running.jobs:
        listing.attempts[visit.job.job.encode()] = -visit.attempt
        listing.files += [(None, WantedFile(file.parts, StoredContent(0, ""))) for file in one.files]
        listing.links += one.links
        listing.filtered += one.filtered
    return listing
