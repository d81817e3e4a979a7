"""A node steps aside by itself, and gives back what a long pause holds."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from acceptance.lab import command_batch, open_lab

NODE = f"aside-{os.getpid()}"
"""No other node of this computer has this name: pauses must not reach those of others."""

SAVES = """
trap 'echo "saved at 41 %" > distribute_save/state; exit 0' TERM
test "$DISTRIBUTE_ATTEMPT" = 1 || exit 0
echo begins
while :; do sleep 0.1; done
"""


def closed_now() -> str:
    """Hours that are closed for an hour before and two hours after now, whatever the clock says."""
    now = datetime.now()  # noqa: DTZ005 - the clock on the wall
    return f"{now + timedelta(hours=2):%H:%M}-{now - timedelta(hours=1):%H:%M}"


async def test_a_node_pauses_outside_its_hours_and_a_person_overrules_that(tmp_path: Path) -> None:
    async with open_lab(tmp_path / "lab", {NODE: ["--lend", closed_now()]}) as lab:
        paused = (await lab.event("paused", node=NODE)).event
        assert (paused.by, paused.reason) == (None, "outside the hours that it is lent")
        assert timedelta(hours=1.9) < paused.until - paused.time <= timedelta(hours=2)
        (node,) = (await lab.distribute("nodes", "--json")).document["nodes"]
        assert (node["state"], node["reason"]) == ("paused", paused.reason)
        await lab.add(command_batch("lab/early", {"job": "true"}))
        await lab.distribute("resume", "--node", NODE)
        await lab.over("lab/early")
        (node,) = (await lab.distribute("nodes", "--json")).document["nodes"]
        assert node["state"] == "idle"


async def test_a_job_that_a_long_pause_holds_can_save_its_state_and_runs_again(tmp_path: Path) -> None:
    options = ["--vacate-after-s", "1", "--grace-s", "30"]
    async with open_lab(tmp_path / "lab", {NODE: options}) as lab:
        await lab.add(command_batch("lab/long", {"job": SAVES}))
        follower = await lab.start("logs", "-f", "lab/long/job")
        await follower.until("begins")  # a job counts as started before it handles SIGTERM
        await lab.distribute("pause", "--node", NODE, "--detach", "--reason", "a talk")
        yielded = (await lab.event("yielded", batch="lab/long")).event
        assert yielded.reason == "its node was paused for 1s: a talk"
        archived = (await lab.event("job_archived", batch="lab/long")).event
        assert archived.causation == yielded.id
        folder, _ = await lab.pull("lab/long")
        (state,) = folder.rglob("state")
        assert state.read_text() == "saved at 41 %\n"
        await lab.distribute("resume", "--node", NODE)
        await lab.over("lab/long")
        assert (await lab.jobs("lab/long"))["job"]["attempt"] == 2
