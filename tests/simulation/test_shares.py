"""Shares of the computers over time: large and small jobs, several people, priorities."""

from random import Random

from distribute.core.ids import JobId
from distribute.core.log import events as ev
from distribute.core.spec.specs import BatchSpec, Resources
from distribute.testing import builders as make
from simulation.scenario import CLEAR, Computer, Fate, Scenario
from simulation.world import Parts, World

JOB_S = 10.0


def computer(name: str, cpus: int) -> Computer:
    return Computer(
        name, cpus, memory_bytes=8 * make.GIB, gpus=(), capabilities=frozenset(), broken=False,
        clock_offset_s=0.0, clock_rate=1.0,
    )  # fmt: skip


def given(*submissions: tuple[float, BatchSpec, str], cpus: tuple[int, ...] = (4, 2)) -> list[str]:
    """Simulate a world without trouble. Returns the batch of each job, in the order of assignment."""
    fates = {JobId(*spec.id, job.name): Fate(JOB_S) for _, spec, _ in submissions for job in spec.work.jobs}

    def peace(_: Random) -> Scenario:
        computers = [computer(f"ws{number}", of) for number, of in enumerate(cpus, start=1)]
        return Scenario(
            computers, schedulers=1, replicated=False, weather=CLEAR, trouble_every_s=0.0, calm_at=60.0,
            submissions=list(submissions), fates=fates,
        )  # fmt: skip

    world = World(1, Parts(scenario=peace))
    world.run()
    return [recorded.event.batch for recorded in world.truth.log if isinstance(recorded.event, ev.Assigned)]


def test_small_jobs_do_not_starve_a_large_one() -> None:
    """The large job needs the whole larger computer, which is never idle without a reservation."""
    large = make.batch(1, batch="large", resources=Resources(cpus=4))
    small = [make.batch(40, batch=f"small{number}") for number in range(3)]
    order = given(
        (30.0, small[0], "ann"), (31.0, large, "ann"), (32.0, small[1], "ann"), (33.0, small[2], "ann")
    )
    assert order.count("large") == 1
    before = order[: order.index("large")]
    assert before.count("small0") == 40, "what was submitted first goes first"
    assert before.count("small1") + before.count("small2") < 10, "the other computer goes on meanwhile"


def test_a_person_who_comes_later_gets_a_share_at_once() -> None:
    early, late = make.batch(60, batch="early"), make.batch(12, batch="late")
    order = given((30.0, early, "ann"), (45.0, late, "bob"), cpus=(4,))
    first = order.index("late")
    assert set(order[first + 4 : first + 20]) == {"early", "late"}
    assert 4 <= order[first : first + 16].count("late") <= 12
    assert order.index("late") < 16


def test_a_higher_priority_goes_first() -> None:
    usual, urgent = make.batch(60, batch="usual"), make.batch(12, batch="urgent", priority=10)
    order = given((30.0, usual, "ann"), (45.0, urgent, "ann"), cpus=(4,))
    first = order.index("urgent")
    assert first < 16
    assert order[first : first + 12] == ["urgent"] * 12
