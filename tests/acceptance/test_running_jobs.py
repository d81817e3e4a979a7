"""People look into jobs that run: they run commands in them."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from acceptance.lab import PATIENCE_S, Json, Lab, command_batch, open_lab

LOG = "ws1/*/*/job/distribute_save/log"
WAITS = "mkdir -p distribute_save; echo begun > distribute_save/log; while [ ! -e over ]; do sleep 0.05; done"


def batch(name: str = "lab/x", job: str = WAITS) -> Json:
    made = command_batch(name, {"a": job})
    made["command"]["initialize"] = {"build": "echo built > tool"}
    return made


async def begin(lab: Lab, made: Json) -> None:
    """Submit a batch, and wait until its job waits to be ended."""
    await lab.add(made)
    await lab.event("started", batch=made["meta"]["namespace"] + "/" + made["meta"]["batch_name"])
    async with asyncio.timeout(PATIENCE_S):  # a job counts as started before it has done anything
        while not any(log.read_text() for log in lab.folder.glob(LOG)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_command_runs_where_its_job_runs_and_gives_its_output_and_exit_code(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1"]}) as lab:
        await begin(lab, batch())
        script = 'cat tool; echo "$DISTRIBUTE_JOB"; cat distribute_save/log; echo oops >&2; exit 7'
        said = await lab.distribute("exec", "x/a", "--", "sh", "-c", script, code=7)
        assert (said.out, said.err) == ("built\na\nbegun\n", "oops\n")
        said = await lab.distribute("exec", "--json", "x/a", "--", "sh", "-c", "kill -9 $$", code=137)
        assert (said.document["exit_code"], said.document["signal"], said.document["node"]) == (
            None,
            9,
            "ws1",
        )
        said = await lab.distribute("exec", "x/a", "--", "no-such", code=4)
        assert "'no-such' can't be started: no such program in the PATH of this node" in said.err
        said = await lab.distribute("exec", "--timeout", "1s", "x/a", "--", "sleep", "60", code=143)
        assert "ws1 ended the command: it ran for longer than 1s" in said.err
        many = 3 << 20
        said = await lab.distribute("exec", "x/a", "--", "sh", "-c", f"yes | head -c {many}")
        assert len(said.out) == many

        running = await lab.start(
            "exec", "x/a", "--", "sh", "-c", "trap 'echo bye; exit 5' INT; echo on; sleep 60"
        )
        await running.until("on")
        running.interrupt()
        await running.end()
        assert running.code == 130

        running = await lab.start("exec", "x/a", "--", "sh", "-c", "echo on; exec sleep 60")
        await running.until("on")
        await lab.distribute("exec", "x/a", "--", "touch", "over")
        assert (await running.end(), running.code) == ("on\n", 128 + signal.SIGTERM)
        await lab.over("lab/x")
        assert (await lab.jobs("lab/x"))["a"]["state"] == "succeeded"
        said = await lab.distribute("exec", "x/a", "--", "true", code=4)
        assert "lab/x/a is over (succeeded): `distribute logs lab/x/a` shows what it printed" in said.err


async def test_what_can_not_be_looked_into_is_said_at_once(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1"]}) as lab:
        made = batch()
        made["command"]["jobs"].append({"name": "b", "command": "true"})
        await begin(lab, made)
        said = await lab.distribute("exec", "x/b", "--", "true", code=4)
        assert "lab/x/b does not run yet: it is queued; `distribute watch lab/x`" in said.err
        said = await lab.distribute("exec", "x", "--", "true", code=2)
        assert "'x' names a batch; a job of it is lab/x/JOB" in said.err
        await lab.distribute("pause", "--node", "ws1", "--duration", "1h", "--detach")
        said = await lab.distribute("exec", "x/a", "--", "true", code=4)
        assert "ws1: this node is paused by jane until" in said.err
        await lab.distribute("resume", "--node", "ws1")
        await lab.distribute("exec", "x/a", "--", "true")
        seq = await lab.cluster.log.last_seq()
        lab.processes.end("ws1", signal.SIGKILL)
        said = await lab.distribute("exec", "x/a", "--", "true", code=4)
        assert "ws1 does not answer: it has just left" in said.err
        lab.processes.start("ws1")
        await lab.event("joined", node="ws1", after=seq)
        await lab.distribute("exec", "x/a", "--", "touch", "over")
        await lab.over("lab/x")


TIDIES = (
    f"echo scratch > distribute_save/tmp; {WAITS}; rm distribute_save/tmp; echo over > distribute_save/log"
)


async def test_files_of_a_running_job_are_fetched_and_never_taken_for_results(tmp_path: Path) -> None:
    async with open_lab(tmp_path, {"ws1": ["--cpus", "1"]}) as lab:
        await begin(lab, batch(job=TIDIES))
        said = await lab.distribute("ls", "x/a", "--json")
        files = {file["path"]: file["size_bytes"] for file in said.document["files"]}
        assert files == {"tool": 6, "distribute_save/log": 6, "distribute_save/tmp": 8}
        said = await lab.distribute("ls", "x/a", "distribute_save")
        assert said.out.splitlines()[-1] == "2 files, 14B"
        said = await lab.distribute("ls", "x/a", "../..", code=4)
        assert "ws1: '../..' is not there, or leads out of the job's folder" in said.err

        out, other = lab.folder / "here", lab.folder / "other"
        for target in ("x", "x/a"):
            said = await lab.distribute("pull", "--running", target, "--save-dir", str(out))
        assert "these are no results yet: `distribute pull lab/x` replaces them" in said.err
        here = {path.name: path.read_text() for path in (out / "x/a").iterdir()}
        assert here == {"log": "begun\n", "tmp": "scratch\n", "stdout.txt": ""}
        await lab.distribute("pull", "--running", "x", "--include", "tool", "--into", str(other))
        assert (other / "a/workspace/tool").read_text() == "built\n"
        said = await lab.distribute("pull", "--running", "x", "--dry", "--quiet")
        assert said.out.splitlines() == ["x/a/stdout.txt", "x/a/log", "x/a/tmp"]

        await lab.distribute("exec", "x/a", "--", "touch", "over")
        await lab.over("lab/x")
        said = await lab.distribute("pull", "x", "--save-dir", str(out))
        assert (out / "x/a/log").read_text() == "over\n"
        assert "by an earlier attempt or `--running`, and not by the last attempt: x/a/tmp" in said.err
        said = await lab.distribute("pull", "--running", "x", code=4)
        assert "no job of lab/x runs now: `distribute pull lab/x` brings what is archived" in said.err
