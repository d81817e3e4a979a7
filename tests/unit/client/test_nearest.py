"""The name that was probably meant, where one does not exist."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from client_kit import NobodyAnswers
from distribute.client.nearest import LOOKED_AT, nearest, with_nearest
from distribute.client.queries import no_such_batch, no_such_job, no_such_node
from distribute.core.errors import UnknownName, exit_code
from distribute.core.ids import BatchId, JobId

LIST = "`distribute status` lists those there are"
JOBS = "`distribute status jane/sweep` lists its jobs"
BATCHES = ["jane/sweep", "jane/mesh", "joe/cavity"]


class Answers(NobodyAnswers):
    """A scheduler that knows a few names."""

    async def ask(self, verb: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        batches = [dict(zip(("namespace", "batch"), name.split("/"), strict=True)) for name in BATCHES]
        answers: dict[str, Any] = {
            "status": {"batches": batches},
            "nodes": {"nodes": [{"node": "ws07"}, {"node": "gpu1"}]},
            "names": {"jobs": ["re100", "re200"]},
        }
        return orjson.dumps(answers[verb])


class Cluster:
    def __init__(self, queries: NobodyAnswers) -> None:
        self.queries = queries


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            no_such_batch(BatchId("jane", "swep")),
            f"there is no batch jane/swep; did you mean 'jane/sweep'? {LIST}",
        ),
        (
            no_such_batch(BatchId("jane", "cavity")),
            f"there is no batch jane/cavity; did you mean 'joe/cavity'? {LIST}",
        ),
        (
            no_such_batch("mash"),
            f"there is no batch 'mash'; did you mean 'mesh'? {LIST}",
        ),
        (
            no_such_batch("unlike"),
            f"there is no batch 'unlike'; {LIST}",
        ),
        (
            no_such_node("ws7"),
            "there is no node 'ws7'; did you mean 'ws07'? `distribute nodes` lists those there are",
        ),
        (
            no_such_job(JobId("jane", "sweep", "re10")),
            f"jane/sweep has no job 're10'; did you mean 're100'? {JOBS}",
        ),
    ],
)
async def test_an_unknown_name_gives_the_nearest(error: UnknownName, told: str) -> None:
    cluster: Any = Cluster(Answers())
    found = await with_nearest(cluster, error)
    assert str(found) == told
    assert exit_code(found) == 4


async def test_without_a_scheduler_the_error_stands_as_it_is() -> None:
    cluster: Any = Cluster(NobodyAnswers())
    error = no_such_node("ws7")
    assert await with_nearest(cluster, error) is error


def test_a_common_namespace_makes_no_names_alike() -> None:
    assert nearest("laboratory/nowhere", ["laboratory/later"]) is None
    assert nearest("laboratory/latre", ["laboratory/later"]) == "laboratory/later"
    assert nearest("labratory/latre", ["laboratory/later"]) == "laboratory/later"


def test_of_many_names_only_the_alike_are_compared() -> None:
    names = [f"re{n:06}-n48" for n in range(100_000)]
    assert nearest("re012345-n4", names) == "re012345-n48"
    assert nearest("xe054321-n48", names) == "re054321-n48"
    few = [f"a{n}" for n in range(2 * LOOKED_AT)]
    assert nearest("a12x", few) in {"a12", "a120"}
    assert nearest("a12", []) is None
