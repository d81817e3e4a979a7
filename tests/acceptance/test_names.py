"""Any name that a folder can have works everywhere, without touching others. All other names are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from acceptance.lab import Lab, command_batch, job_folders, open_lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ["*", ">", "two\nlines", ".hidden", "Grüße, 流体", "x" * 255, "-f", "%2A", "a", "a.b", "a*", "a.yaml"]
NODES = ["*", "Rechner\n>"]
DELETED = ["*", ">", "a"]
NEIGHBOURS = ["two\nlines", "-f", "a.yaml", "%2A", "a.b", "a*"]
"""Batches that must stay when those are deleted."""


def batch_of(name: str) -> str:
    return f"{name}/{name}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """A lab that has run a batch of each name, in a namespace of that name, with a job of each name."""
    folder = tmp_path_factory.mktemp("names") / "lab"
    async with open_lab(folder, {node: ["--cpus", "4"] for node in NODES}) as lab:
        at_once = asyncio.Semaphore(3)
        job = (
            'printf "%s" "$DISTRIBUTE_NAMESPACE|$DISTRIBUTE_BATCH|$DISTRIBUTE_JOB" >'
            ' distribute_save/"$DISTRIBUTE_JOB"; printf "told by %s" "$DISTRIBUTE_BATCH"'
        )

        async def submit(name: str) -> None:
            async with at_once:
                await lab.add(command_batch(batch_of(name), dict.fromkeys(NAMES, job)))

        await asyncio.gather(*map(submit, NAMES))
        for name in NAMES:
            await lab.over(batch_of(name))
        yield lab


def assert_whole(folder: Path, name: str) -> None:
    """Check that the folder has the results of the batch `name`, and nothing else."""
    assert {path.name for path in job_folders(folder)} == set(NAMES)
    for job in NAMES:
        assert {path.name for path in (folder / job).iterdir()} == {job, "stdout.txt"}
        assert (folder / job / job).read_text() == f"{name}|{name}|{job}"
        assert (folder / job / "stdout.txt").read_text() == f"told by {name}"


async def test_batches_of_any_name_are_listed(lab: Lab) -> None:
    batches = (await lab.distribute("status", "--json")).document["batches"]
    assert {(batch["namespace"], batch["batch"]) for batch in batches} == {(name, name) for name in NAMES}
    assert all(batch["jobs"]["succeeded"] == len(NAMES) for batch in batches)
    nodes = (await lab.distribute("nodes", "--json")).document["nodes"]
    assert {node["node"] for node in nodes} == set(NODES)


async def test_a_table_has_one_line_for_each_batch_of_any_name(lab: Lab) -> None:
    lines = (await lab.distribute("status")).out.rstrip().splitlines()
    assert len([line for line in lines if " completed " in line]) == len(NAMES)
    assert any("two\\nlines/two\\nlines" in line for line in lines)


@pytest.mark.parametrize("name", ["*", "two\nlines", "a.b"])
async def test_logs_of_a_job_of_any_name_are_shown(lab: Lab, name: str) -> None:
    assert (await lab.distribute("logs", "--", f"{batch_of(name)}/{name}")).out == f"told by {name}"


async def test_deleting_a_batch_removes_no_other(lab: Lab) -> None:
    for name in DELETED:
        await lab.distribute("delete", "--yes", "--", batch_of(name))
    await lab.results_removed(*map(batch_of, DELETED))
    refused = await lab.distribute("pull", "--", batch_of(DELETED[0]), code=4)
    assert "there is no batch */*" in refused.err
    for name in NEIGHBOURS:
        folder, _ = await lab.pull(batch_of(name))
        assert_whole(folder, name)


async def test_names_that_no_folder_can_have_are_refused(lab: Lab) -> None:
    batch = command_batch("a|b/..", {"y" * 300: "true", "/": "true", "": "true", ".": "true"})
    batch["meta"]["namespace"] = "a/b"
    refused = await lab.add(batch, code=2)
    told = refused.err.splitlines()
    assert len(told) == 6
    for wanted in ("'a/b'", "'..'", "300 bytes", "'/'", "empty", "'.'"):
        assert [line for line in told if wanted in line], wanted


@pytest.mark.parametrize("name", ["a/b", "..", "y" * 300, "scheduler"])
async def test_an_impossible_name_of_a_node_is_refused(lab: Lab, name: str) -> None:
    refused = await lab.distribute("client", str(lab.folder / "never"), "--name", name, code=2)
    assert name[:10] in refused.err
    assert not (lab.folder / "never").exists()
