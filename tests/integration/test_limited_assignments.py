"""The real broker keeps two schedulers together to the `max_running` of a batch."""

from __future__ import annotations

import asyncio

import pytest

from distribute.core.errors import Conflict
from distribute.core.log.events import Assigned
from distribute.core.log.recorded import Guard
from distribute.nats.cluster import Cluster
from distribute.testing import builders as make

WITHIN_S = 60.0


def limited(job: str) -> Assigned:
    return make.assigned(job, limited=True)


async def test_an_assignment_is_refused_if_another_job_of_its_batch_was_assigned_meanwhile(
    cluster: Cluster,
) -> None:
    async with asyncio.timeout(WITHIN_S):
        batch_seq = await cluster.log.append(make.submitted(make.batch(3, max_running=1)), Guard(0))
        first = await cluster.log.append(limited("job1"), Guard(0, batch_seq))
        with pytest.raises(Conflict) as refused:
            await cluster.log.append(limited("job2"), Guard(0, batch_seq))
        assert refused.value.beaten_by_seq == first
        await cluster.log.append(make.claimed("job1"), Guard(first))
        await cluster.log.append(limited("job2"), Guard(first, batch_seq))


async def test_assignments_of_other_batches_change_nothing(cluster: Cluster) -> None:
    async with asyncio.timeout(WITHIN_S):
        for batch in ("one", "two", "one two"):
            event = limited("job1").model_copy(update={"batch": batch})
            await cluster.log.append(event, Guard(0))


async def test_an_assignment_in_a_deleted_batch_of_the_name_does_not_count(cluster: Cluster) -> None:
    async with asyncio.timeout(WITHIN_S):
        await cluster.log.append(limited("job1"), Guard(0))
        batch_seq = await cluster.log.append(make.submitted(), Guard(0))
        await cluster.log.append(limited("job2"), Guard(0, batch_seq))


async def test_an_assignment_whose_answer_was_lost_is_found_again(cluster: Cluster) -> None:
    async with asyncio.timeout(WITHIN_S):
        event = limited("job1")
        first = await cluster.log.append(event, Guard(0))
        await cluster.log.append(make.claimed("job1"), Guard(first))
        assert await cluster.log.append(event, Guard(0)) == first
