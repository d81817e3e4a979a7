"""How a batch stands by the scheduler's fold: to fold all events of a batch of 100,000 jobs takes seconds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from distribute.client.queries import TRIES, ask
from distribute.core.errors import NobodyAnswers, Refused, Unreachable
from distribute.core.projections.course import Course

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster

ANSWER_WITHIN_S = 1.0
"""How long to wait for the scheduler where its answer only saves work."""

_ASK_AGAIN_S = 0.2
"""A scheduler that is behind has waited before it says so; one out of reach does not say that it is back."""


class Outcome(NamedTuple):
    """A job's last attempt, and the one that finished last: where, and when by the log's clock.

    `finished_at` 0: none has.
    """

    attempt: int
    node: str | None
    finished_at: float


class Told(NamedTuple):
    """What the scheduler says of a batch as of the event at `seq`, and the last sequence under it.

    `document` is None if there is no such batch. `outcome` is of the job that was asked for.
    """

    seq: int
    course: Course
    under_seq: int = 0
    document: BatchDocument | None = None
    outcome: Outcome | None = None


async def ask_standing(cluster: Cluster, batch: BatchId, job: str | None = None) -> Told | None:
    """How a batch, and if wanted a job of it, stands now. None: the scheduler can't say, so fold the log."""
    question = {**batch._asdict(), "job": job}
    answer = await ask_believed(cluster, "standing", question, timeout_s=ANSWER_WITHIN_S)
    if answer is None:
        return None
    try:
        course, outcome = Course(**answer["course"]), answer["job"]
        told = Outcome(**outcome) if outcome is not None else None
        return Told(answer["seq"], course, answer["under_seq"], answer["batch"], told)
    except (KeyError, TypeError):
        return None  # another version's scheduler


async def until_read(cluster: Cluster, batch: BatchId, seq: int) -> None:
    """Return once the scheduler has read the event of a batch at `seq`, so that it decides by that.

    If none runs, return at once: one that starts reads the log before it decides. One that is slow, or out of
    the broker's reach, is waited for: what it decided before may still come into the log.

    Raises:
        Refused: the scheduler, or the broker, answers no such query.
    """
    question = {**batch._asdict(), "job": None}
    while True:
        try:
            answer = await ask(cluster, "standing", question, timeout_s=ANSWER_WITHIN_S)
        except NobodyAnswers:
            return
        except Unreachable:
            answer = {}
        if answer.get("seq", 0) >= seq:
            return
        await asyncio.sleep(_ASK_AGAIN_S)


async def ask_believed(
    cluster: Cluster, verb: str, question: dict[str, Any], *, timeout_s: float
) -> dict[str, Any] | None:
    """The scheduler's answer about the log as it is now. None: it can't say.

    The scheduler folds all that is in the log, and what it answers is what the fold accepts. It counts only
    if the scheduler has read as far as the log goes now, and not further: then the log lost its end.
    """
    now = await cluster.log.last_seq()
    if not now:
        return None
    for _ in range(TRIES):
        try:
            answer = await ask(cluster, verb, question, timeout_s=timeout_s)
        except (Unreachable, Refused):
            return None
        seq = answer.get("seq")
        if not isinstance(seq, int):
            return None
        if seq >= now:
            return answer if seq <= await cluster.log.last_seq() else None
    return None
