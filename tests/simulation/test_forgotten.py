"""A broker that acknowledges the end of a job and does not store it: the scheduler has the job run again."""

from collections import Counter
from random import Random

from distribute.codec import decode
from distribute.core.ids import Guarded
from distribute.core.log.events import Finished
from distribute.sim.network import Broker
from simulation.scenario import CLEAR, Fate, Scenario, scenario
from simulation.world import Parts, simulate

WORLDS = 8


class ForgetfulBroker(Broker):
    """Forgets the end of each job's first attempt. No connection breaks, so nobody looks for what is lost."""

    def publish(self, event_id: str, body: bytes, scope: Guarded, expected_seq: int) -> int | None:
        event = decode(body)
        if isinstance(event, Finished) and event.attempt == 1 and self.admits(scope, expected_seq):
            return self.stored.last_seq
        return super().publish(event_id, body, scope, expected_seq)


def a_few_jobs(random: Random) -> Scenario:
    """One batch, in a world in which nothing else goes wrong."""
    made = scenario(random)
    made.weather, made.trouble_every_s, made.requests = CLEAR, 0.0, []
    made.submissions = made.submissions[:1]
    made.fates = {job: Fate(1.0) for job in made.fates}
    made.failing_builds.clear()
    for computer in made.computers:
        computer.broken, computer.pause_when_active_s = False, None
    return made


def test_a_job_that_its_node_does_not_have_any_more_is_released_and_runs_again() -> None:
    happened: Counter[str] = Counter()
    for seed in range(WORLDS):
        happened += simulate(seed, Parts(scenario=a_few_jobs, broker=ForgetfulBroker)).truth.happened
    assert happened["released: not_there"] >= WORLDS
