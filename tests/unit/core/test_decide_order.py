"""The order of jobs: priority, then fair share, then submission."""

from core_kit import Lab, of
from distribute.core.log import events as ev
from distribute.core.spec.specs import Resources
from distribute.testing import builders as make

DAY_S = 24 * 3600.0


def one_slot() -> Lab:
    return Lab(make.joined(cpus=1))


def free_slot(lab: Lab) -> None:
    """The job that runs at ws1 succeeds."""
    (key,) = lab.state.nodes["ws1"].attempts
    batch = lab.state.batches[key.batch]
    lab.succeed(batch.job_id(key.row), attempt=batch.attempts[key.row])


def first_batches(lab: Lab, jobs: int) -> list[str]:
    """The batches that get the next slots at ws1, one after another."""
    order = []
    for _ in range(jobs):
        (event,) = (event for event in lab.decide() if isinstance(event, ev.Assigned))
        lab.happen(event)
        order.append(event.batch)
        free_slot(lab)
    return order


def test_jobs_of_a_batch_run_in_the_order_of_its_file() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(3)))
    assert lab.assign() == {"job1": "ws1", "job2": "ws1"}


def test_higher_priority_goes_first() -> None:
    lab = one_slot()
    for name, priority in (("low", -5), ("normal", 0), ("high", 5)):
        lab.happen(make.submitted(make.batch(batch=name, priority=priority)))
    assert first_batches(lab, 3) == ["high", "normal", "low"]


def test_a_changed_priority_counts() -> None:
    lab = one_slot()
    lab.happen(make.submitted(make.batch(batch="early")), make.submitted(make.batch(batch="late")))
    lab.happen(make.reprioritized(1, of=make.batch(batch="late")))
    assert first_batches(lab, 2) == ["late", "early"]


def test_one_persons_batches_run_in_order_of_submission() -> None:
    lab = one_slot()
    for name in ("a", "c", "b"):
        lab.happen(make.submitted(make.batch(batch=name)))
    assert first_batches(lab, 3) == ["a", "c", "b"]


def test_people_who_used_nothing_go_in_order_of_submission() -> None:
    lab = one_slot()
    lab.happen(make.submitted(make.batch(batch="z"), user="zoe"))
    lab.happen(make.submitted(make.batch(batch="a"), user="ann"))
    assert first_batches(lab, 2) == ["z", "a"]


def test_the_person_who_holds_less_of_the_lab_goes_first() -> None:
    lab = Lab(make.joined(cpus=4))
    lab.happen(make.submitted(make.batch(4, batch="janes"), user="jane"))
    lab.happen(make.submitted(make.batch(4, batch="bobs"), user="bob"))
    made = [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)]
    assert made == ["janes", "bobs", "janes", "bobs"]


def test_running_jobs_and_pending_assignments_count_alike() -> None:
    lab = Lab(make.joined("ws1", cpus=2), make.submitted(make.batch(4, batch="janes"), user="jane"))
    lab.assign()
    lab.happen(make.submitted(make.batch(4, batch="bobs"), user="bob"), make.joined("ws2", cpus=3))
    made = [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)]
    assert made == ["bobs", "bobs", "janes"]


def test_the_fair_share_counts_cores_and_not_jobs() -> None:
    lab = Lab(make.joined(cpus=6))
    wide = make.batch(2, batch="wide", resources=Resources(cpus=3))
    lab.happen(make.submitted(wide, user="jane"), make.submitted(make.batch(9, batch="thin"), user="bob"))
    made = [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)]
    assert made == ["wide", "thin", "thin", "thin"]


def test_past_use_counts() -> None:
    lab = one_slot()
    lab.happen(make.submitted(make.batch(3, batch="janes"), user="jane"))
    lab.assign()
    lab.happen(make.claimed(of("janes")), make.finished(of("janes")), apart_s=DAY_S / 24)
    lab.happen(make.submitted(make.batch(1, batch="bobs"), user="bob"))
    assert first_batches(lab, 3) == ["bobs", "janes", "janes"]


def test_past_use_fades() -> None:
    """Jane used a core for two hours a week ago, Bob one for an hour just now."""
    lab = one_slot()
    lab.happen(make.submitted(make.batch(2, batch="janes"), user="jane"))
    lab.assign()
    lab.happen(make.claimed(of("janes")), make.finished(of("janes")), apart_s=3600)
    lab.happen(make.submitted(make.batch(2, batch="bobs", priority=1), user="bob"), apart_s=7 * DAY_S)
    lab.assign()
    lab.happen(make.claimed(of("bobs")), make.finished(of("bobs")), apart_s=1800)
    lab.happen(make.reprioritized(0, of=make.batch(batch="bobs")))
    assert first_batches(lab, 2) == ["janes", "bobs"]


def test_priority_comes_before_fair_share() -> None:
    lab = Lab(make.joined(cpus=2))
    lab.happen(make.submitted(make.batch(2, batch="urgent", priority=1), user="jane"))
    lab.happen(make.submitted(make.batch(2, batch="normal"), user="bob"))
    made = [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)]
    assert made == ["urgent", "urgent"]
