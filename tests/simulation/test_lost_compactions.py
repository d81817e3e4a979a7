"""The log loses the `compacted` of a batch that a person then retries: it is as it was, and runs again."""

from collections import Counter
from random import Random

from distribute.core.log.events import Compacted
from distribute.core.log.recorded import Recorded
from distribute.sim.network import Broker
from simulation.biting import long_jobs
from simulation.scenario import CLEAR, Fate, Request, Scenario
from simulation.world import Parts, simulate

WORLDS = 6
DOWN_AFTER_S, UP_AFTER_S = 0.5, 2.0
"""The archiver has said that the batch is compacted. The person looks at it, and has not retried it yet."""


class ForgettingBroker(Broker):
    """Goes down after the first `compacted`, and loses it."""

    def _store(self, body: bytes) -> Recorded:
        recorded = super()._store(body)
        if isinstance(recorded.event, Compacted) and not self.crashes:
            self.loop.after(DOWN_AFTER_S, lambda: self.crash(self.stored.last_seq - recorded.seq + 1))
            self.loop.after(UP_AFTER_S, self.come_up)
        return recorded


def failed_and_compacted(random: Random) -> Scenario:
    """A batch whose jobs fail, and an admin who compacts it. Nothing goes wrong but at the broker."""
    made = long_jobs(random)
    made.weather, made.trouble_every_s = CLEAR, 0.0
    made.fates = {job: Fate(1.0, failures=9) for job in made.fates}
    made.remove_after_s = 60.0
    made.requests = [Request(moment, "compact") for moment in range(40, 400, 40)]
    return made


def test_a_batch_whose_compaction_is_lost_is_retried_and_ends_again() -> None:
    happened: Counter[str] = Counter()
    for seed in range(WORLDS):
        parts = Parts(scenario=failed_and_compacted, broker=ForgettingBroker)
        happened += simulate(seed, parts).truth.happened
    assert happened["a batch is retried whose compaction is lost"] >= 3, "else this tests nothing"
