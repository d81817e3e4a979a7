"""A person holds a batch, releases it, or gives it another priority."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client.holding import hold, release
from distribute.client.priority import set_priority
from distribute.core.errors import Refused
from distribute.core.ids import BatchId
from distribute.testing import builders as make

SPEC = make.batch(2)
IS_OVER = (make.kill_requested(SPEC), make.completed(SPEC, state="killed"))

Act = Callable[..., Awaitable[object]]


async def reprioritize(cluster: Any, person: Any, batch: BatchId, **how: Any) -> None:
    await set_priority(cluster, person, batch, 7, **how)


VERBS: list[tuple[str, Act]] = [("hold", hold), ("release", release), ("prioritize", reprioritize)]


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


def last_event(cluster: Any) -> Any:
    stored = cluster.log.stored
    return stored.between(stored.last_seq - 1, stored.last_seq)[0].event


async def test_a_batch_is_held_and_released(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC))
    assert await hold(cluster, JANE, SPEC.id, reason="the mesh is wrong") is None
    assert (last_event(cluster).type, last_event(cluster).reason) == ("held", "the mesh is wrong")
    assert await release(cluster, JANE, SPEC.id) == "jane"
    assert (last_event(cluster).type, last_event(cluster).author) == ("hold_released", "jane")


async def test_a_batch_that_is_held_already_is_not_held_again(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC), make.held(SPEC, by="bob"))
    assert await hold(cluster, JANE, SPEC.id) == "bob"
    assert cluster.types() == ["submitted", "held"]


async def test_only_a_held_batch_can_be_released(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC))
    with pytest.raises(Refused, match="nobody holds lab/sweep: there is nothing to release"):
        await release(cluster, JANE, SPEC.id)


async def test_a_batch_gets_another_priority(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC))
    await set_priority(cluster, JANE, SPEC.id, -7)
    assert (last_event(cluster).type, last_event(cluster).priority) == ("reprioritized", -7)


@pytest.mark.parametrize(("verb", "act"), VERBS)
async def test_a_batch_that_is_over_is_refused(cluster: Any, verb: str, act: Act) -> None:
    await cluster.say(make.submitted(SPEC), *IS_OVER)
    with pytest.raises(Refused, match=f"lab/sweep is over: there is nothing to {verb}"):
        await act(cluster, JANE, SPEC.id)


@pytest.mark.parametrize(("verb", "act"), VERBS)
async def test_an_unknown_batch_is_refused(cluster: Any, verb: str, act: Act) -> None:
    with pytest.raises(Refused, match="there is no batch lab/none"):
        await act(cluster, JANE, BatchId("lab", "none"))


@pytest.mark.parametrize("act", [hold, reprioritize])
async def test_a_batch_that_ran_elsewhere_is_refused(cluster: Any, act: Act) -> None:
    await cluster.say(make.submitted(SPEC, ran_at=make.RAN_AT))
    with pytest.raises(Refused, match="lab/sweep ran at slurm, and nothing here runs it"):
        await act(cluster, JANE, SPEC.id)


@pytest.mark.parametrize(("verb", "act"), VERBS)
async def test_another_persons_batch_needs_force(cluster: Any, verb: str, act: Act) -> None:
    first = [make.submitted(SPEC, user="bob"), *([make.held(SPEC)] if verb == "release" else [])]
    await cluster.say(*first)
    with pytest.raises(Refused, match=f"is bob's batch, and you are jane: it takes force to {verb} it"):
        await act(cluster, JANE, SPEC.id)
    await act(cluster, JANE, SPEC.id, force=True)
    assert len(cluster.types()) == len(first) + 1


@pytest.mark.parametrize(("verb", "act"), VERBS)
async def test_a_dry_run_checks_the_same_and_changes_nothing(cluster: Any, verb: str, act: Act) -> None:
    first = [make.submitted(SPEC), *([make.held(SPEC)] if verb == "release" else [])]
    await cluster.say(*first)
    await act(cluster, JANE, SPEC.id, dry=True)
    assert len(cluster.types()) == len(first)
    await cluster.say(*IS_OVER)
    with pytest.raises(Refused, match="is over"):
        await act(cluster, JANE, SPEC.id, dry=True)


@pytest.mark.parametrize(("verb", "act"), VERBS)
async def test_what_others_say_meanwhile_comes_first(cluster: Any, verb: str, act: Act) -> None:
    """The guard of the event refuses it until the person has read what came first."""
    await cluster.say(make.submitted(SPEC), *([make.held(SPEC)] if verb == "release" else []))
    append = cluster.log.append
    once = iter([make.reprioritized(3, SPEC)])

    async def beaten(event: Any, guard: Any) -> int:
        for first in once:
            await cluster.say(first)
        return int(await append(event, guard))

    cluster.log.append = beaten
    await act(cluster, JANE, SPEC.id)
    assert cluster.types()[-2] == "reprioritized"
