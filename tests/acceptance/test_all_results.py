"""`pull` brings whatever is archived, says what is missing, and stays for the rest if it is asked to."""

from __future__ import annotations

import signal
from pathlib import Path

from acceptance.lab import Json, Lab, command_batch, open_lab

BATCH = "lab/all"


def jobs(gate: Path) -> Json:
    """The last one waits for the gate, the others end at once."""
    return {
        "right": "echo 1 > distribute_save/r; ln -s $DISTRIBUTE_SAVE/r $DISTRIBUTE_SAVE/latest",
        "fails": "echo told; echo half > distribute_save/half; exit 3",
        "late": {"command": "echo began > distribute_save/part; sleep 1000", "timeout": "3s"},
        "dated": "cd distribute_save; echo data > x.bam; touch -d 2001-01-01 x.bam; chmod 0640 x.bam",
        "forgot": "head -c 3000 /dev/zero > result.csv; echo 1 > notes; mkfifo distribute_save/pipe",
        "waits": f"until test -e '{gate}'; do sleep 0.05; done; echo 2 > distribute_save/r",
    }


async def begin(lab: Lab, gate: Path) -> None:
    """Submit the batch, and wait until all but the last job are archived, and that one runs."""
    batch = command_batch(BATCH, jobs(gate))
    batch["command"]["initialize"] = {"build": "echo made > made"}
    await lab.add(batch)
    for job in set(jobs(gate)) - {"waits"}:
        await lab.event("job_archived", batch=BATCH, where=lambda event, job=job: event.job == job)
    await lab.event("started", batch=BATCH, where=lambda event: event.job == "waits")


async def test_a_running_batch_gives_what_there_is_and_the_rest_comes(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "2", "--grace-s", "1"]}) as lab:
        await begin(lab, gate)
        folder, said = await lab.pull(BATCH)
        assert "lab/all is not over: the results of 5 of 6 jobs are archived so far (1 running)" in said.err
        assert (
            "lab/all: 2 of 6 jobs failed: fails (exit 3 on node), late (SIGTERM on node: ran for" in said.err
        )
        assert "lab/all/forgot: 2 files (2.93K) outside ./distribute_save are not archived: " in said.err
        assert "result.csv (2.93K), notes (2B)" in said.err
        assert "not archived: lab/all/forgot: pipe: a pipe, not a file" in said.err
        assert "made" not in said.err  # by the build
        assert (folder / "fails" / "half").read_text() == "half\n"
        assert (folder / "late" / "part").read_text() == "began\n"
        assert (folder / "right" / "latest").readlink() == Path("r")
        status = (folder / "dated" / "x.bam").stat()
        assert (status.st_mode & 0o777, status.st_mtime) == (0o640, 978307200)

        document = (await lab.distribute("pull", BATCH, "--dry", "--json")).document
        assert document["complete"] is False
        assert document["left_out"] == [{"job": "forgot", "text": "pipe: a pipe, not a file"}]
        assert [file["path"] for file in document["outside"]["forgot"]["largest"]] == ["result.csv", "notes"]
        assert {job["job"] for job in document["failed_jobs"]} == {"fails", "late"}
        assert document["links"] == [{"path": "all/right/latest", "target": "r"}]
        await lab.distribute("pull", BATCH, "--dry", "--strict", code=1)

        follower = await lab.start("pull", BATCH, "--follow", "--save-dir", str(tmp_path / "followed"))
        await follower.until("the results of 5 jobs are here; waiting for more")
        for service in ("scheduler", "archiver"):
            lab.processes.end(service, signal.SIGKILL)
        await lab.processes.broker.stop(kill=True)
        await lab.processes.broker.start()
        for service in ("scheduler", "archiver"):
            lab.processes.start(service)
        gate.touch()
        told = await follower.end()
        assert follower.code == 0, told
        assert (tmp_path / "followed" / "all" / "waits" / "r").read_text() == "2\n"
        assert "is not over" not in told
        assert "2 of 6 jobs failed" in told


async def test_a_follower_that_is_interrupted_leaves_a_right_folder(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "2", "--grace-s", "1"]}) as lab:
        await begin(lab, gate)
        arguments = ("pull", BATCH, "--save-dir", str(tmp_path / "here"))
        follower = await lab.start(*arguments, "--follow")
        await follower.until("waiting for more")
        follower.interrupt()
        told = await follower.end()
        assert follower.code == 130
        assert "Traceback" not in told
        gate.touch()
        await lab.over(BATCH)
        last = (await lab.distribute(*arguments, "--json")).document
        assert (last["complete"], last["fetched"], last["problems"]) == (True, 2, [])
        assert (tmp_path / "here" / "all" / "waits" / "r").read_text() == "2\n"


async def test_a_follower_of_a_batch_that_is_over_ends_at_once(tmp_path: Path) -> None:
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "2"]}) as lab:
        await lab.add(command_batch(BATCH, {"job": "echo 1 > distribute_save/r"}))
        await lab.over(BATCH)
        arguments = ("pull", BATCH, "--save-dir", str(tmp_path / "here"), "--follow", "--strict")
        assert (await lab.distribute(*arguments)).err == ""
        assert (tmp_path / "here" / "all" / "job" / "r").read_text() == "1\n"
        refused = await lab.distribute("pull", BATCH, "--follow", "--dry", code=2)
        assert "--dry pulls nothing, --follow pulls what comes: give one of them" in refused.err
