"""A batch that would wait for itself, by way of others, is refused; one that would not is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, MemoryCluster
from distribute.client.queries import Queries
from distribute.client.waiting import with_after
from distribute.config.sections.after import AfterRef
from distribute.core.errors import Refused
from distribute.core.ids import JobId
from distribute.core.log.events import Event, Submitted
from distribute.core.spec.specs import After, BatchSpec
from distribute.testing import builders as make

FIRST = make.batch([make.job("a")], batch="first")


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    return MemoryCluster(tmp_path)


def waits_for(of: Submitted, name: str) -> Submitted:
    """The submission of a batch that runs after another one."""
    after = After(namespace=of.namespace, batch=of.batch, submission=of.id)
    return make.submitted(make.batch([make.job("a")], batch=name, after=(after,)))


def ended(batch: BatchSpec) -> list[Event]:
    """How a batch of one job succeeds."""
    job = JobId(batch.namespace, batch.batch, "a")
    return [
        make.assigned(job),
        make.claimed(job),
        make.started(job),
        make.finished(job),
        make.completed(batch),
    ]


def with_submission(then: Submitted) -> BatchSpec:
    """`first`, which is to run after this one."""
    after = After(namespace=then.namespace, batch=then.batch, submission=then.id)
    return FIRST.model_copy(update={"after": (after,)})


async def asked(cluster: Any, *names: str) -> BatchSpec:
    """`first`, which is to run after these batches now."""
    wanted = [AfterRef(batch=name) for name in names]
    return await with_after(cluster, Queries(cluster, lambda: None), JANE, FIRST, wanted)


async def test_a_batch_that_waits_for_the_one_to_be_replaced_is_not_waited_for(cluster: Any) -> None:
    first = make.submitted(FIRST)
    then = waits_for(first, "then")
    await cluster.say(first, then, waits_for(then, "late"))
    with pytest.raises(Refused, match="lab/first waits for lab/late waits for lab/then waits for lab/first"):
        await asked(cluster, "late")
    with pytest.raises(Refused, match="lab/first waits for lab/first"):
        await asked(cluster, "first")


async def test_a_forged_submission_hides_no_circle(cluster: Any) -> None:
    first = make.submitted(FIRST)
    forged = make.submitted(make.batch([make.job("a")], batch="then"))
    await cluster.say(first, waits_for(first, "then"), forged)
    with pytest.raises(Refused, match="lab/first waits for lab/then waits for lab/first"):
        await asked(cluster, "then")


async def test_a_batch_that_has_begun_after_the_one_to_be_replaced_is_waited_for(cluster: Any) -> None:
    first = make.submitted(FIRST)
    then = waits_for(first, "then")
    await cluster.say(first, then, *ended(FIRST))
    assert await asked(cluster, "then") == with_submission(then)
    with pytest.raises(Refused, match="lab/first waits for lab/first"):
        await asked(cluster, "first")


async def test_a_batch_that_ran_after_an_earlier_one_of_this_name_is_waited_for(cluster: Any) -> None:
    first = make.submitted(FIRST)
    then = waits_for(first, "then")
    await cluster.say(first, then, *ended(FIRST), make.deleted(FIRST))
    assert await asked(cluster, "then") == with_submission(then)
    await cluster.say(make.submitted(FIRST))
    assert await asked(cluster, "then") == with_submission(then)
