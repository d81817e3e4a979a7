"""Anyone can publish to the log today. No result is lost by forged messages about a job."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import nats

from acceptance.lab import Lab, command_batch, open_lab
from distribute.core.log import events as ev
from distribute.core.log.recorded import Guard, guard_scope
from distribute.nats.stream.subjects import event_subject
from distribute.runtime import new_id


async def say(lab: Lab, event: ev.Event) -> None:
    """Append an event with a guard that holds."""
    last = await lab.cluster.log.last(guard_scope(event))
    await lab.cluster.log.append(event, Guard(last.seq if last is not None else 0))


async def forge(lab: Lab, event: ev.Event) -> None:
    """Publish an event that its author may not write, as any program in the lab can."""
    client = await nats.connect(lab.processes.server)
    try:
        await client.jetstream().publish(
            event_subject(event), event.model_dump_json(exclude_none=True).encode()
        )
    finally:
        await client.close()


async def test_events_of_others_about_a_job_neither_stop_nor_block_it(tmp_path: Path) -> None:
    """Another node claims the job and publishes noise; the job's own node reports behind them."""
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1"]}) as lab:
        gate = tmp_path / "gate"
        job = f"until test -e '{gate}'; do sleep 0.05; done; echo done"
        await lab.add(command_batch("lab/mine", {"job": job}))
        await lab.event("started", batch="lab/mine")
        names = {"namespace": "lab", "batch": "mine", "job": "job", "attempt": 1, "node": "ghost"}
        stamp = {"time": datetime.now(UTC), "author": "ghost"}
        await say(lab, ev.Claimed(id=new_id(), **stamp, **names))
        await say(lab, ev.Yielded(id=new_id(), **stamp, **names, reason="not mine to give"))
        gate.touch()
        await lab.over("lab/mine")
        view = (await lab.jobs("lab/mine"))["job"]
        assert (view["state"], view["attempt"], view["node"]) == ("succeeded", 1, "node")
        folder, _ = await lab.pull("lab/mine")
        assert (folder / "job" / "stdout.txt").read_text() == "done\n"


async def test_events_that_only_the_scheduler_may_write_are_ignored_from_others(tmp_path: Path) -> None:
    """A person publishes a release and an end of the batch. All readers skip them, and the job goes on."""
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1"]}) as lab:
        gate = tmp_path / "gate"
        job = f"until test -e '{gate}'; do sleep 0.05; done; echo done"
        await lab.add(command_batch("lab/mine", {"job": job}))
        started = await lab.event("started", batch="lab/mine")
        stamp = {"time": datetime.now(UTC), "author": "jane"}
        names = {"namespace": "lab", "batch": "mine"}
        attempt = {**names, "job": "job", "attempt": 1, "node": "node"}
        await forge(lab, ev.Released(id=new_id(), **stamp, **attempt, reason="killed"))
        await forge(lab, ev.Completed(id=new_id(), **stamp, **names, state="killed"))
        await say(lab, ev.Deleted(id=new_id(), **stamp, **names))
        gate.touch()
        finished = (await lab.event("finished", batch="lab/mine", after=started.seq)).event
        assert isinstance(finished, ev.Finished)
        assert (finished.succeeded, finished.attempt) == (True, 1)
        await lab.over("lab/mine")
        assert (await lab.jobs("lab/mine"))["job"]["state"] == "succeeded"
