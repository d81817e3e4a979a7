"""Of two node-runners with the same name, the second is refused, and no job runs twice."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path

from acceptance.lab import command_batch, open_lab
from acceptance.processes import Processes
from distribute.core.log import events as ev
from distribute.nats.cluster import Cluster, open_cluster
from distribute.ports import Only
from distribute.runtime import Facts, new_id


async def first(cluster: Cluster, event_type: str) -> ev.Event:
    async for records in cluster.log.follow(after=0, only=Only(types=frozenset({event_type}))):
        return records[0].event
    raise AssertionError("following ended by itself")


async def test_a_second_runner_of_the_same_name_is_refused(tmp_path: Path) -> None:
    async with (
        Processes(tmp_path, {"ws1": ["--cpus", "1"]}) as processes,
        open_cluster(processes.broker.address, "test") as cluster,
    ):
        await first(cluster, "joined")
        async for beat in cluster.beats.follow():
            assert beat.node == "ws1"
            break
        processes.add_node("again", ["--name", "ws1"])  # the later option counts
        processes.start("again")
        assert await processes.ended("again") != 0
        assert "another node-runner" in processes.log_of("again")
        assert processes.end("ws1", signal.SIGTERM) == 0
        await first(cluster, "left")
        processes.start("again")  # now the name is free
        joins = 0
        async for records in cluster.log.follow(after=0, only=Only(types=frozenset({"joined"}))):
            joins += len(records)
            if joins == 2:
                break


async def test_a_runner_that_gives_way_ends_its_job_and_does_not_call_it_failed(tmp_path: Path) -> None:
    async with open_lab(tmp_path / "lab", {"ws1": ["--cpus", "1", "--grace-s", "1"]}) as lab:
        await lab.add(command_batch("lab/sweep", {"job": "test $DISTRIBUTE_ATTEMPT -gt 1 || sleep 1000"}))
        await lab.event("started", batch="lab/sweep")
        mine = (await lab.event("joined", node="ws1")).event
        assert isinstance(mine, ev.Joined)
        lab.processes.end("scheduler", signal.SIGTERM)  # otherwise it would release the job at once
        other = {"id": new_id(), "time": datetime.now(UTC), "incarnation": "elsewhere/1"}
        await Facts(lab.cluster.log).append(mine.model_copy(update=other))
        assert await lab.processes.ended("ws1") != 0
        assert lab.job_processes("ws1") == []
        assert await lab.events("finished", batch="lab/sweep") == []
        lab.processes.start("ws1")
        lab.processes.start("scheduler")
        await lab.over("lab/sweep")
        assert (await lab.jobs("lab/sweep"))["job"]["state"] == "succeeded"
