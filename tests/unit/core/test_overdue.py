"""A node is kept for jobs that have waited for too long, so that none starves."""

import heapq
import random

import pytest

from core_kit import Lab, of
from distribute.core.explaining.explain import explain
from distribute.core.ids import JobId
from distribute.core.log import events as ev
from distribute.core.spec.specs import Resources
from distribute.core.state.usage import OVERDUE_S
from distribute.testing import builders as make

ONE = Resources(cpus=1)
WHOLE = Resources(cpus=2)
HOUR_S = 3600.0


def full_lab(jobs: int = 4) -> Lab:
    """Two nodes of two cpus, full of small jobs by Jane."""
    lab = Lab(make.joined("ws1", cpus=2), make.joined("ws2", cpus=2))
    lab.happen(make.submitted(make.batch(jobs, batch="thin", resources=ONE), user="jane"))
    assert lab.assign() == {"job1": "ws1", "job2": "ws1", "job3": "ws2", "job4": "ws2"}
    return lab


def pass_time(lab: Lab, seconds: float) -> None:
    """Let time pass."""
    lab.happen(make.joined("elsewhere", capabilities=frozenset(), cpus=1), make.drain_requested("elsewhere"))
    lab.happen(make.undrained("elsewhere"), make.drain_requested("elsewhere"), apart_s=seconds / 2)


def starved_hours(seed: int) -> float | None:
    """Hours until Ann's large job runs, where her and Carl's many small ones come and go; None: never.

    Both have the same share of the lab, so that it is each one's turn about as often as the other's.
    """
    chance = random.Random(seed)
    lab = Lab(*(make.joined(f"ws{number}", cpus=4) for number in range(3)))
    lab.happen(make.submitted(make.batch(12, batch="first", resources=ONE), user="eve"))
    ends: list[tuple[float, JobId, str]] = []

    def place() -> bool:
        lab.look()
        made = [event for event in lab.decide() if isinstance(event, ev.Assigned)]
        for event in made:
            lab.happen(event, apart_s=0.0)
            heapq.heappush(ends, (lab.now + chance.uniform(60, 1200), event.scope, event.node))
        return any(event.batch == "large" for event in made)

    place()
    lab.happen(make.submitted(make.batch(batch="large", resources=Resources(cpus=4)), user="ann"))
    for user in ("ann", "carl"):
        lab.happen(make.submitted(make.batch(300, batch=f"{user}s", resources=ONE), user=user))
    start = lab.now
    while ends and lab.now - start < 3 * HOUR_S:
        time, job, node = heapq.heappop(ends)
        lab.happen(
            make.claimed(job, node), make.finished(job, node), make.job_archived(job, node),
            apart_s=max(0.0, time - lab.now) / 3,
        )  # fmt: skip
        if place():
            return (lab.now - start) / HOUR_S
    return None


@pytest.mark.parametrize("seed", range(4))
def test_a_large_job_does_not_starve_behind_its_own_persons_small_ones(seed: int) -> None:
    hours = starved_hours(seed)
    assert hours is not None
    assert hours < OVERDUE_S / HOUR_S + 1


def test_an_overdue_job_gets_a_node_before_people_with_a_smaller_share() -> None:
    lab = full_lab()
    lab.happen(make.submitted(make.batch(batch="wide", resources=WHOLE), user="jane"))
    lab.happen(make.submitted(make.batch(9, batch="carls", resources=ONE), user="carl"))
    pass_time(lab, OVERDUE_S)
    lab.look()
    lab.succeed(of("thin", "job1"), "ws1")
    assert lab.assign() == {}  # kept, though it would be Carl's turn
    verdicts = {verdict.node: verdict.text for verdict in explain(lab.agenda, lab.batch("carls"), 0).nodes}
    assert verdicts["ws1"] == "is kept for a job that comes first: 2 cpus, 0 GPUs needed"
    lab.succeed(of("thin", "job3"), "ws2")
    assert lab.assign() == {"job1": "ws2"}  # one node is kept, not two
    lab.succeed(of("thin", "job2"), "ws1")
    assert [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)] == ["wide"]


def test_before_a_job_is_overdue_fair_share_decides() -> None:
    lab = full_lab()
    lab.happen(make.submitted(make.batch(batch="wide", resources=WHOLE), user="jane"))
    lab.happen(make.submitted(make.batch(9, batch="carls", resources=ONE), user="carl"))
    pass_time(lab, OVERDUE_S - 60)
    lab.look()
    lab.succeed(of("thin", "job1"), "ws1")
    assert [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)] == ["carls"]


