"""Appends that are sent once others are in the log."""

import asyncio

import pytest

from distribute.core.errors import Conflict
from distribute.core.ids import JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Append, Guard
from distribute.testing import builders as make
from distribute_services.scheduler.in_order import FEW, InOrder

JOB = JobId("lab", "sweep", "job1")


class Sender:
    """Holds what was sent until the test answers."""

    def __init__(self) -> None:
        self.sent: list[tuple[Append, asyncio.Future[int]]] = []
        self.refused: list[tuple[Event, BaseException]] = []
        self.order = InOrder(self._send, lambda append, error: self.refused.append((append.event, error)))

    def _send(self, append: Append) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.sent.append((append, future))
        return future


async def let_callbacks_run() -> None:
    """Each future of a chain takes a turn of the event loop."""
    for _ in range(10):
        await asyncio.sleep(0)


def chain(*behind: tuple[int, ...]) -> list[Append]:
    """Assignments of a batch with `max_running`, each behind others by their numbers."""
    made: list[Append] = []
    for number, before in enumerate(behind, start=1):
        event = make.assigned(f"job{number}", limited=True)
        made.append(Append(event, Guard(0, 5), tuple(made[place].event.id for place in before)))
    return made


async def test_an_append_behind_another_takes_its_sequence_as_guard() -> None:
    sender = Sender()
    first, second = chain((), (0,))
    sender.order.append(first)
    sender.order.append(second)
    assert [append for append, _ in sender.sent] == [first]
    sender.sent[0][1].set_result(17)
    await let_callbacks_run()
    assert sender.sent[1][0] == second._replace(guard=Guard(17, 5))


async def test_an_event_that_the_guard_does_not_cover_is_only_waited_for() -> None:
    sender = Sender()
    released = Append(make.released(), Guard(3))
    assigned = Append(make.assigned(attempt=2, limited=True), Guard(9), (released.event.id,))
    sender.order.append(released)
    sender.order.append(assigned)
    sender.sent[0][1].set_result(17)
    await let_callbacks_run()
    assert sender.sent[1][0].guard == Guard(9)


async def test_what_is_behind_a_refused_append_is_refused_and_never_sent() -> None:
    sender = Sender()
    for append in (appends := chain((), (0,), (1,))):
        sender.order.append(append)
    conflict = Conflict(JOB, 0, beaten_by_seq=4, last_seq=4)
    sender.sent[0][1].set_exception(conflict)
    await let_callbacks_run()
    assert sender.refused == [(append.event, conflict) for append in appends[1:]]
    assert len(sender.sent) == 1


async def test_an_append_may_go_behind_one_that_is_in_the_log_already() -> None:
    sender = Sender()
    first, second = chain((), (0,))
    sender.order.append(first)
    sender.sent[0][1].set_result(17)
    sender.order.forget(lambda event: True)
    sender.order.append(second)
    await let_callbacks_run()
    assert sender.sent[1][0].guard == Guard(17, 5)


async def test_what_is_not_pending_any_more_is_forgotten() -> None:
    sender = Sender()
    first, *others, last = chain(*[()] * FEW, (0,))
    for append in (first, *others):
        sender.order.append(append)
    sender.order.forget(lambda event: False)
    with pytest.raises(KeyError):
        sender.order.append(last)


async def test_what_is_pending_is_looked_at_again_only_once_there_is_twice_as_much() -> None:
    sender = Sender()
    asked: list[Event] = []

    def is_pending(event: Event) -> bool:
        asked.append(event)
        return True

    for number, append in enumerate(chain(*[()] * (2 * FEW)), start=1):
        sender.order.append(append)
        sender.order.forget(is_pending)
        assert len(asked) == (0 if number < FEW else FEW if number < 2 * FEW else 3 * FEW)
