"""Killing and deleting act only on events that the fold accepts."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client.batch_log import read_standing
from distribute.client.control import delete, drain, forget, kill, undrain
from distribute.client.queries import Queries
from distribute.client.saying import say_of_batch
from distribute.client.seen import Seen
from distribute.client.submit import refuse_if_taken, submit
from distribute.core.errors import Refused, UnknownName
from distribute.core.ids import BatchId, JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard
from distribute.testing import builders as make

SPEC = make.batch(1)
RUNS = (make.joined(), make.submitted(SPEC), make.assigned(), make.claimed(), make.started())


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


async def test_a_batch_is_killed_and_deleted_once_it_is_over(cluster: Any) -> None:
    await cluster.say(*RUNS)
    deleting = asyncio.create_task(delete(cluster, JANE, SPEC.id))
    await cluster.until("kill_requested")
    assert "deleted" not in cluster.types()
    await cluster.say(make.released(reason="killed"), make.completed(SPEC, state="killed"))
    await deleting
    assert cluster.types()[-1] == "deleted"


async def test_a_batch_whose_completed_the_fold_refuses_can_not_be_deleted(cluster: Any) -> None:
    """The job still runs; a scheduler that lagged, or a forger, wrote that the batch is over."""
    await cluster.say(*RUNS, make.completed(SPEC, state="killed"))
    deleting = asyncio.create_task(delete(cluster, JANE, SPEC.id))
    await cluster.until("kill_requested")
    await cluster.say(make.completed(SPEC, state="killed"))
    await asyncio.sleep(0)
    assert "deleted" not in cluster.types()
    assert not deleting.done()
    await cluster.say(make.released(reason="killed"), make.completed(SPEC, state="killed"))
    await deleting
    assert cluster.types()[-1] == "deleted"


async def test_a_kill_that_the_log_lost_is_appended_again(cluster: Any) -> None:
    await cluster.say(*RUNS)
    deleting = asyncio.create_task(delete(cluster, JANE, SPEC.id))
    await cluster.until("kill_requested")
    await cluster.log.replace(keeps=len(RUNS))
    await cluster.say(make.reprioritized(1, SPEC), make.reprioritized(2, SPEC))
    await cluster.until("kill_requested")
    await cluster.say(make.released(reason="killed"), make.completed(SPEC, state="killed"))
    async with asyncio.timeout(60):
        await deleting
    assert cluster.types()[-1] == "deleted"


async def test_the_deletion_of_a_replaced_batch_names_its_end_as_cause(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC), make.kill_requested(SPEC))
    end = make.completed(SPEC, state="killed")
    await cluster.say(end)
    await submit(cluster, JANE, SPEC, {}, replace=True)
    deleted, submitted = (recorded.event for recorded in cluster.log.stored.between(3, 5))
    assert (deleted.type, deleted.causation) == ("deleted", end.id)
    assert (submitted.type, submitted.causation) == ("submitted", None)


async def test_a_batch_that_is_retried_meanwhile_is_not_deleted(cluster: Any) -> None:
    await cluster.say(*RUNS)
    deleting = asyncio.create_task(delete(cluster, JANE, SPEC.id))
    await cluster.until("kill_requested")
    await cluster.say(
        make.released(reason="killed"), make.completed(SPEC, state="killed"), make.retry_requested(SPEC)
    )
    with pytest.raises(Refused, match="lab/sweep runs again: somebody had it retried; it was not deleted"):
        await deleting
    assert "deleted" not in cluster.types()


async def test_a_deleted_that_the_fold_refuses_frees_no_name(cluster: Any) -> None:
    """Otherwise the next submission would be stored, but the fold would ignore it."""
    await cluster.say(*RUNS, make.deleted(SPEC))
    with pytest.raises(Refused, match="there is a batch lab/sweep already"):
        await submit(cluster, JANE, SPEC, {})
    with pytest.raises(Refused, match="there is a batch lab/sweep already"):
        await refuse_if_taken(cluster, SPEC.id)


async def test_a_name_is_free_again_once_its_batch_is_deleted(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC), make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
    await delete(cluster, JANE, SPEC.id)
    await submit(cluster, JANE, SPEC, {})
    assert cluster.types()[-2:] == ["deleted", "submitted"]


async def test_the_second_to_submit_a_name_is_refused(cluster: Any) -> None:
    first, second = submit(cluster, JANE, SPEC, {}), submit(cluster, JANE, SPEC, {})
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    (refused,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(refused, Refused)
    assert cluster.types() == ["submitted"]


ENDED = (make.submitted(SPEC), make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
MEANWHILE = r"jane submitted another batch lab/sweep meanwhile, at 20\d\d-.*: "
LOOK = r"\. Look at it with `distribute status lab/sweep`, then try again"


async def test_of_two_that_replace_one_batch_at_once_the_second_is_refused(cluster: Any) -> None:
    await cluster.say(*ENDED)
    seen = Seen(*await read_standing(cluster, SPEC.id))
    both = (submit(cluster, JANE, SPEC, {}, replace=True, seen=seen) for _ in range(2))
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    (refused,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(refused, Refused)
    why = f"{MEANWHILE}it was not replaced, and yours is not submitted{LOOK}"
    assert re.fullmatch(why, str(refused))
    assert cluster.types() == ["submitted", "kill_requested", "completed", "deleted", "submitted"]


async def test_a_batch_that_came_after_a_person_looked_is_not_replaced(cluster: Any) -> None:
    nothing = Seen(*await read_standing(cluster, SPEC.id))
    await cluster.say(make.submitted(SPEC))
    with pytest.raises(Refused, match=f"{MEANWHILE}it was not replaced"):
        await submit(cluster, JANE, SPEC, {}, replace=True, seen=nothing)
    assert cluster.types() == ["submitted"]


@pytest.mark.parametrize("another", [(make.submitted(SPEC),), ENDED], ids=["runs", "is over"])
async def test_a_batch_that_took_the_place_of_another_is_not_deleted(
    cluster: Any, another: tuple[Event, ...]
) -> None:
    """While a person thinks about the question, somebody replaces the batch."""
    await cluster.say(*ENDED)
    seen = Seen(*await read_standing(cluster, SPEC.id))
    await cluster.say(make.deleted(SPEC))
    with pytest.raises(UnknownName, match="there is no batch lab/sweep"):
        await delete(cluster, JANE, SPEC.id, seen=seen)
    await cluster.say(*[one.model_copy(update={"id": make.new_id()}) for one in another])
    before = cluster.types()
    with pytest.raises(Refused, match=f"{MEANWHILE}it was not deleted{LOOK}"):
        await delete(cluster, JANE, SPEC.id, seen=seen)
    assert cluster.types() == before
    await cluster.say(*([] if len(another) > 1 else ENDED[1:]))
    await delete(cluster, JANE, SPEC.id, seen=Seen(*await read_standing(cluster, SPEC.id)))
    assert cluster.types()[-1] == "deleted"


async def test_what_a_person_says_of_a_batch_is_not_said_of_the_next(cluster: Any) -> None:
    await cluster.say(*ENDED)
    seen = (await read_standing(cluster, SPEC.id)).course
    await cluster.say(make.deleted(SPEC), make.submitted(SPEC))
    with pytest.raises(Refused, match=f"{MEANWHILE}nothing was done to it{LOOK}"):
        await say_of_batch(cluster, SPEC.id, seen, lambda now: make.held(SPEC))
    assert cluster.types()[-1] == "submitted"


async def test_only_a_batch_or_job_that_is_not_over_can_be_killed(cluster: Any) -> None:
    queries = Queries(cluster)
    with pytest.raises(Refused, match="there is no batch lab/none"):
        await kill(cluster, queries, JANE, BatchId("lab", "none"))
    await cluster.say(*RUNS, make.completed(SPEC, state="failed"))  # which the fold refuses
    await kill(cluster, queries, JANE, JobId(*SPEC.id, "job1"))
    await cluster.say(make.finished(succeeded=False))
    with pytest.raises(Refused, match=r"lab/sweep/job1 is over \(killed\): there is nothing to kill"):
        await kill(cluster, queries, JANE, JobId(*SPEC.id, "job1"))
    await cluster.say(make.completed(SPEC, state="killed"))
    with pytest.raises(Refused, match="lab/sweep is over: there is nothing to kill"):
        await kill(cluster, queries, JANE, SPEC.id)


async def test_a_batch_that_is_killed_already_is_not_killed_again(cluster: Any) -> None:
    queries = Queries(cluster)
    await cluster.say(*RUNS, make.kill_requested(SPEC, by="bob"))
    assert await kill(cluster, queries, JANE, SPEC.id) == "bob"
    assert await kill(cluster, queries, JANE, JobId(*SPEC.id, "job1")) == "bob"
    assert cluster.types()[-1] == "kill_requested"
    assert len(cluster.types()) == len(RUNS) + 1


async def test_a_dry_kill_checks_the_same_and_asks_for_nothing(cluster: Any) -> None:
    queries = Queries(cluster)
    with pytest.raises(Refused, match="there is no batch lab/sweep"):
        await kill(cluster, queries, JANE, SPEC.id, dry=True)
    await cluster.say(*RUNS)
    for target in (SPEC.id, JobId(*SPEC.id, "job1")):
        assert await kill(cluster, queries, JANE, target, dry=True) is None
    assert "kill_requested" not in cluster.types()
    await cluster.say(make.kill_requested(SPEC, by="bob"))
    assert await kill(cluster, queries, JANE, SPEC.id, dry=True) == "bob"


async def test_only_jobs_that_wait_are_killed_if_that_is_wanted(cluster: Any) -> None:
    queries, two = Queries(cluster), make.batch(2)
    await cluster.say(make.joined(), make.submitted(two), *RUNS[2:])
    with pytest.raises(Refused, match="lab/sweep/job1 does not wait, it is running"):
        await kill(cluster, queries, JANE, JobId(*two.id, "job1"), only_queued=True)
    assert await kill(cluster, queries, JANE, two.id, only_queued=True) is None
    said = cluster.log.stored.between(0, 100)[-1].event
    assert (said.type, said.state, said.job, said.discard) == ("kill_requested", "queued", None, False)
    with pytest.raises(Refused, match="no job of lab/sweep waits: there is nothing to kill"):
        await kill(cluster, queries, JANE, two.id, only_queued=True)


async def test_another_persons_batch_is_killed_and_deleted_only_by_force(cluster: Any) -> None:
    queries = Queries(cluster)
    await cluster.say(make.joined(), make.submitted(SPEC, user="bob"), *RUNS[2:])
    anothers = "lab/sweep is bob's batch, and you are jane: it takes force to"
    for target in (SPEC.id, JobId(*SPEC.id, "job1")):
        with pytest.raises(Refused, match=f"{anothers} kill it"):
            await kill(cluster, queries, JANE, target)
    with pytest.raises(Refused, match=f"{anothers} delete it"):
        await delete(cluster, JANE, SPEC.id)
    with pytest.raises(Refused, match=f"{anothers} replace it"):
        await submit(cluster, JANE, SPEC, {}, replace=True)
    assert "kill_requested" not in cluster.types()
    await kill(cluster, queries, JANE, SPEC.id, force=True)
    await cluster.say(make.finished(succeeded=False), make.completed(SPEC, state="killed"))
    with pytest.raises(Refused, match=f"{anothers} delete it"):
        await delete(cluster, JANE, SPEC.id)
    await submit(cluster, JANE, SPEC, {}, replace=True, force=True)
    assert cluster.types()[-2:] == ["deleted", "submitted"]


async def test_a_deletion_waits_for_nothing_that_running_jobs_leave(cluster: Any) -> None:
    await cluster.say(*RUNS)
    deleting = asyncio.create_task(delete(cluster, JANE, SPEC.id))
    await cluster.until("kill_requested")
    said = cluster.log.stored.between(0, 100)[-1].event
    assert said.discard
    await cluster.say(make.released(reason="killed"), make.completed(SPEC, state="killed"))
    await deleting


async def test_what_a_person_says_of_a_batch_names_its_submission(cluster: Any) -> None:
    await cluster.say(*RUNS)
    deleting = asyncio.create_task(delete(cluster, JANE, SPEC.id))
    await cluster.until("kill_requested")
    await cluster.say(make.released(reason="killed"), make.completed(SPEC, state="killed"))
    await deleting
    submitted = make.submitted(SPEC)
    await cluster.say(submitted)
    await kill(cluster, Queries(cluster), JANE, SPEC.id)
    await cluster.say(make.completed(SPEC, state="killed"))
    await delete(cluster, JANE, SPEC.id)  # at once, for it is over
    said = [recorded.event for recorded in cluster.log.stored.between(0, 100)]
    named = {kind: [] for kind in ("kill_requested", "deleted")}
    for event in said:
        if event.type in named:
            named[event.type].append(event.submission)
    assert named == {kind: [RUNS[1].id, submitted.id] for kind in named}


async def test_another_batch_that_takes_the_name_meanwhile_is_not_deleted(cluster: Any) -> None:
    await cluster.say(*RUNS)
    deleting = asyncio.create_task(delete(cluster, JANE, SPEC.id))
    await cluster.until("kill_requested")
    killed = make.released(reason="killed"), make.completed(SPEC, state="killed")
    await cluster.say(*killed, make.deleted(SPEC), make.submitted(SPEC))
    with pytest.raises(Refused, match=f"{MEANWHILE}it was not deleted{LOOK}"):
        await deleting
    assert cluster.types()[-1] == "submitted"


async def test_a_node_that_is_only_in_the_log_is_not_drained(cluster: Any) -> None:
    """It was forgotten, or never joined: the fold would not accept the event."""
    queries = Queries(cluster, clock=lambda: make.EPOCH.timestamp())
    await cluster.say(make.joined(), make.left(), make.forgotten(), make.left("ws2"))
    for node in ("ws1", "ws2"):
        with pytest.raises(Refused, match=f"there is no node '{node}'"):
            await drain(cluster, queries, JANE, node)
        with pytest.raises(Refused, match=f"there is no node '{node}'"):
            await undrain(cluster, queries, JANE, node)


async def test_a_node_is_drained_and_takes_jobs_again(cluster: Any) -> None:
    queries = Queries(cluster, clock=lambda: make.EPOCH.timestamp())
    with pytest.raises(Refused, match="there is no node 'ws1'; `distribute nodes` lists those there are"):
        await drain(cluster, queries, JANE, "ws1")
    await cluster.say(make.joined())
    until = datetime(2030, 1, 2, tzinfo=UTC)
    await drain(cluster, queries, JANE, "ws1", reason="new disk", until=until)
    await undrain(cluster, queries, JANE, "ws1")
    drained, undrained = (recorded.event for recorded in cluster.log.stored.between(1, 3))
    assert (drained.type, drained.reason, drained.until) == ("drain_requested", "new disk", until)
    assert (undrained.type, undrained.author, undrained.causation) == ("undrained", "jane", None)


async def test_only_a_node_that_is_gone_is_forgotten(cluster: Any) -> None:
    queries = Queries(cluster, clock=lambda: make.EPOCH.timestamp())
    with pytest.raises(Refused, match="there is no node 'ws1'"):
        await forget(cluster, queries, JANE, "ws1")
    await cluster.say(make.joined())
    only = "only a node that has left, is lost, or is expected and never joined can be forgotten"
    with pytest.raises(Refused, match=rf"ws1 is .*: {only}"):
        await forget(cluster, queries, JANE, "ws1")
    await cluster.say(make.left())
    await forget(cluster, queries, JANE, "ws1")
    assert cluster.types()[-1] == "forgotten"
    assert (await queries.nodes())["nodes"] == []
    await cluster.say(make.joined())
    assert [node["node"] for node in (await queries.nodes())["nodes"]] == ["ws1"]


async def test_a_node_that_joins_while_it_is_forgotten_stays(cluster: Any) -> None:
    queries = Queries(cluster, clock=lambda: make.EPOCH.timestamp())
    await cluster.say(make.joined(), make.left())
    sound = cluster.log.append

    def beaten(event: Event, guard: Guard) -> asyncio.Future[int]:
        cluster.log.append = sound
        sound(make.joined(), guard)
        return sound(event, guard)

    cluster.log.append = beaten
    with pytest.raises(Refused, match=r"ws1 is .*: only a node that has left"):
        await forget(cluster, queries, JANE, "ws1")
    assert cluster.types() == ["joined", "left", "joined"]


async def test_a_lost_node_whose_job_nobody_has_taken_is_not_forgotten(cluster: Any) -> None:
    queries = Queries(cluster, clock=lambda: make.EPOCH.timestamp())
    await cluster.say(*RUNS, make.lost())
    with pytest.raises(Refused, match="1 job of ws1 may still run there"):
        await forget(cluster, queries, JANE, "ws1")
