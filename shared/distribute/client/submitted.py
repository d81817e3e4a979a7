"""What only a batch's submission tells: the parameters of a sweep's jobs, and the git commits of inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distribute.client.commits import commit_documents
from distribute.core.errors import UnreadableEvent
from distribute.lazy_submission import Submission

if TYPE_CHECKING:
    from distribute.client.documents import BatchWithJobs
    from distribute.client.queries import Queries
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster


async def read_batch(cluster: Cluster, queries: Queries, batch: BatchId, **which: Any) -> BatchWithJobs:
    """One batch and its jobs as `queries` has them, with what only its submission tells.

    Args:
        cluster: where it is.
        queries: tells how the batch stands, or stood.
        batch: which.
        which: which of its jobs are listed, as `Queries.batch` takes it.

    Raises:
        Refused: there is no such batch.
    """
    document = await queries.batch(batch, **which)
    _add_submitted(document, await _submission(cluster, queries, batch))
    return document


def _add_submitted(document: BatchWithJobs, submission: Submission | None) -> None:
    """Write the parameters of each job, and the commits of inputs, into a batch's document.

    Without any, there is an empty mapping, or an empty list.
    """
    found = dict(submission.parameters()) if submission is not None else {}
    for job in document["job_list"]:
        job["parameters"] = found.get(job["job"], {})
    document["git"] = commit_documents(submission.checkouts()) if submission is not None else []


async def _submission(cluster: Cluster, queries: Queries, batch: BatchId) -> Submission | None:
    """The submission of a batch. None, if the batch is gone."""
    course = await queries.course(batch)
    if not course.exists:
        return None
    try:
        raw = await cluster.log.get_raw(course.seq)
        submission = await Submission.read(raw.payload)
    except (KeyError, UnreadableEvent):
        return None
    is_this = (submission.event.scope, submission.event.id) == (batch, course.submission)
    return submission if is_this else None
