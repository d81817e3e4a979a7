"""Queries go to the scheduler. If it doesn't answer, the client folds the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from client_kit import MemoryCluster, NobodyAnswers
from distribute.client.queries import Queries
from distribute.core.errors import Refused
from distribute.core.ids import BatchId, JobId
from distribute.testing import builders as make

SPEC = make.batch(2)


class Answers(NobodyAnswers):
    """A scheduler that gives one answer to every query, and records the queries."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any]] = []

    async def ask(self, verb: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        self.asked.append((verb, json.loads(payload)))
        return json.dumps(self.answer).encode()


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    return MemoryCluster(tmp_path)


async def test_the_scheduler_is_asked(cluster: Any) -> None:
    cluster.queries = Answers({"batches": [], "nodes": [], "job_list": []})
    silences: list[None] = []
    queries = Queries(cluster, lambda: silences.append(None))
    assert (await queries.batches())["batches"] == []
    await queries.batch(SPEC.id, states=["failed"], most=1)
    which = {"namespace": "lab", "batch": "sweep", "states": ["failed"], "most": 1}
    assert cluster.queries.asked == [("status", {}), ("batch", which)]
    assert silences == []


async def test_if_the_scheduler_does_not_answer_the_log_is_folded_with_a_warning(cluster: Any) -> None:
    silences: list[None] = []
    queries = Queries(cluster, lambda: silences.append(None), clock=lambda: make.EPOCH.timestamp())
    await cluster.say(make.joined(), make.submitted(SPEC), make.assigned(), make.claimed(), make.started())
    (batch,) = (await queries.batches())["batches"]
    assert (batch["batch"], batch["state"], batch["jobs"]["running"]) == ("sweep", "running", 1)
    jobs = (await queries.batch(SPEC.id))["job_list"]
    assert [(job["job"], job["state"], job["node"]) for job in jobs] == [
        ("job1", "running", "ws1"),
        ("job2", "queued", None),
    ]
    assert (await queries.job(JobId(*SPEC.id, "job2")))["state"] == "queued"
    assert (await queries.node("ws1"))["running"] == 1
    assert len(silences) == 4


async def test_unknown_names_are_refused(cluster: Any) -> None:
    queries = Queries(cluster, clock=lambda: make.EPOCH.timestamp())
    await cluster.say(make.submitted(SPEC))
    with pytest.raises(
        Refused, match="there is no batch lab/none; `distribute status` lists those there are"
    ):
        await queries.batch(BatchId("lab", "none"))
    with pytest.raises(Refused, match="lab/sweep has no job 'job9'; `distribute status lab/sweep` lists its"):
        await queries.job(JobId(*SPEC.id, "job9"))
    with pytest.raises(Refused, match="there is no node 'ws9'; `distribute nodes` lists those there are"):
        await queries.node("ws9")
    cluster.queries = Answers({"error": "there is no ('lab', 'none')"})
    with pytest.raises(Refused, match="there is no batch lab/none"):
        await queries.batch(BatchId("lab", "none"))


async def test_a_scheduler_of_an_older_version_that_does_not_understand_is_named(cluster: Any) -> None:
    cluster.queries = Answers({"error": "not a question: unexpected argument 'most'"})
    with pytest.raises(Refused, match=r"the scheduler does not understand 'batch' \(.*\): upgrade it"):
        await Queries(cluster).batch(SPEC.id, most=1)
