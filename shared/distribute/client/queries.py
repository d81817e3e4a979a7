"""Queries about the cluster. The scheduler answers them; if it doesn't, we fold the log here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson

from distribute.client.words import argument, printable
from distribute.core.errors import Refused, UnknownName, Unreachable

if TYPE_CHECKING:
    from distribute.client.documents import (
        BatchesDocument,
        BatchWithJobs,
        EditDocument,
        JobDocument,
        LifeDocument,
        MatchDocument,
        NodesDocument,
        NodeStory,
        WhyDocument,
    )
    from distribute.core.ids import BatchId, JobId
    from distribute.core.projections.course import Course
    from distribute.core.state.state import State
    from distribute.ports import Cluster


TRIES = 4
"""How often to ask a scheduler that is behind the log. It waits a while each time, before it answers so."""

LIFE_WITHIN_S = 1.0
"""How long to wait for a ledger from the scheduler. It only saves the time to read it here."""


class Behind(NamedTuple):
    """A scheduler is behind: its state is as of the event at `seq`, and the log goes up to `end`.

    `end` is None if the broker did not say in time.
    """

    seq: int
    end: int | None

    def __str__(self) -> str:
        of = "" if self.end is None else f" of {self.end}"
        return (
            f"the scheduler has too much to do: this is as of event {self.seq}{of} of the log, and may lack "
            "what happened last"
        )


def _say_nothing(_: Behind | None = None) -> None:
    pass


class Queries:
    """Asks the scheduler. If it doesn't answer, folds the log, with the same code.

    An answer has what the log has when it is asked for, and so the acts of the person who asks.

    Args:
        cluster: what to ask.
        on_silence: called whenever the scheduler didn't answer, and the log is read instead.
        clock: the time now, in seconds since 1970.
        on_behind: called whenever the scheduler has too much to do, so that its answer may lack something.
    """

    def __init__(
        self,
        cluster: Cluster,
        on_silence: Callable[[], None] = _say_nothing,
        clock: Callable[[], float] = time.time,
        on_behind: Callable[[Behind], None] = _say_nothing,
    ) -> None:
        self._cluster = cluster
        self._on_silence = on_silence
        self._clock = clock
        self._on_behind = on_behind

    async def batches(self, **which: Any) -> BatchesDocument:
        """All batches, or those that `which` selects, as in `views.batches_view`."""
        answer = await self._ask("status", which)
        if answer is None:
            from distribute.core.views.views import batches_view, ignored_view

            state, garbage = await self._fold(), self._cluster.log.garbage
            answer = batches_view(state, **which) | ignored_view(state, garbage.count, garbage.last)
        return cast("BatchesDocument", answer)

    async def batch(self, batch: BatchId, **which: Any) -> BatchWithJobs:
        """One batch and its jobs. `which` says which of its jobs are listed, as in `views.batch_view`.

        Raises:
            Refused: there is no such batch.
        """
        answer = await self._ask("batch", {"namespace": batch.namespace, "batch": batch.batch, **which})
        if answer is None or "compacted" in answer:
            from distribute.core.views.views import batch_view

            state = await self._fold_with(batch, answer)
            answer = batch_view(state, batch, now=self._clock(), **which)
        if "error" in answer:
            raise no_such_batch(batch)
        return cast("BatchWithJobs", answer)

    async def course(self, batch: BatchId) -> Course:
        """How far a batch has come, and by which submission."""
        from distribute.client.batch_log import read_standing

        return (await read_standing(self._cluster, batch)).course

    async def has(self, batch: BatchId) -> bool:
        """Is there such a batch? Of a compacted one, this does not need its archive."""
        answer = await self._ask("batch", {"namespace": batch.namespace, "batch": batch.batch, "most": 0})
        return (await self._fold()).find(batch) is not None if answer is None else "error" not in answer

    async def job(self, job: JobId) -> JobDocument:
        """One job.

        Raises:
            Refused: there is no such batch or job.
        """
        for found in (await self.batch(job.batch_id, job=job.job))["job_list"]:
            if found["job"] == job.job:
                return found
        raise no_such_job(job)

    async def why(self, job: JobId) -> WhyDocument:
        """What a job waits for, node by node.

        Raises:
            Refused: there is no such batch or job.
        """
        answer = await self._ask("why", job._asdict())
        if answer is None or "compacted" in answer:
            from distribute.core.scheduling.agenda import Agenda
            from distribute.core.slices import at_once
            from distribute.core.views.why_view import why_view

            agenda = Agenda(await self._fold_with(job.batch_id, answer), now=self._clock())
            batch = agenda.state.batches[job.batch_id]
            if job.job not in batch.rows:
                raise no_such_job(job)
            answer = at_once(why_view(agenda, batch, job.job))
        if "error" in answer:
            raise no_such_job(job)
        named = {"namespace", "batch", "job"}
        return cast("WhyDocument", {key: value for key, value in answer.items() if key not in named})

    async def life(self, job: JobId) -> LifeDocument | None:
        """What a job waits for, and its ledger, as the scheduler tells them in one answer.

        None: it does not; maybe there is no such job, or its ledger takes many events. Then read them here.
        """
        try:
            answer = await ask(self._cluster, "life", job._asdict(), timeout_s=LIFE_WITHIN_S)
        except (Unreachable, Refused):
            return None
        return cast("LifeDocument", answer) if "ledger" in answer and "behind" not in answer else None

    async def nodes(self) -> NodesDocument:
        """All nodes. If the log is folded here, the answer lacks figures of heartbeats, such as the load."""
        answer = await self._ask("nodes", {})
        if answer is None:
            from distribute.core.scheduling.agenda import Agenda
            from distribute.core.views.views import nodes_view

            answer = nodes_view(Agenda(await self._fold(), now=self._clock()), {})
        return cast("NodesDocument", answer)

    async def node(self, name: str) -> NodeStory:
        """One node. If the log is folded here, the answer lacks figures of heartbeats.

        Raises:
            Refused: there is no such node.
        """
        answer = await self._ask("node", {"name": name})
        if answer is None:
            from distribute.core.scheduling.agenda import Agenda
            from distribute.core.views.views import node_view

            agenda = Agenda(await self._fold(), now=self._clock())
            if name not in agenda.state.nodes.keys() | agenda.state.listed.keys():
                raise no_such_node(name)
            answer = node_view(agenda, name, None)
        if "error" in answer:
            raise no_such_node(name)
        return cast("NodeStory", answer)

    async def match(self, capabilities: list[str], shapes: list[dict[str, Any] | None]) -> MatchDocument:
        """How many nodes could run jobs that need these capabilities, for each shape.

        Args:
            capabilities: what a node must be able to do.
            shapes: the resources of a job each, by the names that `specs.Resources` has; None: a whole node.
        """
        answer = await self._ask("match", {"capabilities": capabilities, "shapes": shapes})
        if answer is None:
            from distribute.core.spec.specs import Resources
            from distribute.core.views.views import match_view

            wanted = [None if shape is None else Resources(**shape) for shape in shapes]
            answer = match_view(await self._fold(), frozenset(capabilities), wanted)
        return cast("MatchDocument", answer)

    async def edit(self, batch: BatchId, jobs: list[str] | None, changes: dict[str, Any]) -> EditDocument:
        """What an edit would change: see `edit_view`.

        Raises:
            Refused: there is no such batch.
        """
        answer = await self._ask("edit", {**batch._asdict(), "jobs": jobs, "changes": changes})
        if answer is None or "compacted" in answer:
            from distribute.core.views.edit_view import edit_view

            state = await self._fold_with(batch, answer)
            answer = edit_view(state, state.batches[batch], jobs, changes)
        if "error" in answer:
            raise no_such_batch(batch)
        return cast("EditDocument", answer)

    async def _ask(self, verb: str, question: dict[str, Any]) -> dict[str, Any] | None:
        """The scheduler's answer; None: it does not answer.

        Raises:
            Refused: the scheduler does not understand the question.
        """
        try:
            answer, behind = await _ask_up_to_now(self._cluster, verb, question)
        except Unreachable:
            self._on_silence()
            return None
        if behind is not None:
            self._on_behind(behind)
        if str(answer.get("error", "")).startswith("not a question"):
            raise Refused(f"the scheduler does not understand {verb!r} ({answer['error']}): upgrade it")
        return answer

    async def _fold_with(self, batch: BatchId, answer: dict[str, Any] | None) -> State:
        """A state that has all of a batch. `answer`: the scheduler says that it is compacted; None: nothing.

        Raises:
            Refused: there is no such batch.
        """
        if answer is not None:
            return await self._fold_alone(batch, await self._cluster.log.last_seq())
        state = await self._fold()
        if batch in state.batches:
            return state
        if batch not in state.compacted:
            raise no_such_batch(batch)
        return await self._fold_alone(batch, state.seq)

    async def _fold_alone(self, batch: BatchId, until: int) -> State:
        """A state that has only this batch, as of the event at `until`."""
        from distribute.core.projections.story import BatchStory
        from distribute.core.state.state import State
        from distribute.ports import Only

        story = BatchStory(batch)
        async for events in self._cluster.log.follow(after=0, only=Only(batch=batch), until=until):
            for recorded in events:
                story.fold(recorded)
        if story.state is None:
            raise no_such_batch(batch)
        return State(seq=until, time=self._clock(), batches={batch: story.state})

    async def _fold(self) -> State:
        """The state as of now, folded from the whole log."""
        from distribute.core.folding.fold import apply
        from distribute.core.state.state import State

        state = State()
        until = await self._cluster.log.last_seq()
        if until:
            async for events in self._cluster.log.follow(after=0, until=until):
                for recorded in events:
                    apply(state, recorded)
        return state


async def _ask_up_to_now(
    cluster: Cluster, verb: str, question: dict[str, Any]
) -> tuple[dict[str, Any], Behind | None]:
    """The scheduler's answer to a query, and how far behind the log it is after several tries.

    Raises:
        Unreachable: it does not answer in time.
    """
    for _ in range(TRIES):
        answer = await ask(cluster, verb, question)
        behind = answer.pop("behind", None)
        if behind is None:
            return answer, None
    return answer, Behind(**behind)


async def ask(
    cluster: Cluster, verb: str, question: dict[str, Any], *, timeout_s: float = 5.0
) -> dict[str, Any]:
    """The scheduler's answer to a query.

    Raises:
        Unreachable: it does not answer in time.
    """
    return dict(orjson.loads(await cluster.queries.ask(verb, orjson.dumps(question), timeout_s=timeout_s)))


def no_such_node(name: str) -> UnknownName:
    """The error for an unknown node."""
    return UnknownName(
        "node", name, f"there is no node {printable(name)!r}", "`distribute nodes` lists those there are"
    )


def no_such_batch(batch: BatchId | str) -> UnknownName:
    """The error for an unknown batch: its whole name, or without its namespace."""
    name = str(batch)
    shown = repr(printable(name)) if isinstance(batch, str) else printable(name)
    return UnknownName(
        "batch", name, f"there is no batch {shown}", "`distribute status` lists those there are"
    )


def no_such_job(job: JobId) -> UnknownName:
    """The error for an unknown job of a batch that is there."""
    batch = job.batch_id
    return UnknownName(
        "job",
        job.job,
        f"{printable(str(batch))} has no job {printable(job.job)!r}",
        f"`distribute status {argument(str(batch))}` lists its jobs",
        batch,
    )