def test_after_being_served_a_shape_waits_again() -> None:
    lab = full_lab(jobs=9)
    lab.happen(make.submitted(make.batch(9, batch="carls", resources=ONE), user="carl"))
    pass_time(lab, OVERDUE_S)
    lab.look()
    assert [user for user, _ in lab.agenda.overdue[0]] == ["jane", "carl"]  # he came a second later
    lab.succeed(of("thin", "job1"), "ws1")
    lab.succeed(of("thin", "job2"), "ws1")
    made = lab.decide()
    assert [event.batch for event in made if isinstance(event, ev.Assigned)] == ["carls", "carls"]
    lab.happen(*made)
    lab.look()
    assert [user for user, _ in lab.agenda.overdue[0]] == ["jane"]


def test_an_edit_makes_jobs_overdue_no_sooner_than_a_submission_that_asks_for_the_same() -> None:
    lab = full_lab(jobs=9)
    pass_time(lab, OVERDUE_S)
    for job in ("job1", "job2"):
        lab.succeed(of("thin", job), "ws1")
    lab.happen(*lab.decide())  # this shape has just been served
    lab.happen(make.submitted(make.batch(9, batch="carls", resources=ONE), user="carl"))
    lab.happen(make.edited(of=lab.batch("thin").id, memory_bytes=1))
    lab.look()
    assert not any(lab.agenda.overdue.values())
    pass_time(lab, OVERDUE_S)
    lab.look()
    assert {user for user, _ in lab.agenda.overdue[0]} == {"jane", "carl"}


def test_an_edit_that_leaves_alone_what_jobs_need_lets_them_stay_overdue() -> None:
    lab = full_lab()
    lab.happen(make.submitted(make.batch(batch="wide", resources=WHOLE), user="jane"))
    pass_time(lab, OVERDUE_S)
    lab.happen(make.edited(of=lab.batch("wide").id, timeout_s=60.0, retries=1))
    lab.look()
    assert [user for user, _ in lab.agenda.overdue[0]] == ["jane"]


def test_a_higher_priority_goes_before_overdue_jobs() -> None:
    lab = full_lab()
    lab.happen(make.submitted(make.batch(batch="wide", resources=WHOLE), user="jane"))
    pass_time(lab, OVERDUE_S)
    lab.happen(make.submitted(make.batch(1, batch="urgent", resources=ONE, priority=1), user="carl"))
    lab.look()
    lab.succeed(of("thin", "job1"), "ws1")
    assert [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)] == ["urgent"]


def test_an_overdue_job_without_a_suitable_node_blocks_no_other_job() -> None:
    lab = full_lab(jobs=9)
    lab.happen(make.submitted(make.batch(batch="huge", resources=Resources(cpus=64)), user="jane"))
    pass_time(lab, OVERDUE_S)
    lab.look()
    assert [user for user, _ in lab.agenda.overdue[0]] == ["jane"]  # the small ones
    lab.succeed(of("thin", "job1"), "ws1")
    assert lab.assign() == {"job5": "ws1"}


def test_an_overdue_job_that_no_node_could_build_blocks_no_other_job() -> None:
    lab = full_lab()
    built = make.batch(batch="wide", resources=WHOLE, build="make")
    lab.happen(make.submitted(built, user="carl"))
    for node in ("ws1", "ws2"):
        lab.happen(make.build_started(node, of=built), make.build_finished(node, of=built, succeeded=False))
    pass_time(lab, OVERDUE_S)
    lab.look()
    assert lab.agenda.overdue == {}


def test_overdue_needs_of_one_batch_go_in_file_order_also_after_a_restore() -> None:
    """They have waited since the same moment, and live queues may hold them in any order."""
    jobs = [make.job("a", resources=WHOLE), make.job("b", resources=ONE)]
    lab = Lab(make.joined("ws1", cpus=2), make.submitted(make.batch(1, batch="before", resources=WHOLE)))
    assert lab.assign() == {"job1": "ws1"}
    lab.happen(make.submitted(make.batch(jobs)))
    first, second = (waiting.group.shape for waiting in lab.agenda.waiting[lab.batch().id])
    lanes = lab.agenda.queues.by_priority[0]["jane"].lanes
    lanes[first] = lanes.pop(first)
    pass_time(lab, OVERDUE_S + 10)
    lab.look()
    assert list(lanes) == [second, first], "in another order than the file's"
    assert lab.agenda.overdue == {0: [("jane", first), ("jane", second)]}


def test_who_waits_too_long_gets_another_node_at_once_if_someone_takes_the_one_that_was_kept() -> None:
    """The node is kept for a shape, and a person with a smaller share may have jobs of that shape."""
    janes = [make.job("large", resources=WHOLE), make.job("small", resources=ONE), make.job("whole")]
    lab = Lab(make.joined("ws1"), make.submitted(make.batch(janes, batch="janes", resources=None)))
    lab.now += OVERDUE_S
    bobs = [make.job("small", resources=ONE), make.job("whole")]
    lab.happen(make.submitted(make.batch(bobs, batch="bobs", resources=None), user="bob"))
    lab.happen(make.joined("ws2", cpus=1))
    lab.look()
    lab.decide()
    assert lab.decide() == []
