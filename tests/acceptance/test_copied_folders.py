"""The copy of a node's folder is a new node's: it touches neither the jobs nor the keeper of the original."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from acceptance.lab import Lab, command_batch, open_lab
from distribute.core.log import events as ev

BATCH = {
    "ends": "while [ ! -e {end} ]; do sleep 0.1; done; echo ended > distribute_save/how",
    "goes-on": "setsid sleep 300 & while [ ! -e {go} ]; do sleep 0.1; done; "
    "kill -0 $! && echo went on > distribute_save/how",
}


async def test_a_copied_folder_leaves_the_original_its_jobs(tmp_path: Path) -> None:
    end, go = tmp_path / "end", tmp_path / "go"
    jobs = {name: command.format(end=end, go=go) for name, command in BATCH.items()}
    async with open_lab(tmp_path / "lab", {"ws1": ["--cpus", "2"]}, lost_s=300.0) as lab:
        await lab.add(command_batch("lab/b", jobs))
        for job in jobs:
            await lab.event("started", batch="lab/b", where=lambda event, job=job: event.job == job)
        copy(lab, "ws1", "twin")
        await assert_refused(lab, "twin", "the name 'ws1' is in use by another node-runner")
        lab.processes.end("ws1", signal.SIGKILL)
        copy(lab, "ws1", "ws2", "--name=ws2", "--cpus", "2")
        end.touch()  # `cp` fails if the keeper's files change meanwhile
        lab.processes.start("ws2")
        joined = (await lab.event("joined", node="ws2")).event
        assert isinstance(joined, ev.Joined)
        assert joined.keeps == ()
        await lab.logged("ws2", "is a copy")
        lab.processes.start("ws1")
        back = await lab.event("joined", node="ws1", where=lambda event: bool(event.keeps))
        assert {attempt.job for attempt in back.event.keeps} == set(jobs)
        go.touch()
        await lab.over("lab/b")
        folder, _ = await lab.pull("lab/b")
        assert (folder / "ends" / "how").read_text() == "ended\n"
        assert (folder / "goes-on" / "how").read_text() == "went on\n"
        kinds = ("assigned", "claimed", "released", "finished")
        assert sorted(event.type for event in await lab.events(*kinds, batch="lab/b")) == sorted(
            2 * ["assigned", "claimed", "finished"]
        )


def copy(lab: Lab, source: str, target: str, *options: str) -> None:
    """Copy a node's folder, and add a node that works in the copy."""
    subprocess.run(["cp", "-a", lab.folder / source, lab.folder / target], check=True)
    lab.processes.add_node(target, options or [f"--name={source}"])  # the later name counts


async def assert_refused(lab: Lab, node: str, words: str) -> None:
    lab.processes.start(node)
    assert await lab.processes.ended(node) != 0
    assert words in lab.processes.log_of(node)
