"""Results that the store has lost: the batch ends all the same, and the verbs say what is missing."""

from __future__ import annotations

import signal
from pathlib import Path

from acceptance.lab import batch_id, command_batch, job_folders, open_lab
from distribute.nats.client.jetstream import call
from distribute.nats.objects.result_names import chunks_of_batch


async def test_a_batch_whose_results_are_lost_before_archiving_ends(tmp_path: Path) -> None:
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1"]}) as lab:
        lab.processes.end("archiver", signal.SIGTERM)
        built = command_batch("lab/lossy", {"job": "echo told; echo left > distribute_save/left"})
        built["command"]["initialize"] = {"build": "echo built"}
        await lab.add(built)
        await lab.event("finished", batch="lab/lossy")
        # A damaged disk, or a person who tidies up, causes this.
        wanted = {"filter": f"$O.results.C.{chunks_of_batch(batch_id('lab/lossy'))}"}
        purged = await call(lab.cluster.connection, "STREAM.PURGE.OBJ_results", wanted)
        assert purged["purged"] == 2
        await lab.add(command_batch("lab/whole", {"job": "echo left > distribute_save/left"}))
        lab.processes.start("archiver")

        # The archiver looks several times before it gives up. Other batches do not wait for that.
        await lab.over("lab/whole")
        assert not await lab.events("job_archived", batch="lab/lossy")
        waited = await lab.distribute("wait", "lab/lossy")
        assert waited.out == "lab/lossy completed: 1 of 1 job succeeded\n"
        job = (await lab.jobs("lab/lossy"))["job"]
        assert (job["state"], job["archived"]) == ("succeeded", False)
        assert "its results are gone: result lab/lossy/job/1/" in job["reason"]
        assert "0 chunks are stored, not 1" in job["reason"]
        folder, pulled = await lab.pull("lab/lossy", code=1)
        assert "lab/lossy/job: its results are gone: result lab/lossy/job/1/" in pulled.err
        assert not job_folders(folder)
        assert "never will be" in lab.processes.log_of("archiver")
        whole, _ = await lab.pull("lab/whole")
        assert (whole / "job" / "left").read_text() == "left\n"
