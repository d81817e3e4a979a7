"""What is told of a batch, a job and a node, and what of it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from distribute.core.folding.work import marked
from distribute.core.ids import JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.projections.bursts import FEW, Bursts, Line
from distribute.core.projections.history import BatchHistory, JobHistory, NodeHistory, Told
from distribute.core.telling.wording import Wording
from distribute.testing import builders as make

SPEC = make.batch(2)
JOB = JobId(*SPEC.id, "job1")
WORDING = Wording(lambda time: f"{time:%H:%M}", SPEC.id)

ENDED: list[Event] = [
    make.submitted(SPEC), make.kill_requested(), make.completed(state="killed"), make.deleted()
]  # fmt: skip


def told_of_batch(*events: Event, apart_s: float = 1.0) -> list[Told]:
    history = BatchHistory(SPEC.id, WORDING)
    return [history.tell(recorded) for recorded in make.record(events, apart_s=apart_s)]


def told_of_job(*events: Event) -> list[str]:
    history = JobHistory(JOB, WORDING)
    told = [history.tell(recorded) for recorded in make.record(events)]
    assert history.is_sure
    return [one.sentence for one in told if one is not None]


def told_of_node(*events: Event) -> list[tuple[str, str | None]]:
    history = NodeHistory("ws1", WORDING)
    return [(one.sentence, one.misfit) for one in map(history.tell, make.record(events))]


def in_lines(told: Iterable[Told]) -> list[Line]:
    bursts = Bursts()
    return [*(line for one in told for line in bursts.take(one)), *bursts.rest()]


def test_what_the_fold_refuses_is_told_with_why() -> None:
    told = told_of_batch(
        make.submitted(SPEC),
        make.started("job1"),
        make.assigned("job1"),
        make.deleted(),
        make.submitted(SPEC),
    )
    assert [(one.sentence, one.misfit) for one in told] == [
        ("jane submitted lab/sweep: 2 jobs", None),
        ("job1 started on ws1", "the job is queued"),
        ("job1 was assigned to ws1", None),
        ("jane deleted lab/sweep", "the batch is not over"),
        ("jane submitted lab/sweep: 2 jobs", "this batch exists"),
    ]


def test_the_fold_adds_how_many_jobs_ended_how_and_that_one_was_killed() -> None:
    killed: dict[str, Any] = {"succeeded": False, "reason": "killed by bob", "outputs": None}
    told = told_of_batch(
        make.submitted(SPEC), make.assigned("job1"), make.claimed("job1"), make.started("job1"),
        make.kill_requested(by="bob"), make.finished("job1", **killed), make.completed(state="killed"),
    )  # fmt: skip
    assert all(one.misfit is None for one in told)
    assert [one.sentence for one in told][-2:] == [
        "job1 was killed on ws1 after 1m: killed by bob",
        "lab/sweep is over: 2 killed",
    ]


def test_of_a_batch_that_is_replaced_while_it_runs_it_is_told_what_is_kept_and_what_goes_on() -> None:
    spec = make.batch(4)
    first = make.submitted(spec)
    does = (make.assigned, make.claimed, make.started)
    begun = [do(name) for name in ("job1", "job2", "job3") for do in does]
    over: list[Event] = [make.finished("job3"), make.job_archived("job3"), make.held(submission=first.id)]
    second = make.submitted(marked(spec, frozenset({"job1", "job2", "job3"})), replaces=first.id)
    of_batch = told_of_batch(first, *begun, *over, second)
    assert {one.misfit for one in of_batch} == {None}
    assert of_batch[-1].sentence == "jane replaced lab/sweep: 4 jobs, of which 1 is kept, 2 go on"
    told = {}
    for name in ("job1", "job3", "job4"):
        history = JobHistory(JobId(*spec.id, name), WORDING)
        told[name] = [history.tell(one) for one in make.record([first, *begun, *over, second])][-1]
    assert {name: one.sentence.rpartition(", ")[2] for name, one in told.items() if one is not None} == {
        "job1": "of which this one goes on",
        "job3": "of which this one is kept",
        "job4": "of which this one runs",
    }


def test_a_job_is_told_of_itself_its_batch_and_the_builds_on_its_node() -> None:
    spec = make.batch(2, build="make")
    assert told_of_job(
        make.submitted(spec), make.build_started("ws1"), make.build_finished("ws1"),
        make.assigned("job2", "ws2"), make.assigned("job1", "ws1"), make.claimed("job1", "ws1"),
        make.build_started("ws2"), make.build_started("ws1"), make.kill_requested(job="job2"),
        make.kill_requested(job="job1", by="bob"),
    ) == [
        "jane submitted lab/sweep: 2 jobs",
        "job1 was assigned to ws1",
        "job1 was claimed by ws1",
        "lab/sweep is being built on ws1",
        "bob kills job1",
    ]  # fmt: skip


def test_a_batch_of_the_name_that_lacks_the_job_is_left_out() -> None:
    lacks = make.batch([make.job("other")])
    ended: list[Event] = [make.kill_requested(), make.completed(state="killed"), make.deleted()]
    assert told_of_job(make.submitted(lacks), *ended, *ENDED, make.submitted(lacks), *ended) == [
        "jane submitted lab/sweep: 2 jobs",
        "jane kills lab/sweep",
        "lab/sweep is over: killed",
        "jane deleted lab/sweep",
    ]


def test_a_jobs_own_events_do_not_always_tell_whether_its_batch_accepted_an_end() -> None:
    history = JobHistory(JOB, WORDING)
    alone = make.batch([make.job("job1")])
    ends = [make.completed(state="killed"), make.completed(state="killed")]
    for recorded in make.record([make.submitted(alone), make.kill_requested(), *ends]):
        history.tell(recorded)
    assert not history.is_sure


def test_a_node_is_told_with_how_long_it_was_away() -> None:
    has = "4 cpus, 8G of memory"
    told = told_of_node(
        make.joined(incarnation="first"), make.joined(incarnation="first"), make.lost(), make.lost(),
        make.joined(incarnation="first"), make.joined(incarnation="second"),
        make.left(incarnation="first"), make.left(incarnation="second"), make.joined(),
    )  # fmt: skip
    assert told == [
        (f"node ws1 joined: {has}", None),
        (f"node ws1 is back: {has}", None),
        ("node ws1 is lost: silent for 1m1s", None),
        ("node ws1 is lost: silent for 1m1s", "the node is lost"),
        ("node ws1 is back after 1m3s", None),
        (f"node ws1 has restarted: {has}", None),
        ("node ws1 left", "it is of the runner first, and second has joined since"),
        ("node ws1 left", None),
        (f"node ws1 joined: {has}", None),
    ]


def batch_of(jobs: int) -> list[Event]:
    """A batch of which each job fails."""
    spec = make.batch(jobs)
    names = [job.name for job in spec.work.jobs]
    begin: list[Event] = [make.submitted(spec), *map(make.assigned, names), *map(make.claimed, names)]
    failed = (make.finished(name, succeeded=False, outputs=None) for name in names)
    return [*begin, *failed, make.completed(state="failed")]


def test_events_that_are_alike_are_told_together_between_what_is_done_to_the_batch() -> None:
    lines = in_lines(told_of_batch(*batch_of(12), apart_s=0.5))
    names = "job1, job2, job3, job4, job5 and 7 more"
    assert [(line.sentence, line.events) for line in lines] == [
        ("jane submitted lab/sweep: 12 jobs", 1),
        ("12 jobs were assigned to ws1, within 6s", 12),
        ("12 jobs were claimed by ws1, within 6s", 12),
        (f"12 jobs failed on ws1: exit code 1 ({names}), within 6s", 12),
        ("lab/sweep is over: 12 failed", 1),
    ]
    assert [line.seq for line in lines] == [1, 2, 14, 26, 38]


def test_a_few_events_are_told_one_by_one() -> None:
    events = batch_of(FEW)
    assert len(in_lines(told_of_batch(*events))) == len(events)


def test_a_burst_ends_in_time_and_a_longer_one_comes_later() -> None:
    spec = make.batch(400)
    events: list[Event] = [make.submitted(spec), *(make.assigned(job.name) for job in spec.work.jobs)]
    lines = in_lines(told_of_batch(*events, apart_s=10.0))
    lasted = [line.until - line.time for line in lines[1:]]
    assert lasted[0] == 60.0
    assert lasted[:-1] == sorted(lasted[:-1])
    assert max(lasted) > 1000
    assert sum(line.events for line in lines[1:]) == 400


def test_a_refused_event_is_told_alone_in_the_midst_of_a_burst() -> None:
    spec = make.batch(6)
    names = [job.name for job in spec.work.jobs]
    events: list[Event] = [
        make.submitted(spec),
        *map(make.assigned, names),
        make.assigned("job1"),
        *map(make.claimed, names),
    ]
    assert [(line.events, line.misfit is None) for line in in_lines(told_of_batch(*events))] == [
        (1, True),
        (6, True),
        (1, False),
        (6, True),
    ]


def test_the_pauses_of_many_nodes_make_few_lines() -> None:
    """People sit at workstations all day, and a batch of hours has jobs on all of them."""
    histories = [NodeHistory(f"ws{number}", WORDING) for number in range(8)]
    steps: tuple[Callable[[str], Event], ...] = (make.joined, make.paused, make.resumed)
    told = [
        history.tell(Recorded(8 * step + number + 1, float(step), happens(history.node)))
        for step, happens in enumerate(steps)
        for number, history in enumerate(histories)
    ]
    lines = in_lines(told)
    some = "nodes ws0, ws1, ws2, ws3, ws4 and 3 more"
    assert [line.sentence.partition(", within")[0] for line in lines] == [
        f"{some}: joined or came back",
        f"{some}: paused",
        f"{some}: lent again",
    ]


def test_another_batch_of_the_name_begins_a_new_part() -> None:
    lines = in_lines(told_of_batch(*ENDED, make.submitted(SPEC)))
    assert [line.begins for line in lines] == [True, False, False, False, True]


def test_a_burst_is_of_the_batch_that_is_there_by_then() -> None:
    """The age of an earlier batch of the name makes no burst of the next one longer."""
    later = make.EPOCH + timedelta(days=30)
    spec = make.batch(20)
    again: list[Event] = [make.submitted(spec), *(make.assigned(job.name) for job in spec.work.jobs)]
    history = BatchHistory(SPEC.id, WORDING)
    records = [
        *make.record(ENDED),
        *(Recorded(5 + n, later.timestamp() + 10 * n, event) for n, event in enumerate(again)),
    ]
    lines = in_lines(map(history.tell, records))
    assert [line.events for line in lines[5:]] == [7, 7, 6]
