"""The people of the simulated world. Each of their actions is one run of the client, in its own process."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from distribute.client.batch_log import BatchReader
from distribute.client.control import delete, drain, kill, undrain
from distribute.client.follow import follow_to_end
from distribute.client.logs import job_output
from distribute.client.pausing import answer_of, ask_pause, ask_resume
from distribute.client.person import Person
from distribute.client.pull.fetching import fetch
from distribute.client.pull.filters import Filter
from distribute.client.pull.listing import Listing, list_results
from distribute.client.queries import Queries
from distribute.client.submit import submit
from distribute.core import events as ev
from distribute.core.errors import Conflict, DistributeError
from distribute.core.ids import BatchId, JobId
from distribute.core.projections.story import BatchStory
from distribute.core.recorded import Guard
from distribute.core.specs import BatchSpec
from distribute.core.state import BatchState, Status

from .process import WorldProcess
from .scenario import PAUSES_S, Verb
from .stories import require

if TYPE_CHECKING:
    from .world import World

INTERRUPTED = 0.05
"""The probability that a person interrupts what was begun."""
INTERRUPTED_WITHIN_S = 10.0

Words = Callable[[BatchState], ev.Event | None]
"""What to say of a batch as it stands; None: nothing."""


class Visit(WorldProcess):
    """One run of a person's program."""

    def __init__(self, world: World, user: str, work: Callable[[Visit], Coroutine[Any, Any, None]]) -> None:
        super().__init__(world, user)
        self.person = Person(user, self.new_id, lambda: datetime.fromtimestamp(self.clock(), UTC))
        self.run(self._do(work))

    @property
    def queries(self) -> Queries:
        return Queries(self.cluster, clock=self.clock)

    async def _do(self, work: Callable[[Visit], Coroutine[Any, Any, None]]) -> None:
        try:
            await work(self)
        except DistributeError as error:
            self.note(f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001  # the world ends with it
            if self.alive:
                self.world.fail(error)
        if self.alive:
            self.kill()


class People:
    """All people at command lines."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._visits: list[Visit] = []
        self._following: list[tuple[Visit, JobId]] = []

    def submit(self, spec: BatchSpec, user: str) -> None:
        """Submit a batch if its name is free, and sometimes wait for its end."""
        waits = self._world.loop.chance(0.3)

        async def work(visit: Visit) -> None:
            await submit(visit.cluster, visit.person, spec, {})
            if waits:
                await follow_to_end(visit.cluster, spec.id)
                self._world.truth.told_archived(spec.id)

        self._visit(user, work)

    def request(self, verb: Verb, of: BatchId | None = None) -> None:
        """Carry out one action."""
        random, state = self._world.random, self._world.truth.state
        if verb in {"drain", "undrain", "pause", "resume"}:
            if state.nodes:
                self._of_node(verb, random.choice(sorted(state.nodes)))
            return
        if not state.batches:
            return
        batch = state.batches.get(of or random.choice(sorted(state.batches)))
        if batch is None:
            return
        target = batch.id
        if verb == "logs":
            active = [batch.job_id(row) for row in sorted(batch.active)]
            self._read_output(random.choice(active or [batch.job_id(0)]))
            return
        job, priority = JobId(*target, random.choice(batch.names)), random.randint(-9, 9)
        failed_only = random.random() < 0.5

        async def work(visit: Visit) -> None:
            match verb:
                case "kill":
                    await kill(visit.cluster, visit.queries, visit.person, target, force=True)
                case "kill_queued":
                    await kill(
                        visit.cluster, visit.queries, visit.person, target, only_queued=True, force=True
                    )
                case "kill_job":
                    await kill(visit.cluster, visit.queries, visit.person, job, force=True)
                case "delete":
                    await delete(visit.cluster, visit.person, target, force=True)
                case "replace":
                    spec = self._spec_of(target)
                    await submit(visit.cluster, visit.person, spec, {}, replace=True, force=True)
                case "retry":
                    await _say(visit, target, lambda batch: _retry(visit, batch, failed_only))
                case "reprioritize":
                    await _say(visit, target, lambda batch: _reprioritize(visit, batch, priority))
                case _:
                    raise AssertionError(f"nobody can {verb}")

        self._visit("jane", work)

    def undrain(self, node: str) -> None:
        """Let a node take jobs again."""
        self._of_node("undrain", node)

    def pull(self, batch: BatchId, then: Callable[[], None]) -> None:
        """Check that the archive has of a batch exactly what the stories say, and that people get it."""
        truth = self._world.truth

        async def look(visit: Visit, submission: str | None) -> None:
            listing = await list_results(visit.cluster, batch, Filter())
            if truth.submission_of(batch) != submission:
                return
            found = {stored.name: stored.nuid for stored, _ in listing.files if stored is not None}
            truth.pulled(batch, found, listing.complete)
            await _write_files(visit, listing, batch)
            for job, story in truth.stories.of_batch(batch):
                # A later attempt may have been taken from its node: then `logs` shows that one.
                if [stored.name for stored in story.archived] == [f"{job}/{story.attempt}/0"]:
                    pieces = (await job_output(visit.cluster, job)).pieces
                    truth.read_archived_output(job, b"".join([bytes(piece) async for piece in pieces]))
                    break

        async def work(visit: Visit) -> None:
            submission = truth.submission_of(batch)
            try:
                await look(visit, submission)
            except DistributeError as error:
                # Else somebody deleted or replaced it meanwhile.
                require(truth.submission_of(batch) != submission, f"its results can't be read: {error}")
            then()

        Visit(self._world, "puller", work)

    def still_follow(self) -> list[str]:
        """Who follows the output of an attempt that is over."""
        stories = self._world.truth.stories.of
        return [
            f"{visit.name} still follows {job}"
            for visit, job in self._following
            if visit.alive and (job not in stories or stories[job].holder is None)
        ]

    def _read_output(self, job: JobId) -> None:
        """Read what a job prints, and sometimes follow it to its end."""
        follows = self._world.loop.chance(0.5)

        async def work(visit: Visit) -> None:
            attempt, pieces, _ = await job_output(visit.cluster, job, follow=follows)
            async with aclosing(pieces):
                async for piece in pieces:
                    visit.world.truth.happened["output is read"] += 1
                    visit.world.truth.read_output(job, attempt, bytes(piece))

        self._following.append((self._visit("reader", work), job))

    def close(self) -> None:
        """End all runs of the client."""
        for visit in self._visits:
            visit.kill()

    def _visit(self, user: str, work: Callable[[Visit], Coroutine[Any, Any, None]]) -> Visit:
        self._visits = [visit for visit in self._visits if visit.alive]
        visit = Visit(self._world, user, work)
        self._visits.append(visit)
        if not self._world.calm and self._world.loop.chance(INTERRUPTED):
            visit.soon(INTERRUPTED_WITHIN_S, visit.crash)
        return visit

    def _of_node(self, verb: Verb, node: str) -> None:
        pause_s = self._world.random.choice(PAUSES_S)

        async def work(visit: Visit) -> None:
            who = visit.cluster, visit.queries, visit.person, node
            match verb:
                case "drain":
                    await drain(*who)
                case "undrain":
                    await undrain(*who)
                case "pause":
                    asked = await ask_pause(*who, pause_s, reason="a talk")
                    said, seq = await answer_of(visit.cluster, asked)
                    require(said.causation == asked.id and seq > asked.seq, "the node answers the request")
                    visit.world.truth.happened["a pause is answered"] += 1
                case "resume":
                    await ask_resume(*who)
                case _:
                    raise AssertionError(f"nobody can {verb} a node")

        self._visit("jane", work)

    def _spec_of(self, batch: BatchId) -> BatchSpec:
        return next(spec for _, spec, _ in self._world.scenario.submissions if spec.id == batch)


async def _say(visit: Visit, batch: BatchId, words: Words) -> None:
    """Say something of a batch as it stands, and look again if something came between."""
    while True:
        story = BatchStory(batch)
        await BatchReader(visit.cluster, batch, story.fold).read_to_now()
        event = words(story.state) if story.state is not None else None
        if event is None:
            return
        try:
            await visit.cluster.log.append(event, Guard(story.scope_seq))
        except Conflict:
            continue
        return


def names_of(batch: BatchState) -> dict[str, str]:
    """The fields by which events about a batch name it."""
    return {**batch.id._asdict(), "submission": batch.submission}


async def _write_files(visit: Visit, listing: Listing, batch: BatchId) -> None:
    """Pull the files into a folder, and compare them with those of the archive."""
    files = visit.world.broker.files
    with TemporaryDirectory(prefix="distribute-sim-") as folder:
        before = visit.world.truth.submission_of(batch)
        pulled = await fetch(visit.cluster.store, listing, Path(folder))
        if visit.world.truth.submission_of(batch) != before:
            return  # somebody deleted or replaced it meanwhile
        # What builds printed is not checked by the archiver, and may be lost.
        there = [
            (stored, wanted) for stored, wanted in listing.files if stored is None or files.has_chunks(stored)
        ]
        lost = len(listing.files) - len(there)
        require(len(pulled.problems) == lost, f"not everything can be pulled: {pulled.problems}")
        again = await fetch(visit.cluster.store, listing, Path(folder))
        require(not again.edited, f"a pull takes what it pulled for a person's: {again.edited}")
        require(again.fetched == 0, f"a second pull fetches {again.fetched} files again")
        for stored, wanted in there:
            content = Path(folder, *map(os.fsdecode, wanted.parts)).read_bytes()
            expected = files.content(stored) if stored is not None else b""
            require(content == expected, f"{wanted.parts} was pulled as {content!r}, and not {expected!r}")


def _retry(visit: Visit, batch: BatchState, failed_only: bool) -> ev.Event | None:
    unhappy = batch.counts[Status.FAILED] + (0 if failed_only else batch.counts[Status.KILLED])
    if not unhappy or (batch.killed is not None and batch.end is None):
        return None
    return ev.RetryRequested(**visit.person.stamp(), **names_of(batch), failed_only=failed_only)


def _reprioritize(visit: Visit, batch: BatchState, priority: int) -> ev.Event:
    return ev.Reprioritized(**visit.person.stamp(), **names_of(batch), priority=priority)
