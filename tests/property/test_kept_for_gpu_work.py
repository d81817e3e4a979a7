"""Beside overdue jobs and waiting GPU work, the scheduler places what `explain` says it may place."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import event, given
from hypothesis import strategies as st

from distribute.core.ids import JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.spec.specs import Resources
from distribute.core.state.state import State
from distribute.core.state.usage import OVERDUE_S
from distribute.testing import builders as make
from distribute.testing.builders import GIB
from property.twin_scheduler import Scheduler, nothing_waits_without_reason

NODES = {"gpu": ("a", "b"), "other": ("a",), "plain": ()}


class Work(NamedTuple):
    """A batch: whose it is, what its jobs need, how many there are, and whether they are overdue."""

    user: str
    cpus: int
    memory: int
    gpus: int
    jobs: int
    priority: int
    is_old: bool


def works(users: str, gpus: int, cpus: int, is_old: bool | None = None) -> st.SearchStrategy[Work]:
    return st.builds(
        Work,
        user=st.sampled_from(users.split()),
        cpus=st.integers(1, cpus),
        memory=st.sampled_from([0, 0, 4, 8, 12]),
        gpus=st.just(gpus),
        jobs=st.integers(1, 3),
        priority=st.sampled_from([0, 0, 0, 1]),
        is_old=st.booleans() if is_old is None else st.just(is_old),
    )


OVERDUE, OF_GPUS, SMALL = works("jane", 0, 6, is_old=True), works("ann", 1, 6), works("bob jane carl", 0, 2)


class Lab:
    """A scheduler that reads a log."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(State())
        self.now, self.seq = make.EPOCH.timestamp(), 0

    def happen(self, *events: Event, apart_s: float = 1.0) -> None:
        for one in events:
            self.now, self.seq = self.now + apart_s, self.seq + 1
            self.scheduler.agenda.fold(Recorded(self.seq, self.now, one))

    def submit(self, number: int, work: Work) -> None:
        needs = Resources(cpus=work.cpus, memory_bytes=work.memory * GIB, gpus=work.gpus)
        spec = make.batch(work.jobs, batch=f"b{number}", resources=needs, priority=work.priority)
        self.happen(make.submitted(spec, work.user))


@given(
    names=st.sets(st.sampled_from(sorted(NODES)), min_size=1),
    used=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 14)), min_size=3, max_size=3),
    waiting=st.tuples(
        st.lists(OVERDUE, min_size=1, max_size=2),
        st.lists(OF_GPUS, min_size=1, max_size=3),
        st.lists(SMALL, min_size=1, max_size=3),
    ).map(lambda parts: [work for part in parts for work in part]),
)
def test_what_is_placed_is_what_may_be_placed(
    names: set[str], used: list[tuple[int, int]], waiting: list[Work]
) -> None:
    lab = Lab()
    for name, (cpus, memory) in zip(sorted(names), used, strict=False):
        lab.happen(make.joined(name, cpus=8, memory_bytes=16 * GIB, gpus=NODES[name]))
        before = make.batch(1, batch=f"at-{name}", resources=Resources(cpus=cpus, memory_bytes=memory * GIB))
        job = JobId("lab", f"at-{name}", "job1")
        lab.happen(make.submitted(before), make.assigned(job, name, cpus=cpus, memory_bytes=memory * GIB))
        lab.happen(make.claimed(job, name), make.started(job, name), make.drain_requested(name))
    for number, work in enumerate(waiting):
        if work.is_old:
            lab.submit(number, work)
    lab.happen(make.drain_requested(min(names)), apart_s=OVERDUE_S + 1)
    for number, work in enumerate(waiting):
        if not work.is_old:
            lab.submit(number, work)
    lab.happen(*map(make.undrained, sorted(names)))
    lab.scheduler.decide(lab.now, names)
    assert not lab.scheduler.decide(lab.now, names)
    nothing_waits_without_reason(lab.scheduler.agenda)
    if any(reservation.claims for reservation in lab.scheduler.agenda.reserved.values()):
        event("a node is kept for overdue work")
