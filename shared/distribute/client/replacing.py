"""Replacing a batch by its changed file. Jobs that do the same work in both are kept if they succeeded.

Those of them that run go on, if they are given the same in both. Then the batch is not killed but held, and
only the other jobs that nodes have are ended, before the batch is replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from typing import TYPE_CHECKING

from distribute.client.appending import Appender
from distribute.client.batch_log import read_standing
from distribute.client.removal import remove
from distribute.client.replacing_live import LiveReplacement
from distribute.client.saying import (
    NOT_REPLACED,
    refuse_another,
    refuse_anothers,
    refuse_compacted,
    refuse_elsewhere,
)
from distribute.client.seen import Seen, refuse_acts
from distribute.client.standing import ask_standing
from distribute.client.upload import OnBytes, upload
from distribute.client.visiting import RUNS
from distribute.client.words import printable
from distribute.codec import decode_in_slices
from distribute.core.errors import LogReplaced, Refused, UnreadableEvent
from distribute.core.folding.replacing import goes_on
from distribute.core.folding.work import Comparison, compare, marked
from distribute.core.log.events import Event, Submitted
from distribute.core.state.state import SUCCEEDED
from distribute.core.state.statuses import rows_with

if TYPE_CHECKING:
    from pathlib import Path

    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.core.projections.course import Course
    from distribute.core.spec.specs import BatchSpec
    from distribute.core.state.state import BatchState
    from distribute.inputs.sources import Source
    from distribute.ports import Cluster


class Replacement:
    """A batch that is to replace the one of its name, and to keep what succeeded or runs there."""

    verb = "replace"
    done = "replaced"

    def __init__(self, cluster: Cluster, queries: Queries, person: Person, spec: BatchSpec) -> None:
        self.compared: Comparison | None = None
        """The last comparison with the batch that is there."""
        self._cluster = cluster
        self._queries = queries
        self._person = person
        self._spec = spec
        self._seen: Seen | None = None
        """How the batch stood when it was compared first: if it is not that any more, it is not replaced."""
        self._live: LiveReplacement | None = None
        """The last try to hold the batch, and to replace it so that others go on."""
        self._before: tuple[str, BatchSpec] | None = None
        """The id of the submission that was read last, and its specification."""

    async def compare(self, *, force: bool = False) -> Comparison:
        """Which jobs would be kept, as the batch stands now. `force`: also if it is another person's.

        Raises:
            Refused: there is no such batch, it is another person's, or it ran elsewhere.
        """
        self._seen = Seen(*await read_standing(self._cluster, self._spec.id))
        self._refuse(self._seen, force=force)
        return await self._compare_with(self._seen.course)

    async def submit(
        self,
        sources: Mapping[str, Path | Source],
        *,
        force: bool = False,
        on_bytes: OnBytes = lambda done, total: None,
    ) -> Comparison:
        """Store the inputs, and replace the batch, whole or not at all. Arguments as `submit` takes them.

        What nodes have of one that still runs is killed first, but for what goes on. If nothing does, all of
        it is killed. What ended has to be in the archive: this waits for it.

        Returns:
            Which jobs are kept.

        Raises:
            Refused: there is no such batch, it is another person's, it ran elsewhere, another one has its
                name since it was compared, or somebody did something to it since.
            IntegrityError, InputError, StorageFull: an input could not be stored; nothing is submitted.
        """
        if sources:
            await upload(self._cluster.store, sources, on_bytes)
        while True:
            try:
                now = Seen(*await read_standing(self._cluster, self._spec.id))
                self._refuse(now, force=force)
                if self._live is not None:
                    self._seen = now  # that was no act of another's
                if await self._replace_archived(force=force):
                    pass
                elif now.course.end is None and (await self._compare_with(now.course)).going_on:
                    if not await self._replace_running(self._seen or now, force=force):
                        continue  # it ended meanwhile
                else:
                    await remove(
                        self._cluster, self._person, self._spec.id, self, seen=self._seen, force=force
                    )
            except LogReplaced:
                # As after a restore from an older copy: what was folded is invalid.
                self._cluster.log.begin_anew()
            else:
                assert self.compared is not None, "what it keeps was told"
                return self.compared

    @property
    def leaves_it_held(self) -> bool:
        """If this ends now: does the batch stay held, and killed what was to end?"""
        return self._live is not None and self._live.leaves_it_held

    def is_due(self, batch: BatchState) -> bool:
        """As `LastWord.is_due`: once nothing of the batch is under way."""
        return batch.end is not None and not batch.active and not batch.unarchived

    async def event(self, batch: BatchState, ended_by: str | None) -> Event:
        """As `LastWord.event`."""
        return self.submitted(await self.compare_folded(batch))

    async def compare_folded(self, batch: BatchState) -> Comparison:
        """Which jobs would be kept, as the batch stands that the caller folded."""
        succeeded = {batch.names[row] for row in rows_with(batch, SUCCEEDED) if row not in batch.missing}
        running = {batch.names[row] for row in batch.active if goes_on(batch, row)}
        return await self._compare(batch.seq, batch.submission, succeeded, self._own(batch.user, running))

    async def _replace_running(self, seen: Seen, *, force: bool) -> bool:
        """Replace a batch of which jobs go on, as the person saw it. False: it ended before that."""
        self._live = LiveReplacement(self._cluster, self._person, self._spec.id, self, seen)
        return await self._live.replace(lambda course: self._refuse(Seen(course, 0), force=force))

    def _own(self, user: str, running: set[str]) -> set[str]:
        """Jobs of another person's batch do not go on: they would count for this one."""
        return running if user == self._person.name else set()

    async def _compare_with(self, course: Course) -> Comparison:
        """As `compare`, with the batch that stands so, by what the scheduler says of its jobs."""
        running: set[str] = set()
        if course.end is None:
            jobs = (await self._queries.batch(self._spec.id, states=sorted(RUNS)))["job_list"]
            running = {job["job"] for job in jobs if job["killed_by"] is None and job["moved_by"] is None}
        own = self._own(course.user, running)
        return await self._compare(course.seq, course.submission or "", await self._succeeded(), own)

    async def _replace_archived(self, *, force: bool) -> bool:
        """Replace a batch that is over and archived, as the scheduler says. False: it is not."""
        told = await ask_standing(self._cluster, self._spec.id)
        if told is None or told.document is None or told.course.end is None or not told.course.archived:
            return False
        jobs, course = told.document["jobs"], told.course
        if jobs["assigned"] or jobs["running"]:
            return False  # an assignment was under way when it ended
        now = Seen(course, told.seq)
        self._refuse(now, force=force)
        await refuse_acts(self._cluster, self._spec.id, self._seen or now, told.seq, NOT_REPLACED)
        compared = await self._compare(course.seq, course.submission or "", await self._succeeded())
        said = self.submitted(compared)
        return await Appender(self._cluster.log).append(said, told.under_seq) is not None

    async def _compare(
        self, seq: int, submission: str, succeeded: Container[str], running: Collection[str] = ()
    ) -> Comparison:
        """Compare with the submission at this sequence, of which these jobs succeeded, and these run."""
        if self._before is None or self._before[0] != submission:
            self._before = submission, await _read_spec(self._cluster, seq, submission)
        self.compared = compare(self._spec, self._before[1], succeeded, running)
        return self.compared

    def submitted(self, compared: Comparison) -> Event:
        """The submission that replaces the batch with which this was compared last."""
        assert self._before is not None, "it was compared with that"
        return Submitted(
            **self._person.stamp(),
            **self._spec.id._asdict(),
            user=self._person.name,
            spec=marked(self._spec, compared.staying),
            replaces=self._before[0],
        )

    async def _succeeded(self) -> set[str]:
        """The jobs that succeeded, and whose results are there."""
        jobs = (await self._queries.batch(self._spec.id, states=["succeeded"]))["job_list"]
        return {job["job"] for job in jobs if job["archived"]}

    def _refuse(self, now: Seen, *, force: bool) -> None:
        batch, course = self._spec.id, now.course
        if not course.exists:
            name = printable(str(batch))
            raise Refused(f"there is no batch {name} of which anything could be kept: submit it as a new one")
        self._seen = self._seen or now
        refuse_another(batch, course, self._seen.course, NOT_REPLACED)
        refuse_elsewhere(batch, course)
        refuse_anothers(batch, course.user, self._person, self.verb, force=force)
        refuse_compacted(batch, course, "replace it without --keep-succeeded")


async def _read_spec(cluster: Cluster, seq: int, submission: str) -> BatchSpec:
    """The specification of the submission at this sequence.

    Raises:
        LogReplaced: the log has something else there.
    """
    try:
        event = await decode_in_slices((await cluster.log.get_raw(seq)).payload)
    except (KeyError, UnreadableEvent):
        event = None
    if not isinstance(event, Submitted) or event.id != submission:
        raise LogReplaced(f"the log lacks event {seq}, the submission that is to be replaced")
    return event.spec
