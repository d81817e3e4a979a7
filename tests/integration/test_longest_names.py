"""The longest names pass through a real broker, although each of their bytes may take three in a subject."""

from __future__ import annotations

import pytest

from distribute.core.errors import Conflict
from distribute.core.ids import MAX_AUTHOR_BYTES, MAX_NAME_BYTES, JobId
from distribute.core.log.recorded import Guard
from distribute.nats.cluster import Cluster
from distribute.ports import Only
from distribute.testing import builders


@pytest.mark.parametrize("letter", [".", "\N{GRINNING FACE}", "*"])
async def test_the_longest_names_are_stored_guarded_and_read_back(cluster: Cluster, letter: str) -> None:
    longest, node = (letter * (most // len(letter.encode())) for most in (MAX_NAME_BYTES, MAX_AUTHOR_BYTES))
    job = JobId(longest, longest, longest)
    spec = builders.batch(namespace=longest, batch=longest)
    await cluster.log.append(builders.submitted(spec), Guard(0))
    seq = await cluster.log.append(builders.assigned(job, node), Guard(0))
    seq = await cluster.log.append(builders.claimed(job, node), Guard(seq))
    with pytest.raises(Conflict):
        await cluster.log.append(builders.claimed(job, node), Guard(0))
    last = await cluster.log.last(job)
    assert last is not None
    assert (last.seq, last.event.scope) == (seq, job)
    read = [
        recorded.event.type
        async for records in cluster.log.follow(after=0, until=seq, only=Only(batch=job.batch_id))
        for recorded in records
    ]
    assert read == ["submitted", "assigned", "claimed"]
    of_node = [
        recorded.event.type
        async for records in cluster.log.follow(after=0, until=seq, only=Only(node=node))
        for recorded in records
    ]
    assert of_node == ["assigned", "claimed"]
