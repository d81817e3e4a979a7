"""What people read of a batch that holds its jobs back."""

from __future__ import annotations

from core_kit import Lab
from distribute.core.views import batch_view
from distribute.testing import builders as make
from distribute_cli.output import tables
from unit.cli.test_output import drawn


def test_a_batch_that_holds_its_jobs_back_says_why() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(2, max_running=1)))
    lab.assign()
    table = drawn(tables.batch, batch_view(lab.state, lab.batch().id))
    assert "as many of its jobs run as its max_running allows: 1" in table
