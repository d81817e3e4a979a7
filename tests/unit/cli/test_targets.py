"""What a BATCH or JOB on the command line means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distribute.client import targets
from distribute.client.targets import find_batch, find_target, job_of
from distribute.core.errors import InputError, Refused
from distribute.core.ids import BatchId, JobId


class Batches:
    """A cluster with these batches."""

    def __init__(self, *names: str) -> None:
        self._names = names

    async def batches(self, user: str | None = None, last: int | None = None) -> dict[str, Any]:
        """Each batch is of the user whose name its namespace has."""
        pairs = [name.split("/") for name in self._names]
        found = [pair for pair in pairs if user in {None, pair[0]}][-(last or 0) :]
        return {"batches": [{"namespace": namespace, "batch": batch} for namespace, batch in found]}

    async def has(self, batch: BatchId) -> bool:
        return str(batch) in self._names


NONE: Any = Batches()
SOME: Any = Batches("jane/sweep", "joe/sweep", "joe/mesh")


async def test_a_name_means_itself() -> None:
    assert await find_target(NONE, "jane/sweep") == BatchId("jane", "sweep")
    assert await find_target(NONE, "jane/sweep/re100") == JobId("jane", "sweep", "re100")
    assert await find_target(NONE, "jäne/a b*c") == BatchId("jäne", "a b*c")


async def test_a_batch_and_a_job_will_do_where_one_namespace_has_them() -> None:
    assert await find_target(SOME, "mesh/re100") == JobId("joe", "mesh", "re100")
    both: Any = Batches("mesh/re100", "joe/mesh")
    assert await find_target(both, "mesh/re100") == BatchId("mesh", "re100")
    assert await find_target(SOME, "gone/re100") == BatchId("gone", "re100")
    with pytest.raises(Refused) as caught:
        await find_target(SOME, "sweep/re100")
    assert str(caught.value) == (
        "2 batches are called 'sweep': name one of jane/sweep/re100, joe/sweep/re100"
    )


def test_a_job_of_a_batch_may_be_named_with_its_batch() -> None:
    batch = BatchId("jane", "sweep")
    for text in ("re100", "sweep/re100", "jane/sweep/re100", "last/re100"):
        assert job_of(batch, text) == "re100"


@pytest.mark.parametrize("text", ["mesh/re100", "joe/sweep/re100", "a/jane/sweep/re100", "/re100"])
def test_a_job_of_another_batch_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        job_of(BatchId("jane", "sweep"), text)
    assert str(caught.value) == (
        f"{text} is no job of jane/sweep: name jobs of one batch, as JOB or as sweep/JOB"
    )


def test_what_can_name_no_job_is_refused() -> None:
    with pytest.raises(InputError, match="a name can't be empty; write JOB or BATCH/JOB"):
        job_of(BatchId("jane", "sweep"), "sweep/")


async def test_a_file_means_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "---\nmeta:\n  namespace: jane\n  batch_name: 0100\nand: the rest need not be right\n"
    (tmp_path / "distribute-jobs.yaml").write_text(text)
    (tmp_path / "jobs").write_text(text)
    monkeypatch.chdir(tmp_path)
    for written in ("distribute-jobs.yaml", "./jobs", str(tmp_path / "jobs"), "jobs"):
        assert await find_target(NONE, written) == BatchId("jane", "0100")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("meta: {namespace: jane}", "1:7: meta needs the key 'batch_name'; write batch_name: sweep3"),
        ("[1, 2]", "1:1: the top level takes keys with values, not a list"),
        ("", "1:1: the top level needs the key 'meta'"),
        (
            "meta: {namespace: [], batch_name: x}",
            "1:19: namespace takes a text, not a list; write namespace: jane",
        ),
    ],
)
async def test_a_file_without_the_name_of_a_batch_is_reported(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        await find_target(NONE, str(path))
    assert str(caught.value) == f"{path}:{told}"


async def test_a_missing_file_is_reported() -> None:
    with pytest.raises(InputError, match=r"none\.yaml: there is no such file"):
        await find_target(NONE, "none.yaml")


async def test_a_batch_may_have_the_name_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: Any = Batches("jane/sweep.yaml", "~/b")
    monkeypatch.chdir(tmp_path)
    assert await find_target(reads, "jane/sweep.yaml") == BatchId("jane", "sweep.yaml")
    assert await find_target(reads, "jane/sweep.yaml/job.yml") == JobId("jane", "sweep.yaml", "job.yml")
    assert await find_target(reads, "~/b") == BatchId("~", "b")
    with pytest.raises(InputError, match=r"joe/sweep\.yaml: there is no such file"):
        await find_target(reads, "joe/sweep.yaml")
    (tmp_path / "jane").mkdir()
    (tmp_path / "jane" / "sweep.yaml").write_text("meta: {namespace: joe, batch_name: mesh}")
    assert await find_target(reads, "jane/sweep.yaml") == BatchId("joe", "mesh")


async def test_a_bare_name_is_enough_if_it_is_unique() -> None:
    assert await find_batch(SOME, "mesh") == BatchId("joe", "mesh")
    with pytest.raises(Refused, match="2 batches are called 'sweep': name one of jane/sweep, joe/sweep"):
        await find_batch(SOME, "sweep")
    with pytest.raises(Refused, match="there is no batch 'gone'; `distribute status` lists those there are"):
        await find_batch(SOME, "gone")


@pytest.mark.parametrize("text", ["", "a//b", "a/..", "a/b/c/d", "a/" + "x" * 256, "a/b\0"])
async def test_an_impossible_name_is_wrong_input(text: str) -> None:
    with pytest.raises(InputError):
        await find_target(NONE, text)


async def test_a_job_is_not_taken_for_a_batch() -> None:
    with pytest.raises(
        InputError, match="'jane/sweep/x' names a job; a batch is NAMESPACE/BATCH: jane/sweep"
    ):
        await find_batch(NONE, "jane/sweep/x")


async def test_last_is_the_batch_that_this_person_submitted_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: Any = Batches("jane/sweep", "joe/sweep", "jane/mesh", "joe/last")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "last").write_text("a file is meant by its path: ./last")
    monkeypatch.setattr(targets, "user_name", lambda: "jane")
    assert await find_batch(batches, "last") == BatchId("jane", "mesh")
    assert await find_target(batches, "last/re100") == JobId("jane", "mesh", "re100")
    assert await find_target(batches, "joe/last") == BatchId("joe", "last")
    monkeypatch.setattr(targets, "user_name", lambda: "tom")
    with pytest.raises(Refused, match="you have submitted no batch yet"):
        await find_batch(batches, "last")


async def test_a_namespace_may_be_called_last() -> None:
    batches: Any = Batches("last/sweep", "jane/mesh")
    assert await find_target(batches, "last/sweep") == BatchId("last", "sweep")


async def test_of_many_batches_of_a_name_some_are_named() -> None:
    with pytest.raises(Refused, match=r"7 batches are called 'b': name one of n0/b, .*, n4/b, and 2 more"):
        await find_batch(Batches(*(f"n{n}/b" for n in range(7))), "b")  # type: ignore[arg-type]
