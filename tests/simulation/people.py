"""The people of the simulated world. Each of their actions is one run of the client, in its own process."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from distribute.client.control import delete, drain, kill, undrain
from distribute.client.editing import edit
from distribute.client.follow import follow_to_end
from distribute.client.holding import hold, release
from distribute.client.listed_nodes import list_nodes
from distribute.client.logs import job_output
from distribute.client.moving import move
from distribute.client.pausing import answer_of, ask_pause, ask_resume
from distribute.client.person import Person
from distribute.client.priority import set_priority
from distribute.client.pull.fetching import fetch
from distribute.client.pull.filters import Filter
from distribute.client.pull.listing import Listing, list_results
from distribute.client.queries import Queries, ask
from distribute.client.replacing import Replacement
from distribute.client.retrying import retry
from distribute.client.submit import submit
from distribute.client.waiting import with_after
from distribute.config.sections.after import AfterRef
from distribute.core.errors import DistributeError, Unreachable
from distribute.core.ids import BatchId, JobId
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import State, Status

from .collectors import Elsewhere, bring_in
from .compacting import compact_all
from .process import WorldProcess
from .replacing import changed
from .scenario import CAPABILITIES, PAUSES_S, USERS, Verb
from .stories import require
from .visitors import look_into
from .wishes import Wish, wish_for

if TYPE_CHECKING:
    from .world import World

INTERRUPTED = 0.05
"""The probability that a person interrupts what was begun."""
INTERRUPTED_WITHIN_S = 10.0
COLLECTING_S = 2.0
"""Half of those who collect a batch are interrupted, within this time."""


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
        self._elsewhere: list[Elsewhere] = []

    def submit(self, spec: BatchSpec, user: str) -> None:
        """Submit a batch if its name is free, and sometimes wait for its end."""
        waits = self._world.loop.chance(0.3)

        async def work(visit: Visit) -> None:
            inputs = self._world.inputs.of(visit, spec)
            await submit(visit.cluster, visit.person, await self._with_after(visit, spec), inputs)
            if waits:
                await follow_to_end(visit.cluster, spec.id)
                self._world.truth.told_archived(spec.id)

        self._visit(user, work)

    def request(self, verb: Verb, of: BatchId | None = None) -> None:
        """Carry out one action."""
        random, state = self._world.random, self._world.truth.state
        if verb in {"drain", "undrain", "pause", "resume", "list"}:
            self._of_nodes(verb)
            return
        if not state.batches:
            return
        batch = state.batches.get(of or random.choice(sorted(state.batches)))
        if batch is None:
            return
        if verb == "logs":
            active = [batch.job_id(row) for row in sorted(batch.active)]
            self._read_output(random.choice(active or [batch.job_id(0)]))
            self._look_into(_running(state))
            return
        act = partial(self._act, verb=verb, wish=wish_for(random, batch))
        self._visit(batch.user if verb == "keep" else "jane", act)

    async def _act(self, visit: Visit, verb: Verb, wish: Wish) -> None:
        """Carry out an action on a batch."""
        batch, (cluster, queries, person) = wish.batch, (visit.cluster, visit.queries, visit.person)
        match verb:
            case "kill":
                await kill(cluster, queries, person, batch, force=True)
            case "kill_queued":
                await kill(cluster, queries, person, batch, only_queued=True, force=True)
            case "kill_job":
                await kill(cluster, queries, person, wish.job, force=True)
            case "delete":
                await delete(cluster, person, batch, force=True)
            case "replace":
                await self._replace(visit, batch)
            case "keep":
                await self._keep(visit, batch, Random(self._world.random.random()))
            case "retry":
                await retry(cluster, queries, person, batch, only=wish.only, force=True)
            case "retry_jobs":
                holds = wish.only == "failed"
                await retry(cluster, queries, person, batch, wish.unhappy, hold=holds, force=True)
            case "reprioritize":
                await set_priority(cluster, person, batch, wish.priority, force=True)
            case "hold":
                await hold(cluster, person, batch, force=True)
            case "move":
                await move(cluster, queries, person, wish.with_node, force=True)
            case "edit":
                await edit(
                    cluster, queries, person, batch, wish.changes, jobs=wish.some, force=True, anyway=True
                )
            case "release":
                await release(cluster, person, batch, force=True)
            case _:
                raise AssertionError(f"nobody can {verb}")
        await self._see_act(visit, batch)

    async def _see_act(self, visit: Visit, batch: BatchId) -> None:
        """Whoever asks after an act sees it, or is told that the scheduler is behind."""
        truth = self._world.truth
        acted_seq = truth.state.seq
        try:
            answer = await ask(visit.cluster, "standing", {**batch._asdict(), "job": None})
        except Unreachable:
            return
        if "behind" not in answer and not truth.holds.is_torn:
            truth.happened["an act is seen"] += 1
            seq = answer["seq"]
            require(seq >= acted_seq, f"an answer is as of event {seq}, and the act was before {acted_seq}")

    def bring_in_another(self) -> None:
        """Bring in a batch that ran elsewhere."""
        random = self._world.random
        elsewhere = Elsewhere(random, random.choice(USERS), len(self._elsewhere) + 1)
        self._elsewhere.append(elsewhere)
        self._bring_in(elsewhere)

    def bring_in_the_rest(self) -> None:
        """Go on collecting the batches that nobody has brought in as a whole."""
        batches = self._world.truth.state.batches
        for elsewhere in self._elsewhere:
            batch = batches.get(elsewhere.batch)
            if batch is not None and batch.ran_at is not None and batch.counts[Status.QUEUED]:
                self._bring_in(elsewhere)  # refused, if it is another run of the name

    def compact(self) -> None:
        """Compact all batches that are over."""
        self._visit("admin", compact_all)

    def _bring_in(self, elsewhere: Elsewhere) -> None:
        visit = self._visit(elsewhere.user, partial(bring_in, elsewhere=elsewhere))
        if not self._world.calm and self._world.loop.chance(0.5):
            visit.soon(COLLECTING_S, visit.crash)

    def undrain(self, node: str) -> None:
        """Let a node take jobs again."""
        self._of_node("undrain", node)

    def release_all(self) -> None:
        """Let the jobs of all held batches begin again."""
        for batch_id, batch in sorted(self._world.truth.state.batches.items()):
            if batch.holding is not None:
                self.request("release", batch_id)

    def pull(self, batch: BatchId, then: Callable[[], None]) -> None:
        """Check that the archive has of a batch exactly what the stories say, and that people get it."""
        truth = self._world.truth

        async def look(visit: Visit, submission: str | None) -> None:
            looking = truth.look(batch)
            listing = await list_results(visit.cluster, batch, Filter())
            if truth.submission_of(batch) != submission:
                return  # somebody deleted or replaced it meanwhile
            found = {stored.name: stored.nuid for stored, _ in listing.files if stored is not None}
            looking.shown(found, listing.complete)
            await _write_files(visit, listing, batch)
            for job, story in truth.stories.of_batch(batch):
                # A later attempt may have been taken from its node: then `logs` shows that one.
                attempt = story.attempt
                if [stored.name for stored in story.archived] == [f"{job}/{attempt}/0"]:
                    pieces = (await job_output(visit.cluster, job)).pieces
                    text = b"".join([bytes(piece) async for piece in pieces])
                    runs_again = truth.stories.of.get(job, story).attempt != attempt
                    if truth.submission_of(batch) == submission and not runs_again:
                        truth.read_archived_output(job, text)
                    break

        async def work(visit: Visit) -> None:
            submission = truth.submission_of(batch)
            try:
                await look(visit, submission)
            except DistributeError as error:
                # Somebody deleted or replaced it meanwhile; or long before, and the log has lost that.
                is_gone = truth.submission_of(batch) != submission or truth.may_be_deleted(batch)
                require(is_gone, f"its results can't be read: {error}")
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

    def _look_into(self, running: list[JobId]) -> None:
        """Look into one of the jobs that run."""
        if running:
            job = self._world.random.choice(running)
            self._visit("visitor", partial(look_into, job=job))

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
                    said, _ = await answer_of(visit.cluster, asked)
                    require(said.causation == asked.id, "the node answers the request")
                    visit.world.truth.happened["a pause is answered"] += 1
                case "resume":
                    await ask_resume(*who)
                case _:
                    raise AssertionError(f"nobody can {verb} a node")

        self._visit("jane", work)

    def _of_nodes(self, verb: Verb) -> None:
        names = sorted(self._world.truth.state.nodes)
        if verb == "list":
            self._list()
        elif names:
            self._of_node(verb, self._world.random.choice(names))

    def _list(self) -> None:
        """Start the head with a nodes file: it names some computers, and one that nobody has."""
        random = self._world.random
        names = [*(computer.name for computer in self._world.scenario.computers), "nobody's"]
        chosen = random.sample(names, random.randint(0, len(names)))
        nodes = {
            name: frozenset(random.sample(CAPABILITIES, random.randint(0, len(CAPABILITIES))))
            for name in chosen
        }

        async def work(visit: Visit) -> None:
            await list_nodes(visit.cluster, visit.queries, visit.person, nodes)

        self._visit("jane", work)

    async def _with_after(self, visit: Visit, spec: BatchSpec) -> BatchSpec:
        """The batch, with what it is to run after. Refused, if one of those was never submitted."""
        wanted = [
            AfterRef(batch=str(batch), when=when)
            for batch, when in self._world.scenario.after.get(spec.id, ())
        ]
        return await with_after(visit.cluster, visit.queries, visit.person, spec, wanted)

    async def _replace(self, visit: Visit, batch: BatchId) -> None:
        """Submit a batch once more, unless it ran elsewhere."""
        for _, spec, _ in self._world.scenario.submissions:
            if spec.id == batch:
                spec = await self._with_after(visit, spec)
                inputs = self._world.inputs.of(visit, spec)
                await submit(visit.cluster, visit.person, spec, inputs, replace=True, force=True)
                return

    async def _keep(self, visit: Visit, batch: BatchId, random: Random) -> None:
        """Submit a batch once more, with some jobs changed, and keep what succeeded."""
        for _, spec, _ in self._world.scenario.submissions:
            if spec.id == batch:
                wanted = await self._with_after(visit, changed(spec, random))
                replacement = Replacement(visit.cluster, visit.queries, visit.person, wanted)
                await replacement.submit(self._world.inputs.of(visit, spec), force=True)
                return


def _running(state: State) -> list[JobId]:
    """The jobs that run."""
    return [
        batch.job_id(row)
        for _, batch in sorted(state.batches.items())
        for row in sorted(batch.active)
        if batch.status[row] == Status.RUNNING
    ]


async def _write_files(visit: Visit, listing: Listing, batch: BatchId) -> None:
    """Pull the files into a folder, and compare them with those of the archive."""
    files = visit.world.broker.files
    folder = visit.world.new_folder()
    before = visit.world.truth.submission_of(batch)
    pulled = await fetch(visit.cluster.store, listing, folder)
    if visit.world.truth.submission_of(batch) != before:
        return  # somebody deleted or replaced it meanwhile
    # What builds printed is not checked by the archiver, and may be lost.
    there = [
        (stored, wanted) for stored, wanted in listing.files if stored is None or files.has_chunks(stored)
    ]
    lost = len(listing.files) - len(there)
    require(len(pulled.problems) == lost, f"not everything can be pulled: {pulled.problems}")
    again = await fetch(visit.cluster.store, listing, folder)
    require(not again.edited, f"a pull takes what it pulled for a person's: {again.edited}")
    require(again.fetched == 0, f"a second pull fetches {again.fetched} files again")
    for stored, wanted in there:
        content = folder.joinpath(*map(os.fsdecode, wanted.parts)).read_bytes()
        expected = files.content(stored) if stored is not None else b""
        require(content == expected, f"{wanted.parts} was pulled as {content!r}, and not {expected!r}")
