"""Which batches a world waits for before it ends."""

from __future__ import annotations

from core_kit import Lab
from distribute.core.spec.specs import After, Resources
from distribute.testing import builders as make
from simulation.unfinished import unfinished


def test_a_batch_that_has_given_up_ends_although_no_node_can_run_what_waits() -> None:
    """So the world waits for it, and for what runs after it."""
    large = make.job("job2", resources=Resources(cpus=64))
    first = make.submitted(make.batch([make.job(), large], max_failures=1))
    after = After(**first.scope._asdict(), submission=first.id, when="any")
    lab = Lab(make.joined(), first, make.submitted(make.batch(batch="then", after=(after,))))
    lab.happen(make.assigned(), make.claimed())
    assert not list(unfinished(lab.state)), "no node can run the second job"
    lab.happen(make.finished(succeeded=False, outputs=None))
    assert [said.partition(":")[0] for said in unfinished(lab.state)] == [
        "lab/sweep is not over",
        "lab/then is not over",
    ]
