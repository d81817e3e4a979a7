"""What only a batch's submission tells: the parameters of a sweep's jobs, and the git commits of inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.batch_log import read_standing
from distribute.client.commits import commit_documents
from distribute.core.errors import UnreadableEvent
from distribute.lazy_submission import Submission

if TYPE_CHECKING:
    from distribute.client.documents import BatchWithJobs
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster


async def add_submitted(cluster: Cluster, batch: BatchId, document: BatchWithJobs) -> None:
    """Write the parameters of each job, and the commits of inputs, into a batch's document.

    Without any, there is an empty mapping, or an empty list.
    """
    submission = await _submission(cluster, batch)
    found = dict(submission.parameters()) if submission is not None else {}
    for job in document["job_list"]:
        job["parameters"] = found.get(job["job"], {})
    document["git"] = commit_documents(submission.checkouts()) if submission is not None else []


async def _submission(cluster: Cluster, batch: BatchId) -> Submission | None:
    """The submission of a batch. None, if the batch is gone."""
    course = (await read_standing(cluster, batch)).course
    if not course.exists:
        return None
    try:
        raw = await cluster.log.get_raw(course.seq)
        submission = await Submission.read(raw.payload)
    except (KeyError, UnreadableEvent):
        return None
    is_this = (submission.event.scope, submission.event.id) == (batch, course.submission)
    return submission if is_this else None
