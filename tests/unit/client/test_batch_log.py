"""Reading one batch's events, without those of deleted batches of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client_kit import MemoryCluster, NobodyAnswers, SchedulerAnswers
from distribute.client.batch_log import BatchReader, read_standing
from distribute.core.log.recorded import Recorded
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory
from distribute.testing import builders as make

SPEC = make.batch(1)
PAST = (make.submitted(SPEC), make.kill_requested(SPEC), make.completed(SPEC, state="killed"))


@pytest.fixture
async def cluster(tmp_path: Path) -> Any:
    """A batch that was submitted three times. The last submission, at sequence 9, runs."""
    cluster = MemoryCluster(tmp_path)
    for _ in range(2):
        await cluster.say(*PAST, make.deleted(SPEC))
    await cluster.say(make.submitted(SPEC), make.assigned())
    return cluster


async def read(cluster: Any) -> tuple[list[int], Course]:
    """The sequences that a reader gets, and the course of the batch."""
    story = BatchStory(SPEC.id)
    read: list[int] = []

    def fold(recorded: Recorded) -> None:
        read.append(recorded.seq)
        story.fold(recorded)

    await BatchReader(cluster, SPEC.id, fold).read_to_now()
    return read, Course.of(story.state)


async def test_only_the_events_of_the_submission_that_counts_are_read(cluster: Any) -> None:
    cluster.queries = SchedulerAnswers(cluster.log)
    read_seqs, course = await read(cluster)
    assert read_seqs == [9, 10]
    cluster.queries = NobodyAnswers()
    assert await read(cluster) == (list(range(1, 11)), course)
    assert course.seq == 9


async def test_a_scheduler_that_has_not_read_so_far_is_not_believed(cluster: Any) -> None:
    cluster.queries = SchedulerAnswers(cluster.log, until=3)
    read_seqs, course = await read(cluster)
    assert (read_seqs, course.seq) == (list(range(1, 11)), 9)


async def test_a_deleted_batch_is_absent_and_its_name_is_guarded_by_its_last_event(cluster: Any) -> None:
    await cluster.say(make.released(), make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
    await cluster.say(make.deleted(SPEC))
    cluster.queries = SchedulerAnswers(cluster.log)
    assert await read(cluster) == ([], Course())
    assert await read_standing(cluster, SPEC.id) == (Course(), 14)
    cluster.queries = NobodyAnswers()
    assert await read_standing(cluster, SPEC.id) == (Course(), 14)


async def test_a_batch_whose_name_is_new_needs_no_scheduler(tmp_path: Path) -> None:
    cluster: Any = MemoryCluster(tmp_path)
    cluster.queries = SchedulerAnswers(cluster.log)
    await cluster.say(*PAST)
    read_seqs, course = await read(cluster)
    assert (read_seqs, course.end, cluster.queries.asked) == ([1, 2, 3], "killed", [])
