"""A batch waits for nodes that are away. What no node of the past could run is refused."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from acceptance.lab import command_batch, open_lab

OPTIONS = ["--cpus", "2", "--capability", "compiler"]


async def test_a_batch_waits_while_all_nodes_are_away_and_runs_when_one_is_back(tmp_path: Path) -> None:
    async with open_lab(tmp_path / "lab", {"ws1": OPTIONS}) as lab:
        lab.processes.end("ws1", signal.SIGTERM)
        await lab.event("left", node="ws1")
        refused = await lab.add(command_batch("lab/odd", {"a": "true"}, capabilities=["quantum"]), code=4)
        assert re.search(r"no node has the capability quantum; there are: (\w+, )*compiler", refused.err)
        large = command_batch("lab/large", {"a": "true"}, resources={"cpus": 3})
        assert "no node has 3 cpus for one job; the largest has 2 cpus" in (await lab.add(large, code=4)).err

        batch = command_batch("lab/later", {"a": "true", "b": "true"}, capabilities=["compiler"])
        dry = await lab.add(batch, "--dry", "--json")
        assert (dry.document["nodes"], dry.document["fit"], dry.document["waits_for"]) == (0, [0], ["ws1"])
        added = await lab.add(batch)
        assert "for 2 jobs, the batch waits until one of these nodes is here: ws1" in added.err
        assert "lab/later is submitted: 2 jobs" in added.out
        lab.processes.start("ws1")
        await lab.over("lab/later")


async def test_a_batch_waits_on_a_cluster_that_no_node_has_joined_yet(tmp_path: Path) -> None:
    async with open_lab(tmp_path / "lab", {}) as lab:
        batch = command_batch("lab/first", {"a": "echo $DISTRIBUTE_NODE"}, capabilities=["compiler"])
        assert "no node has joined yet; the batch waits for one" in (await lab.add(batch)).err
        lab.processes.add_node("ws1", OPTIONS)
        lab.processes.start("ws1")
        await lab.over("lab/first")
        assert (await lab.distribute("logs", "lab/first/a")).out == "ws1\n"
