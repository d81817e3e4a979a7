"""Events that somebody forges in the scheduler's name, and the fold refuses, do not deceive the verbs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from acceptance.lab import Lab, batch_id, command_batch, open_lab
from distribute.core.files.manifest import Manifest, Outputs, StoredFile
from distribute.core.ids import JobId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Guard, guard_scope
from distribute.nats.client.jetstream import call
from distribute.runtime import new_id

BATCH = "lab/forged"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(tmp_path / "lab", {"one": []}) as lab:
        yield lab


def by(author: str) -> dict[str, Any]:
    return {"id": new_id(), "time": datetime.now(UTC), "author": author}


async def forge(lab: Lab, *events: ev.Event) -> None:
    """Publish events under guards that hold, so that nothing but the fold can refuse them."""
    for event in events:
        last = await lab.cluster.log.last(guard_scope(event))
        await lab.cluster.log.append(event, Guard(last.seq if last is not None else 0))


async def test_a_forged_end_and_forged_results_are_ignored(lab: Lab) -> None:
    await lab.add(command_batch(BATCH, {"job": "sleep 1000"}))
    await lab.event("started", batch=BATCH)
    names = batch_id(BATCH)._asdict()
    job = {**names, "job": "job", "attempt": 1, "node": "other"}
    empty = StoredFile(path="told", size_bytes=0, sha256="0" * 64)
    await forge(
        lab,
        ev.Finished(**by("other"), **job, succeeded=True, outputs=Outputs(inline=Manifest(entries=(empty,)))),
        ev.JobArchived(**by(ev.ARCHIVER), **job),
        ev.Completed(**by(ev.SCHEDULER), **names, state="completed"),
        ev.BatchArchived(**by(ev.SCHEDULER), **names),
    )
    waiting = asyncio.create_task(lab.distribute("wait", BATCH, code=1))
    _, pulled = await lab.pull(BATCH)
    assert "lab/forged is not over: the results of 0 of 1 job are archived so far (1 running)" in pulled.err
    assert (await lab.distribute("logs", f"{BATCH}/job")).out == ""
    assert (await lab.jobs(BATCH))["job"]["state"] == "running"
    assert not waiting.done()

    await lab.distribute("kill", BATCH)
    assert (await waiting).out == "lab/forged killed by jane: 1 of 1 job killed\n"
    folder, _ = await lab.pull(BATCH)
    assert not (folder / "job" / "told").exists()


async def test_a_running_batch_with_a_forged_end_can_not_be_deleted(lab: Lab) -> None:
    await lab.add(command_batch(BATCH, {"job": "sleep 1000"}))
    await lab.event("started", batch=BATCH)
    names = batch_id(BATCH)._asdict()
    await forge(
        lab,
        ev.Completed(**by(ev.SCHEDULER), **names, state="failed"),
        ev.Deleted(**by("mallory"), **names),
    )
    refused = await lab.add(command_batch(BATCH, {"job": "true"}), code=4)
    assert f"there is a batch {BATCH} already" in refused.err
    await lab.distribute("delete", BATCH, "--yes")
    kinds = [event.type for event in await lab.events("kill_requested", "released", "deleted", batch=BATCH)]
    assert kinds == ["deleted", "kill_requested", "released", "deleted"]
    assert lab.job_processes("one") == []
    last = await lab.cluster.log.last(JobId(*batch_id(BATCH), "job"))
    assert last is not None
    assert last.event.type == "released"
    await lab.add(command_batch(BATCH, {"job": "true"}), "--wait")


async def test_readers_say_what_is_wrong_with_an_archive_that_is_gone_and_read_all_else(lab: Lab) -> None:
    other = "lab/other"
    for batch in (BATCH, other):
        await lab.add(command_batch(batch, {"job": "echo 7 > distribute_save/answer"}), "--wait")
    await lab.distribute("admin", "compact", BATCH, "--older-than", "0.01s")
    await lab.cluster.log.purge(batch_id(BATCH), before=await lab.cluster.log.last_seq())  # as minutes later
    await call(lab.cluster.connection, "STREAM.PURGE.OBJ_inputs")
    names = batch_id(other)._asdict()
    forged = {"by": "mallory", "archive": "1" * 64, "events": 3, "first_seq": 1, "last_seq": 2**60}
    await forge(lab, ev.Compacted(**by(ev.ARCHIVER), **names, **forged))

    async def asked(batch: str, code: int) -> list[str]:
        verbs = (
            ("status", batch),
            ("status", f"{batch}/job"),
            ("why", f"{batch}/job"),
            ("history", batch),
            ("logs", f"{batch}/job"),
            ("pull", batch, "--save-dir", str(lab.folder / "pulled")),
        )
        return [(await lab.distribute(*verb, code=code)).err for verb in verbs]

    for told in await asked(other, 0):
        assert "Traceback" not in told
    for told in await asked(BATCH, 1):
        assert "Traceback" not in told
        assert f"the archive of {BATCH}, " in told
        assert f"`distribute delete {BATCH}` frees the name" in told
    await lab.distribute("status")
    await lab.distribute("replay", "--seq", "1")
    await lab.distribute("delete", BATCH, "--yes")
    await lab.add(command_batch(BATCH, {"job": "true"}), "--wait")
