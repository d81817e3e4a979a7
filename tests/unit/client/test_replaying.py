"""The past of a log: states as they were, and what is wrong with a log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from client_kit import MemoryCluster
from distribute.client.exporting import export
from distribute.client.replaying import PastQueries, state_at
from distribute.client.submitted import read_batch
from distribute.client.verifying import REST, verify
from distribute.client.words import local_time
from distribute.core.checking import verification
from distribute.core.errors import InputError, IntegrityError, Refused
from distribute.core.folding import accounts
from distribute.core.folding.fold import apply
from distribute.core.ids import BatchId
from distribute.core.spec.git_commit import GitCommit
from distribute.core.spec.specs import InputFolder
from distribute.core.state.state import State
from distribute.memory.queries import MemoryQueries
from distribute.ports import Only
from distribute.saved.log import SavedCluster
from distribute.snapshot import VERSION, digests
from distribute.testing import builders as make
from saved_kit import STORY, chained, lines_of, memory_log, write_lines

START = make.EPOCH.timestamp()
"""Event N of the log is N seconds later."""


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    """A cluster whose log has the story, and without a scheduler."""
    cluster = MemoryCluster(tmp_path)
    cluster.log = memory_log(STORY)
    cluster.queries = MemoryQueries()
    return cluster


def folded(cluster: Any, until: int) -> State:
    state = State()
    for recorded in cluster.log.stored.between(0, until):
        apply(state, recorded)
    return state


async def test_every_state_of_the_past_is_had_again_by_its_sequence_and_its_time(cluster: Any) -> None:
    for seq in range(1, len(STORY) + 1):
        assert await state_at(cluster.log, seq=seq) == folded(cluster, seq)
        assert await state_at(cluster.log, time=START + seq) == folded(cluster, seq)
        assert await state_at(cluster.log, time=START + seq + 0.5) == folded(cluster, seq)
    assert await state_at(cluster.log) == folded(cluster, len(STORY))


async def test_a_moment_that_the_log_does_not_have_is_refused(cluster: Any) -> None:
    with pytest.raises(
        InputError,
        match=rf"before the log begins: its first event, 1, is of {local_time(START + 1)}",
    ):
        await state_at(cluster.log, time=START)
    with pytest.raises(InputError, match="there is no event 13 yet: the log ends with event 12"):
        await state_at(cluster.log, seq=13)
    with pytest.raises(InputError, match="the log has no events yet"):
        await state_at(memory_log([]), time=START)


async def test_batches_and_nodes_are_shown_as_they_were(cluster: Any) -> None:
    queries = PastQueries(cluster, await state_at(cluster.log, seq=6), START + 6)
    past = await queries.past()
    assert (past["seq"], past["time"]) == (6, "2026-01-01T00:00:06.000Z")
    assert [(node["node"], node["state"]) for node in past["nodes"]] == [("größe", "idle"), ("ws1", "busy")]
    ((batch, jobs),) = [(one["batch"], one["jobs"]) for one in past["batches"]]
    assert (batch, jobs["running"], jobs["queued"]) == ("sweep", 1, 1)
    (running,) = (await queries.batch(BatchId("lab", "sweep"), job="job1"))["job_list"]
    assert (running["state"], running["node"]) == ("running", "ws1")
    later = await PastQueries(cluster, await state_at(cluster.log), START + 12).past()
    assert [node["state"] for node in later["nodes"]] == ["left", "busy"]
    assert len(later["batches"]) == 2


async def test_a_log_that_does_not_grow_is_folded_once(cluster: Any) -> None:
    queries = PastQueries(cluster, None, START + 12)
    batches = (await queries.batches())["batches"]
    assert [batch["batch"] for batch in batches] == ["sweep", "other"]
    cluster.log = memory_log([])
    assert (await queries.past())["batches"] == batches


async def test_a_log_that_keeps_the_invariants_is_sound(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for every in (1, 3, 2000):
        monkeypatch.setattr(verification, "CHECK_EVERY", every)
        found = await verify(cluster)
        assert found["sound"]
        assert (found["events"], found["first_seq"], found["last_seq"]) == (len(STORY), 1, len(STORY))
        assert (found["broken"], found["scheduler"]) == (None, None)


@pytest.mark.parametrize("every", [1, 3, 2000])
async def test_the_first_event_that_breaks_an_invariant_is_named(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr(verification, "CHECK_EVERY", every)
    monkeypatch.setattr(accounts, "give_back", lambda *_: None)  # a bug: nodes keep what jobs gave back
    found = await verify(cluster)
    assert not found["sound"]
    broken = found["broken"]
    assert broken is not None
    assert (broken["seq"], broken["type"], broken["author"]) == (7, "finished", "ws1")
    assert broken["scope"] == "lab/sweep/job1"
    assert broken["what"].startswith("ws1: attempts")


async def test_a_false_sum_over_all_batches_is_found(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    take = accounts.take

    def take_twice(state: State, batch: Any, row: int, attempt: Any) -> None:
        take(state, batch, row, attempt)
        state.usage[batch.user].cores += 1

    monkeypatch.setattr(accounts, "take", take_twice)
    found = await verify(cluster)
    assert found["broken"] is not None
    assert "jane: holds" in found["broken"]["what"]


async def test_a_false_end_of_a_batch_is_named(cluster: Any) -> None:
    cluster.log = memory_log([*STORY, make.completed(), make.joined("ws2")])
    found = await verify(cluster)
    assert found["misfits"]["count"] == 1
    assert (found["misfits"]["first"] or "").startswith("event 13 (completed by scheduler of lab/sweep)")
    broken = found["broken"]
    assert broken is not None
    assert (broken["seq"], broken["what"]) == (13, "it says that lab/sweep is over, and it is not")


async def test_other_events_that_do_not_fit_are_told_and_break_nothing(cluster: Any) -> None:
    cluster.log = memory_log([*STORY, make.claimed(node="ws9"), make.started(node="ws9")])
    found = await verify(cluster)
    assert found["sound"]
    assert found["misfits"]["count"] == 2
    assert (found["misfits"]["first"] or "").startswith("event 13 (claimed by ws9 of lab/sweep/job1)")


def scheduler_with(state: State, **other: Any) -> Any:
    async def answer(_: bytes) -> bytes:
        return orjson.dumps({"seq": state.seq, **digests(state)._asdict(), **other})

    return answer


async def test_the_schedulers_state_is_compared_at_its_own_event(cluster: Any) -> None:
    for seq in (5, len(STORY)):
        async with cluster.queries.serving("digests", scheduler_with(folded(cluster, seq))):
            found = await verify(cluster)
        assert found["sound"]
        assert found["scheduler"] == {"seq": seq, "compared": True, "differs": []}


async def test_what_differs_in_the_schedulers_state_is_named(cluster: Any) -> None:
    state = folded(cluster, 9)
    state.batches[BatchId("lab", "sweep")].priority = 7
    async with cluster.queries.serving("digests", scheduler_with(state)):
        found = await verify(cluster)
    assert not found["sound"]
    assert (found["broken"], found["scheduler"]) == (
        None, {"seq": 9, "compared": True, "differs": ["lab/sweep"]},
    )  # fmt: skip
    state = folded(cluster, 9)
    state.nodes["ws1"].cpus = 99
    async with cluster.queries.serving("digests", scheduler_with(state)):
        found = await verify(cluster)
    assert found["scheduler"] is not None
    assert found["scheduler"]["differs"] == [REST]


async def test_states_of_another_version_are_not_compared(cluster: Any) -> None:
    other = scheduler_with(folded(cluster, 9), version=VERSION + 1, core="")
    async with cluster.queries.serving("digests", other):
        found = await verify(cluster)
    assert found["sound"]
    assert found["scheduler"] == {"seq": 9, "compared": False, "differs": []}


async def test_a_saved_log_is_verified_line_by_line(cluster: Any, tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    await export(cluster, path, name="nats://head:4222")
    saved = SavedCluster(path)
    found = await verify(saved)
    assert found["sound"]
    assert found["saved"]
    assert found["events"] == len(STORY)
    lines = lines_of(path)
    forged = chained(lines[:5])[4]
    write_lines(path, [*lines[:5], forged.replace(b'"attempt":1', b'"attempt":2'), *lines[6:]])
    with pytest.raises(IntegrityError, match="was altered or cut short in line 6, behind event 4"):
        await verify(saved)


async def test_one_batch_is_exported_with_the_events_of_nodes(cluster: Any, tmp_path: Path) -> None:
    path = tmp_path / "sweep.gz"
    sweep = BatchId("lab", "sweep")
    last = await export(cluster, path, name="nats://head:4222", batch=sweep)
    saved = SavedCluster(path)
    assert last.events == len(STORY) - 1
    assert saved.file.header.batch == ["lab", "sweep"]
    assert (await verify(saved))["sound"]
    await export(saved, tmp_path / "again.gz", name="nats://head:4222")
    assert SavedCluster(tmp_path / "again.gz").file.header.batch == ["lab", "sweep"]
    others = Only(batch=BatchId("lab", "other"))
    assert [one async for one in saved.log.follow(after=0, only=others, until=12)] == []
    with pytest.raises(Refused, match="there is no batch lab/none"):
        await export(cluster, tmp_path / "none.gz", name="", batch=BatchId("lab", "none"))
    assert not (tmp_path / "none.gz").exists()


async def test_a_batch_is_shown_with_what_the_submission_told_that_counted_then(cluster: Any) -> None:
    commit = GitCommit(commit="1a" * 20, ref="main")
    folder = InputFolder(
        alias="code", sha256="0" * 64, listing_bytes=1, content="0" * 64, entries=1, size_bytes=1, git=commit
    )
    before = make.batch([make.job("job1", parameters={"re": 100})], folders=(folder,))
    after = make.batch([make.job("job1", parameters={"re": 400})])
    cluster.log = memory_log(
        [
            *(make.submitted(before), make.kill_requested(), make.completed(state="killed"), make.deleted()),
            make.submitted(after),
        ]
    )

    async def shown(seq: int) -> tuple[Any, list[str]]:
        queries = PastQueries(cluster, await state_at(cluster.log, seq=seq), START + seq)
        document = await read_batch(cluster, queries, before.id)
        return document["job_list"][0]["parameters"], [one["commit"] for one in document["git"]]

    assert await shown(1) == ({"re": 100}, ["1a" * 20])
    assert await shown(3) == ({"re": 100}, ["1a" * 20])
    assert await shown(5) == ({"re": 400}, [])
    with pytest.raises(Refused, match="there is no batch lab/sweep"):
        await shown(4)
