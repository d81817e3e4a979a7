"""Bringing a batch into the archive that ran elsewhere: once, whatever interrupts it, and under its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client.build_logs import read_builds
from distribute.client.collect.archive import Collection, collect
from distribute.client.collect.run import Built, Ended, Left, Run
from distribute.client.person import Person
from distribute.codec import encode
from distribute.core.errors import LogReplaced, Refused, StorageFull
from distribute.core.files.manifest import StoredObject
from distribute.core.folding.fold import apply
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard
from distribute.core.state.state import BatchState, State, Status
from distribute.memory.log import MemoryLog
from distribute.memory.store import FileStore
from distribute.stored_events import StoredEvents
from distribute.testing import builders as make

JANE = Person("jane", make.new_id, lambda: make.EPOCH)
BOB = Person("bob", make.new_id, lambda: make.EPOCH)
SWEEP = BatchId("lab", "sweep")
OVER = datetime(2025, 12, 24, tzinfo=UTC)


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryCluster(tmp_path / "store", request.param)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Job 1 succeeded, job 2 failed, job 3 was killed before it began."""
    ends = [Ended("succeeded", "nid001", OVER, exit_code=0), Ended("failed", "nid002", OVER, exit_code=3)]
    ended = []
    for number, end in enumerate(ends, start=1):
        folder = tmp_path / f"job{number}"
        folder.mkdir()
        (folder / "stdout.txt").write_text(f"step {number}\nno room\n")
        (folder / "u.dat").write_text(f"{number}")
        ended.append(replace(end, left=Left(folder)))
    ended.append(Ended("killed", "slurm", OVER, reason="cancelled"))
    return Run(make.batch(3), make.RAN_AT, ended, {})


async def fold(cluster: MemoryCluster) -> State:
    state = State()
    for recorded in cluster.log.stored.between(0, cluster.log.stored.last_seq):
        apply(state, recorded)
    return state


async def batch_of(cluster: MemoryCluster) -> BatchState:
    state = await fold(cluster)
    assert state.misfits == 0, state.last_misfit
    return state.batches[SWEEP]


async def collected(cluster: MemoryCluster) -> list[ev.Collected]:
    stored = cluster.log.stored
    events = [recorded.event for recorded in stored.between(0, stored.last_seq)]
    return [event for event in events if isinstance(event, ev.Collected)]


async def test_every_job_is_collected_with_what_it_left(cluster: Any, run: Run) -> None:
    told: list[tuple[int, int]] = []
    found = await collect(cluster, JANE, run, on_job=lambda done, total: told.append((done, total)))
    assert found == Collection(succeeded=1, failed=1, killed=1, new=3)
    assert (told[0], told[-1]) == ((0, 3), (3, 3))
    batch = await batch_of(cluster)
    assert [Status(one).name for one in batch.status] == ["SUCCEEDED", "FAILED", "KILLED"]
    assert batch.ran_at == "slurm"
    by_job = {event.job: event for event in await collected(cluster)}
    assert (by_job["job1"].last_lines, by_job["job2"].last_lines) == (None, ("step 2", "no room"))
    outputs = by_job["job2"].outputs
    assert outputs is not None
    assert outputs.inline is not None
    assert sorted(entry.path for entry in outputs.inline.entries) == ["stdout.txt", "u.dat"]
    assert [stored.name for stored in outputs.inline.objects] == ["lab/sweep/job2/1/0"]
    assert by_job["job3"].outputs is None


async def test_a_build_is_collected_once_with_what_it_printed(cluster: Any, run: Run, tmp_path: Path) -> None:
    printed = tmp_path / "build"
    printed.write_text("cc\nerror: no main\n")
    run = replace(run, built=Built("nid001", False, "exit code 2", 60.0, printed))
    await collect(cluster, JANE, run)
    batch = await batch_of(cluster)
    assert batch.build_failed == {"nid001": "exit code 2"}
    assert batch.build_lines == {"nid001": ["cc", "error: no main"]}
    builds = await read_builds(cluster, SWEEP)
    assert (builds.has_build, builds.running) == (True, {})
    (outputs,) = [build.outputs for build in builds.ended.values()]
    assert outputs is not None
    assert outputs.inline is not None
    assert [entry.path for entry in outputs.inline.entries] == ["sweep_build_output-nid001.txt"]
    assert [stored.name for stored in outputs.inline.objects] == ["lab/sweep//nid001/0"]
    last = cluster.log.stored.last_seq
    await collect(cluster, JANE, run)
    assert cluster.log.stored.last_seq == last


async def test_collecting_again_adds_nothing(cluster: Any, run: Run) -> None:
    await collect(cluster, JANE, run)
    last = cluster.log.stored.last_seq
    assert await collect(cluster, JANE, run) == Collection(succeeded=1, failed=1, killed=1, new=0)
    assert cluster.log.stored.last_seq == last


