"""One batch from its submission until its results are in their folder, as a person's program sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from distribute.client.control import kill
from distribute.client.follow import follow_to_end
from distribute.client.person import Person
from distribute.client.pull.fetching import Pulled, fetch
from distribute.client.pull.filters import Filter
from distribute.client.pull.following import Turn, follow_results
from distribute.client.pull.listing import Known, Listing, list_results
from distribute.client.pull.settling import Edited
from distribute.client.pull.target_folder import Parts, shown
from distribute.client.queries import Queries
from distribute.client.submit import submit
from distribute.core.errors import DistributeError, Refused, StorageFull
from distribute.core.log.events import Completed
from distribute.core.os_words import message_of
from distribute.core.spec.specs import BatchSpec
from distribute.here import SUBMISSION, Asked, Begun, Landed, Over, Stands, Warned
from distribute.limited_log import Trouble
from distribute.memory.cluster import MemoryCluster
from distribute.ports import Only
from distribute.runtime import Stop, new_id, unless_stopped
from distribute.scratch import temporary_place
from distribute_services.here.ends import Ends
from distribute_services.here.telling import Tell

log = logging.getLogger(__name__)

NO_ROOM_AGAIN_S = 5.0
"""How long to wait before results are written again for which the disk had no room."""


class Batch:
    """A batch that runs on this cluster alone, for one person."""

    def __init__(self, cluster: MemoryCluster, spec: BatchSpec, asked: Asked, tell: Tell, stop: Stop) -> None:
        """When `stop` is set, its jobs are ended, and what they left is kept."""
        self._cluster = cluster
        self._queries = Queries(cluster)
        self._spec = spec
        self._folder = Path(asked.folder)
        self._base: Parts = (os.fsencode(asked.base),)
        self._sources = {sha256: Path(path) for sha256, path in asked.sources.items()}
        self._user = asked.user
        self._tell = tell
        self._stop = stop
        self._no_room = Trouble(log)

    async def run(self) -> None:
        """Run it, and tell how that goes."""
        self._tell(Begun())
        if await unless_stopped(self._stop, self._submit()) is None:
            return
        killing = asyncio.create_task(self._kill_when_stopped(), name="kill")
        try:
            _, turn, _ = await asyncio.gather(
                follow_to_end(self._cluster, self._spec.id, on_figures=self._stands),
                follow_results(self._cluster, self._spec.id, self._look, self._fetch, lambda _: None),
                self._tell_ends(),
            )
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
        batch = cast("dict[str, Any]", await self._queries.batch(self._spec.id))
        results = await self._look(Known())  # the turns also fetched what later attempts replaced
        rescued = await self._rescue(results) if turn.pulled.problems else None
        self._tell(Over(batch, _landed(turn, results, rescued)))

    async def _submit(self) -> bool:
        person = Person(self._user, lambda: SUBMISSION, lambda: datetime.now(UTC))
        await submit(self._cluster, person, self._spec, self._sources)
        return True

    async def _kill_when_stopped(self) -> None:
        await self._stop.wait()
        person = Person(self._user, new_id, lambda: datetime.now(UTC))
        with contextlib.suppress(Refused):  # it is over
            await kill(self._cluster, self._queries, person, self._spec.id)

    def _stands(self, batch: Any) -> None:
        self._tell(Stands(batch))

    # --- its results -------------------------------------------------------------------------------

    async def _look(self, known: Known) -> Listing:
        everything = Filter()
        return await list_results(self._cluster, self._spec.id, everything, base=self._base, known=known)

    async def _fetch(self, listing: Listing) -> Pulled:
        """Write what came. While the disk is full, wait: nothing else has these results."""
        while True:
            try:
                # A retried job's last attempt replaces the earlier ones, and a person's file stays.
                pulled = await fetch(
                    self._cluster.store, listing, self._folder, edited=Edited.BESIDE, replace=True
                )
            except StorageFull as error:
                if self._stop.at_once.is_set():
                    raise
                log.debug("%s", error)
                self._no_room.occurs("the disk of %s has no room left for results: make room", self._folder)
                await asyncio.sleep(NO_ROOM_AGAIN_S)
            else:
                self._no_room.is_over("there is room for results again")
                return pulled

    async def _rescue(self, results: Listing) -> str | None:
        """Write all results to a new folder: nothing else has those that could not be written. None: it
        failed."""
        try:
            folder = Path(tempfile.mkdtemp(prefix="distribute-results-", dir=temporary_place()))
            pulled = await fetch(self._cluster.store, results, folder)
        except (DistributeError, OSError) as error:
            self._tell(Warned(f"the results could not be written elsewhere: {message_of(error)}"))
            return None
        for problem in pulled.problems:
            self._tell(Warned(problem))
        return str(folder.joinpath(*map(os.fsdecode, self._base)))

    # --- what happens ------------------------------------------------------------------------------

    async def _tell_ends(self) -> None:
        """Tell of every attempt and every build that ends, until the batch does."""
        only, ends = Only(batch=self._spec.id), Ends(self._spec.id, self._stop.is_set)
        async for records in self._cluster.log.follow(after=0, only=only):
            for recorded in records:
                if (news := ends.read(recorded)) is not None:
                    self._tell(news)
                if isinstance(recorded.event, Completed):
                    return


def _landed(turn: Turn, results: Listing, rescued: str | None) -> dict[str, Any]:
    listing, pulled = turn
    landed = Landed(
        files=len(results.files),
        size_bytes=results.size_bytes,
        removed=pulled.removed,
        edited=[shown(parts) for parts in pulled.edited],
        beside=[shown(parts) for parts in pulled.beside],
        left_out=[(left.job, left.text) for left in listing.left_out],
        outside={job: outside.model_dump_json() for job, outside in listing.outside.items()},
        problems=[*listing.problems, *pulled.problems],
        rescued=rescued,
    )
    return asdict(landed)
