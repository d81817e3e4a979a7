"""What happened is told, from a real history with several people and much trouble."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acceptance.lab import PATIENCE_S, Lab, batch_id, command_batch
from acceptance.told import assert_in_order, events_told, told
from acceptance.troubled import (
    BATCH,
    NODE,
    open_troubled_lab,
    run_troubled_batch,
    submit_again,
)
from distribute.core.ids import JobId
from distribute.core.log.recorded import Guard, guard_scope
from distribute.testing import builders as make

NO_EVENT = 999_999


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_troubled_lab(tmp_path / "lab") as lab:
        yield lab


async def test_a_troubled_batch_is_told_with_all_that_befell_it(lab: Lab) -> None:
    await run_troubled_batch(lab)
    await submit_again(lab)
    forged = make.started(JobId(*batch_id(BATCH), "again"), NODE)
    last = await lab.cluster.log.last(guard_scope(forged))
    assert last is not None
    await lab.cluster.log.append(forged, Guard(last.seq))

    lines = await told(lab, "lab/cavity")
    assert_in_order(
        lines,
        "jane submitted lab/cavity: 7 jobs",
        f"7 jobs were assigned to {NODE}",
        f"re3200 failed on {NODE} after ",
        f"node {NODE} is paused until ",
        f"node {NODE} lends again",
        f"node {NODE} is lost: silent for ",
        f"node {NODE} is back after ",
        "bob kills re6400",
        f"re6400 is to be ended by {NODE}: killed by bob",
        f"re6400 was killed on {NODE} after ",
        "lab/cavity is over: 5 succeeded, 1 failed, 1 killed",
        "jane deleted lab/cavity",
        "--- another batch of this name ---",
        "jane submitted lab/cavity: 1 job",
        f"again succeeded on {NODE}",
        "lab/cavity is archived",
        f"again started on {NODE} (refused, so it does not count: the job is succeeded)",
    )
    assert "re6400" not in [line.split()[0] for line in await told(lab, "lab/cavity/again")]
    every = await events_told(lab, "lab/cavity")
    assert len(await told(lab, "--all", "lab/cavity")) == len(every) + 1
    assert [one["seq"] for one in every] == sorted(one["seq"] for one in every)
    assert [one["seq"] for one in every if one["misfit"] is not None] == [every[-1]["seq"]]
    assert {one["author"] for one in every} >= {"jane", "bob", "scheduler", "archiver", NODE}
    assert (await told(lab, "--last", "3", "lab/cavity")) == lines[-3:]

    of_killed = await told(lab, "lab/cavity/re6400")
    assert_in_order(
        of_killed, f"re6400 was assigned to {NODE}", f"node {NODE} is paused", f"node {NODE} is lost"
    )
    assert not [line for line in of_killed if "re3200" in line or "re100" in line]
    assert all(one["misfit"] is None for one in await events_told(lab, "lab/cavity/re6400"))


async def test_what_is_wrong_is_said_with_what_to_write(lab: Lab) -> None:
    await lab.add(command_batch("lab/known", {"only": "true"}))
    await lab.over("lab/known")
    for code, words, *arguments in (
        (4, "there is no batch lab/knwon; did you mean 'lab/known'?", "history", "lab/knwon"),
        (4, "there is no batch 'knwon'; did you mean 'known'?", "history", "knwon"),
        (4, "one that was deleted is found by its whole name", "history", "knwon"),
        (4, "lab/known has no job 'onyl'; did you mean 'only'?", "history", "lab/known/onyl"),
        (4, f"there is no node '{NODE}0'; did you mean '{NODE}'?", "history", "--node", f"{NODE}0"),
        (2, "name a batch or a job, or else a node with --node", "history"),
        (2, "name a batch or a job, or else a node with --node", "history", "lab/known", "--node", NODE),
        (2, "--since: 'yesterday' is not a time; write ", "events", "--since", "yesterday"),
        (2, f", before {NO_EVENT}: was it restored", "events", "--since", str(NO_EVENT)),
        (2, "no event is of the type 'finish'; did you mean 'finished'?", "events", "--type", "finish"),
    ):
        said = await lab.distribute(*arguments, code=code)
        assert words in said.err
        assert said.out == ""


async def stored(lab: Lab) -> list[int]:
    """The sequences of all events in the log."""
    until = await lab.cluster.log.last_seq()
    return [one.seq async for some in lab.cluster.log.follow(after=0, until=until) for one in some]


async def test_a_stream_has_each_event_once_through_a_restart_of_the_broker(lab: Lab) -> None:
    await lab.add(command_batch("lab/before", {"a": "true"}))
    await lab.over("lab/before")
    following = await lab.start("events", "-f", "--json")
    await following.until('"batch_archived"')
    await lab.processes.broker.stop(kill=True)
    await lab.processes.broker.start()
    await lab.add(command_batch("lab/after", {"a": "true"}))
    await lab.over("lab/after")
    await following.until(f'"seq":{max(await stored(lab))},')
    await following.until("\n")
    following.interrupt()
    lines = (await following.end()).splitlines()
    assert following.code == 128 + signal.SIGINT
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert [one["seq"] for one in events] == (await stored(lab))[: len(events)]
    assert all(line.startswith(("{", "distribute: ")) and "Traceback" not in line for line in lines)
    assert [one["batch"] for one in events if one["type"] == "completed"] == ["before", "after"]

    seq = events[4]["seq"]
    resumed = await lab.distribute("events", "--json", "--since", str(seq))
    assert json.loads(resumed.out.splitlines()[0]) == events[5]
    since = await lab.distribute("events", "--json", "--since", events[4]["time"], "--type", "completed")
    assert [json.loads(line)["batch"] for line in since.out.splitlines()] == ["before", "after"]
    assert "is yet to come" in (await lab.distribute("events", "--since", "2199-01-01", code=2)).err


async def test_a_reader_that_ends_early_ends_the_stream(lab: Lab) -> None:
    piped = 'set -o pipefail; python3 -m distribute_cli events -f --json | head -n 1; echo "${PIPESTATUS[0]}"'

    def run() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DISTRIBUTE_SERVER": lab.processes.server, "HOME": str(lab.folder)}
        return subprocess.run(
            ["bash", "-c", piped.replace("python3", os.sys.executable)],  # type: ignore[attr-defined]
            env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
        )  # fmt: skip

    running = asyncio.create_task(asyncio.to_thread(run))
    # Each event that comes may be the one at which the stream notices that nobody reads it any more.
    number = 0
    while not running.done():
        number += 1
        await lab.add(command_batch(f"lab/batch{number}", {"a": "true"}))
    said = await running
    first, code = said.stdout.splitlines()
    assert (json.loads(first)["seq"], code, said.stderr) == (1, str(128 + signal.SIGPIPE), "")
