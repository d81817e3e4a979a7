"""Answers about the cluster: from the scheduler, which has them at hand, or else from the log itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson

from distribute.core.errors import Refused, Unreachable
from distribute_cli.output import Document, Output, argument, printable

if TYPE_CHECKING:
    from distribute.core.ids import BatchId, JobId
    from distribute.core.state import State
    from distribute.ports import Cluster


class Reads:
    """Asks the scheduler. Where it does not answer, the same events are folded here, with the same code."""

    def __init__(self, cluster: Cluster, output: Output) -> None:
        self._cluster = cluster
        self._output = output

    async def status(self) -> Document:
        """All batches: `{"batches": [...]}`."""
        answer = await self._ask("status", {})
        if answer is not None:
            return answer
        from distribute.core.views import batches_view

        return batches_view(await self._fold())

    async def batch(self, batch: BatchId, **which: Any) -> Document:
        """One batch, with its `job_list`. `which` of its jobs are listed: see `views.batch_view`.

        Raises:
            Refused: there is no such batch.
        """
        answer = await self._ask("batch", {"namespace": batch.namespace, "batch": batch.batch, **which})
        if answer is None:
            from distribute.core.views import batch_view

            state = await self._fold()
            answer = batch_view(state, batch, **which) if batch in state.batches else {"error": "unknown"}
        if "error" in answer:
            raise no_such_batch(batch)
        return answer

    async def job(self, job: JobId) -> Document:
        """One job, as it stands in its batch's `job_list`.

        Raises:
            Refused: there is no such batch or job.
        """
        for found in (await self.batch(job.batch_id, job=job.job))["job_list"]:
            if found["job"] == job.job:
                return dict(found)
        batch = printable(str(job.batch_id))
        raise Refused(
            f"{batch} has no job {printable(job.job)!r}; "
            f"`distribute status {argument(str(job.batch_id))}` lists its jobs"
        )

    async def nodes(self) -> Document:
        """All nodes: `{"nodes": [...]}`. Folded here, nobody says what they are doing just now."""
        answer = await self._ask("nodes", {})
        if answer is not None:
            return answer
        from distribute.core.agenda import Agenda
        from distribute.core.views import nodes_view

        return nodes_view(Agenda(await self._fold(), now=time.time()), {})

    async def match(self, payload: dict[str, Any]) -> Document:
        """On how many nodes jobs of some shapes could run: see the scheduler's `match`."""
        answer = await self._ask("match", payload)
        if answer is not None:
            return answer
        from distribute.core.specs import Resources
        from distribute.core.views import match_view

        shapes = [None if shape is None else Resources(**shape) for shape in payload["shapes"]]
        return match_view(await self._fold(), frozenset(payload["capabilities"]), shapes)

    async def counts(self, batch: BatchId) -> Document | None:
        """A batch without its jobs. None: there is none, or nobody answers just now."""
        try:
            answer = await ask(self._cluster, "status", {})
        except Unreachable:
            return None
        for found in answer["batches"]:
            if (found["namespace"], found["batch"]) == batch:
                return dict(found)
        return None

    async def _ask(self, verb: str, payload: dict[str, Any]) -> Document | None:
        try:
            return await ask(self._cluster, verb, payload)
        except Unreachable:
            self._output.warn(
                "the scheduler is not answering: this is read from the log, and no job starts till it is back"
            )
            return None

    async def _fold(self) -> State:
        from distribute.core.fold import apply
        from distribute.core.state import State

        state = State()
        until = await self._cluster.log.last_seq()
        if until:
            async for events in self._cluster.log.follow(after=0, until=until):
                for recorded in events:
                    apply(state, recorded)
        return state


async def ask(cluster: Cluster, verb: str, payload: dict[str, Any]) -> Document:
    """The scheduler's answer to a query.

    Raises:
        Unreachable: it does not answer.
    """
    return dict(orjson.loads(await cluster.queries.ask(verb, orjson.dumps(payload))))


def no_such_batch(batch: BatchId) -> Refused:
    """The error that tells of an unknown batch."""
    return Refused(f"there is no batch {printable(str(batch))}; `distribute status` lists those there are")
