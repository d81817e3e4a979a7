"""The simulator's event loop: virtual time, one order, no lost exception."""

import asyncio
import contextlib
import gc

import pytest

from distribute.sim.loop import NothingLeft, VirtualLoop
from distribute.sim.loop_tasks import OWNER


class DeadProcess:
    alive = False

    def owns(self, task: asyncio.Task[object]) -> None:
        """It is dead."""


def test_the_clock_jumps_to_the_next_timer() -> None:
    loop = VirtualLoop(1)

    async def wait() -> list[float]:
        moments = [loop.now]
        await asyncio.sleep(3600)
        moments.append(loop.now)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        return [*moments, loop.now]

    assert loop.run_until_complete(wait()) == [0.0, 3600.0, 3605.0]
    loop.close()


def test_timers_of_one_moment_fire_in_the_order_of_their_calls() -> None:
    loop = VirtualLoop(1)
    seen: list[int] = []

    async def note(number: int) -> None:
        await asyncio.sleep(1)
        seen.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*map(note, range(50)))

    loop.run_until_complete(all_of_them())
    assert seen == list(range(50))
    loop.close()


def test_sets_of_tasks_have_a_fixed_order() -> None:
    """The order must not depend on addresses, because services cancel sets of tasks."""

    def order() -> list[str]:
        loop = VirtualLoop(1)

        async def tasks() -> list[str]:
            some = {asyncio.create_task(asyncio.sleep(1), name=str(number)) for number in range(40)}
            found = [task.get_name() for task in some]
            await asyncio.wait(some)
            return found

        found = loop.run_until_complete(tasks())
        loop.close()
        return found

    kept_alive = [order() for _ in range(3)]
    assert kept_alive[0] == kept_alive[1] == kept_alive[2]


def test_work_for_a_thread_takes_virtual_time() -> None:
    loop = VirtualLoop(1)
    loop.thread_delay_s = lambda: 2.5

    async def work() -> tuple[int, float]:
        return await asyncio.to_thread(lambda: 7), loop.now

    assert loop.run_until_complete(work()) == (7, 2.5)
    loop.close()


def test_an_exception_that_nobody_handles_ends_the_run() -> None:
    loop = VirtualLoop(1)

    async def fail() -> None:
        raise ValueError("late")

    async def forget() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(1)
        del task
        gc.collect()
        await asyncio.sleep(1)

    with pytest.raises(ValueError, match="late"):
        loop.run_until_complete(forget())
    loop.close()


def test_an_exception_in_a_callback_ends_the_run() -> None:
    loop = VirtualLoop(1)

    async def wait() -> None:
        loop.call_later(1, lambda: [][0])
        await asyncio.sleep(2)

    with pytest.raises(IndexError):
        loop.run_until_complete(wait())
    loop.close()


def test_exceptions_of_a_killed_process_do_not_count() -> None:
    loop = VirtualLoop(1)

    async def wait() -> None:
        OWNER.set(DeadProcess())
        loop.call_later(1, lambda: [][0])
        await asyncio.sleep(2)

    loop.run_until_complete(wait())
    assert not loop.faults
    loop.close()


def test_a_wait_for_ever_is_detected() -> None:
    loop = VirtualLoop(1)
    with pytest.raises(NothingLeft):
        loop.run_until_complete(asyncio.Event().wait())
    loop.end_tasks(1)
    loop.close()


async def stubborn(cancels: int) -> None:
    """Go on until cancelled so many times, as one does that waits for others in its `finally`."""
    for _ in range(cancels - 1):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


def test_a_task_that_goes_on_when_cancelled_is_cancelled_again() -> None:
    loop = VirtualLoop(1)
    tasks = [loop.create_task(stubborn(cancels)) for cancels in (1, 2, 3)]
    loop.call_later(5, loop.stop)
    loop.run_forever()
    loop.end_tasks(1)
    assert [task.cancelled() for task in tasks] == [True] * 3
    loop.close()


def test_a_task_that_never_ends_is_named() -> None:
    loop = VirtualLoop(1)
    task = loop.create_task(stubborn(100))
    loop.call_later(5, loop.stop)
    loop.run_forever()
    with pytest.raises(RuntimeError, match=r"cancelled 10 times, and go on: .*stubborn"):
        loop.end_tasks(1)
    while not task.done():
        task.cancel()
        loop.call_later(1, loop.stop)
        loop.run_forever()
    loop.close()
