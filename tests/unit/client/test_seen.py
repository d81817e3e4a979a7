"""No batch is deleted or replaced to which somebody did something while a person thought about a question."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client.batch_log import read_standing
from distribute.client.control import delete
from distribute.client.queries import Queries
from distribute.client.seen import ACTS as KINDS
from distribute.client.seen import Seen, standing_of
from distribute.client.submit import submit
from distribute.core.errors import Refused
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard
from distribute.testing import builders as make

SPEC = make.batch(1)
RUNS = (make.joined(), make.submitted(SPEC), make.assigned(), make.claimed(), make.started())
KILLED = (make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
LOOK = r"\. Look at it with `distribute status lab/sweep`, then try again"
ACTS = {
    "had jobs of lab/sweep run again": make.retry_requested(SPEC).model_copy(update={"author": "bob"}),
    "held lab/sweep": make.held(SPEC, by="bob"),
    "released lab/sweep": make.hold_released(SPEC, by="bob"),
    "edited lab/sweep": make.edited(SPEC, by="bob", retries=3),
    "moved a job of lab/sweep": make.move_requested("job1", by="bob"),
    "changed the priority of lab/sweep": make.reprioritized(3, SPEC).model_copy(update={"author": "bob"}),
}


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


def test_every_kind_of_act_is_tried() -> None:
    assert {type(act) for act in ACTS.values()} == set(KINDS)


@pytest.mark.parametrize("did", ACTS)
async def test_a_batch_to_which_somebody_did_something_meanwhile_is_not_deleted(
    cluster: Any, did: str
) -> None:
    """While a person thinks about the question, a colleague has the batch go on, or otherwise."""
    await cluster.say(*RUNS, make.held(SPEC) if did.startswith("released") else make.reprioritized(1, SPEC))
    if did.startswith("had"):
        await cluster.say(make.finished(succeeded=False), make.completed(SPEC, state="failed"))
    queries = Queries(cluster, clock=lambda: make.EPOCH.timestamp())
    seen, _ = await standing_of(cluster, queries, SPEC.id)
    await cluster.say(ACTS[did])
    before = cluster.types()
    why = f"bob {did} meanwhile, at 20.*: it was not"
    with pytest.raises(Refused, match=f"{why} deleted{LOOK}"):
        await delete(cluster, JANE, SPEC.id, seen=seen)
    with pytest.raises(Refused, match=f"{why} replaced"):
        await submit(cluster, JANE, SPEC, {}, replace=True, seen=seen)
    assert cluster.types() == before


async def test_a_batch_that_went_on_meanwhile_and_is_over_again_is_not_deleted(cluster: Any) -> None:
    """What it left is not what the person saw."""
    await cluster.say(*RUNS, make.finished(succeeded=False), make.completed(SPEC, state="failed"))
    seen = Seen(*await read_standing(cluster, SPEC.id))
    await cluster.say(ACTS["had jobs of lab/sweep run again"], *KILLED)
    with pytest.raises(Refused, match="bob had jobs of lab/sweep run again meanwhile"):
        await delete(cluster, JANE, SPEC.id, seen=seen)
    await delete(cluster, JANE, SPEC.id, seen=Seen(*await read_standing(cluster, SPEC.id)))
    assert cluster.types()[-1] == "deleted"


async def test_a_batch_whose_jobs_went_on_or_that_was_killed_meanwhile_is_deleted(cluster: Any) -> None:
    await cluster.say(*RUNS)
    seen = Seen(*await read_standing(cluster, SPEC.id))
    await cluster.say(make.kill_requested(SPEC, by="bob"), make.finished(succeeded=False))
    await cluster.say(make.completed(SPEC, state="killed"))
    await delete(cluster, JANE, SPEC.id, seen=seen)
    assert cluster.types()[-1] == "deleted"


async def test_an_act_that_beats_the_kill_before_a_deletion_is_noticed(cluster: Any) -> None:
    await cluster.say(*RUNS)
    seen = Seen(*await read_standing(cluster, SPEC.id))
    sound = cluster.log.append

    def beaten(event: Event, guard: Guard) -> asyncio.Future[int]:
        cluster.log.append = sound
        sound(make.held(SPEC, by="bob"), guard)
        return sound(event, guard)

    cluster.log.append = beaten
    with pytest.raises(Refused, match="bob held lab/sweep meanwhile"):
        await delete(cluster, JANE, SPEC.id, seen=seen)
    assert cluster.types()[-1] == "held"