async def test_an_interrupted_collection_goes_on_where_it_was(cluster: Any, run: Run, tmp_path: Path) -> None:
    class Full(FileStore):
        async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
            if name.startswith("lab/sweep/job2/"):
                raise StorageFull("the cluster has no room")
            return await super().put_result(name, node, source)

    cluster.store = Full(tmp_path / "store")
    with pytest.raises(StorageFull):
        await collect(cluster, JANE, run)
    cluster.store = FileStore(tmp_path / "store")
    before = {event.job for event in await collected(cluster)}
    assert "job2" not in before
    found = await collect(cluster, JANE, run)
    assert found == Collection(succeeded=1, failed=1, killed=1, new=3 - len(before))
    assert sorted(event.job for event in await collected(cluster)) == ["job1", "job2", "job3"]
    await batch_of(cluster)


async def test_a_name_that_is_taken_is_refused(cluster: Any, run: Run) -> None:
    """By a batch that runs here, and by another run of the same batch."""
    other = ev.RanAt(system="slurm", folder="1" * 64)
    for taken in (make.submitted(run.spec), make.submitted(run.spec, ran_at=other)):
        await cluster.say(taken)
        with pytest.raises(
            Refused, match="there is already a batch lab/sweep, of jane, and it is not the run"
        ):
            await collect(cluster, JANE, run)
        await cluster.say(make.kill_requested(), make.completed(state="killed"), make.deleted())


async def test_only_the_person_who_began_it_goes_on(cluster: Any, run: Run) -> None:
    await collect(cluster, JANE, run)
    with pytest.raises(Refused, match="jane is already collecting this run of lab/sweep"):
        await collect(cluster, BOB, run)


async def test_a_batch_that_is_replaced_is_deleted_first(cluster: Any, run: Run) -> None:
    await cluster.say(make.submitted(run.spec), make.kill_requested(), make.completed(state="killed"))
    found = await collect(cluster, JANE, run, replace=True)
    assert found.new == 3
    assert cluster.types()[:5] == ["submitted", "kill_requested", "completed", "deleted", "submitted"]
    assert (await batch_of(cluster)).ran_at == "slurm"


async def test_another_persons_batch_is_replaced_by_force_alone(cluster: Any, run: Run) -> None:
    await cluster.say(make.submitted(run.spec, "bob"), make.kill_requested(by="bob"))
    await cluster.say(make.completed(state="killed"))
    with pytest.raises(Refused):
        await collect(cluster, JANE, run, replace=True)
    assert (await collect(cluster, JANE, run, replace=True, force=True)).new == 3


async def test_a_name_may_have_had_a_batch_with_the_same_jobs(cluster: Any, run: Run) -> None:
    """The guards of jobs pass over the events of the deleted batch."""
    await cluster.say(make.joined("ws1"), make.submitted(run.spec), make.assigned(), make.claimed())
    await cluster.say(make.finished(outputs=None), make.kill_requested(), make.completed(state="killed"))
    await cluster.say(make.deleted())
    assert (await collect(cluster, JANE, run)).new == 3
    await batch_of(cluster)


async def test_what_somebody_forged_about_a_job_does_not_stop_it(cluster: Any, run: Run) -> None:
    """A job of the batch that a stranger said to have ended is collected as it ended."""
    submitted = make.submitted(run.spec, ran_at=run.ran_at)
    await cluster.say(submitted, make.collected(by="mallory", submission=submitted.id, state="failed"))
    assert (await collect(cluster, JANE, run)).succeeded == 1
    state = await fold(cluster)
    assert state.misfits == 1
    assert state.batches[SWEEP].counts[Status.SUCCEEDED] == 1


async def test_jobs_that_a_person_killed_stay_killed(cluster: Any, run: Run) -> None:
    await cluster.say(make.submitted(run.spec, ran_at=run.ran_at), make.kill_requested(job="job1"))
    assert await collect(cluster, JANE, run) == Collection(succeeded=0, failed=1, killed=2, new=2)


async def test_a_batch_of_many_jobs_is_collected(cluster: Any, run: Run) -> None:
    many = Run(make.batch(1500), run.ran_at, 1500 * [Ended("succeeded", "nid001", OVER, exit_code=0)], {})
    assert (await collect(cluster, JANE, many)).succeeded == 1500


class ReplacedUnderway(MemoryLog):
    """A log that loses all but its first event under the first `collected`, until `begin_anew`."""

    lost = 0
    is_replaced = False

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        if event.type == "collected" and not self.lost:
            kept = self.stored.between(0, 1)
            self.lost, self.stored, self.is_replaced = self.stored.last_seq - 1, StoredEvents(), True
            for recorded in kept:
                self.stored.store(encode(recorded.event), recorded.time)
        if not self.is_replaced:
            return super().append(event, guard)
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.set_exception(LogReplaced("the log was restored from an older copy"))
        return answer

    def begin_anew(self) -> None:
        self.is_replaced = False


async def test_a_log_that_is_replaced_meanwhile_gets_the_whole_batch(tmp_path: Path, run: Run) -> None:
    """As after a restore from a copy that lacks the batch."""
    cluster: Any = MemoryCluster(tmp_path / "store")
    cluster.log = ReplacedUnderway()
    await cluster.say(make.joined("ws1"))
    found = await collect(cluster, JANE, run)
    assert cluster.log.lost == 1
    assert found == Collection(succeeded=1, failed=1, killed=1, new=3)
    await batch_of(cluster)
