"""What people read of batches that are killed, or about to be lost."""

from __future__ import annotations

from typing import Any

import pytest

from core_kit import Lab
from distribute.core.telling.listing import batch_document
from distribute.core.views.views import batch_view
from distribute.testing import builders as make
from distribute_cli.output import tables
from distribute_cli.output.losses import everything, unfinished, whose
from unit.cli.test_output import drawn

BY_KILL = {"succeeded": False, "exit_code": None, "signal": 15, "reason": "killed by bob"}


@pytest.mark.parametrize(
    ("counts", "stopped", "lost"),
    [
        ({"running": 1}, "1 running job", "1 running job"),
        ({"running": 1, "assigned": 1}, "2 running jobs", "2 running jobs"),
        ({"queued": 2, "succeeded": 1}, "2 waiting jobs", "what 1 job left and 2 waiting jobs"),
        (
            {"queued": 1, "running": 1, "succeeded": 1, "failed": 1, "killed": 1},
            "1 running job and 1 waiting job",
            "what 3 jobs left, 1 running job and 1 waiting job",
        ),
        ({"failed": 2}, "no job", "what 2 jobs left"),
    ],
)
def test_what_a_kill_stops_and_a_deletion_loses_is_counted(
    counts: dict[str, int], stopped: str, lost: str
) -> None:
    names = ("queued", "assigned", "running", "succeeded", "failed", "killed")
    jobs: Any = dict.fromkeys(names, 0) | counts
    assert (unfinished(jobs), everything(jobs)) == (stopped, lost)


def test_only_another_persons_batch_is_named_with_its_owner() -> None:
    document: Any = batch_document(Lab(make.submitted()).batch())
    assert (whose(document, "jane"), whose(document, "bob")) == ("lab/sweep", "lab/sweep of jane")


def test_a_batch_shows_who_kills_it_and_then_who_killed_it() -> None:
    lab = Lab(make.joined(), make.submitted())
    lab.assign()
    lab.run("job1")
    lab.happen(make.kill_requested(by="bob"))
    table = drawn(tables.batch, batch_view(lab.state, make.batch().id))
    assert "running, being killed" in table[1]
    assert table[3].startswith("being killed by bob, ")
    assert table[-1].endswith("being killed by bob")
    lab.happen(make.finished(**BY_KILL), make.completed(state="killed"), make.job_archived())
    table = drawn(tables.batch, batch_view(lab.state, make.batch().id))
    assert "being" not in "".join(table)
    assert table[3].startswith("killed by bob, ")
    assert "SIGTERM" in table[-1]
    assert table[-1].endswith("killed by bob")
