"""An asyncio event loop with virtual time: the clock jumps to the next timer, and a seed decides the rest.

It has no threads and does no I/O. Whatever runs on it runs in the same order every time: timers of one
moment fire in the order in which they were set. What runs is in `loop_tasks`.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from itertools import count
from random import Random
from typing import Any, TypeVar, TypeVarTuple, Unpack

from distribute.sim.loop_tasks import OWNER, Handle, NumberingLoop, OwnedFuture, OwnedTask, Owner, Tasks

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Action = Callable[[], object]

MAX_CANCELS = 10
"""How often `end_tasks` cancels a task that goes on."""


class NothingLeft(RuntimeError):
    """Every task waits, and no timer is set: nothing can ever happen again."""


class VirtualLoop(asyncio.BaseEventLoop, NumberingLoop):
    """The loop. `now` is in virtual seconds since its start."""

    def __init__(self, seed: int) -> None:
        self._is_running = False
        super().__init__()
        self.random = Random(seed)
        self.now = 0.0
        self.faults: list[BaseException] = []
        """Exceptions that nobody handled, in tasks and callbacks of living processes."""
        self.thread_delay_s: Callable[[], float] = lambda: 0.0
        """How long the next piece of work handed to a thread takes."""
        self._numbers = count(1)
        self._soon: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle | Action]] = []
        self._is_stopping = False
        self._is_ending = False
        self._generators: set[AsyncGenerator[Any, Any]] = set()
        self._tasks = Tasks()
        """All of them. `asyncio.all_tasks` looks through those of other loops, too."""

    # --- for the simulated world ---

    def at(self, moment: float, action: Action) -> None:
        """Call `action` at a moment. What it raises is raised by `run_forever`."""
        heapq.heappush(self._timers, (moment, next(self._numbers), action))

    def after(self, delay_s: float, action: Action) -> None:
        """Call `action` after a delay."""
        heapq.heappush(self._timers, (self.now + delay_s, next(self._numbers), action))

    def chance(self, probability: float) -> bool:
        """Draw whether something of this probability happens."""
        return self.random.random() < probability

    def next_number(self) -> int:
        """A number that this loop gives only once."""
        return next(self._numbers)

    def forget_actions(self) -> None:
        """Drop all actions of `at` and `after`. Timers of tasks stay."""
        self._timers[:] = [timer for timer in self._timers if isinstance(timer[2], Handle)]
        heapq.heapify(self._timers)

    # --- running ---

    def run_forever(self) -> None:
        """Run until `stop` is called or something is in `faults`.

        Raises:
            NothingLeft: everything waits for ever.
        """
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._generators.add, finalizer=self._end_generator)
        asyncio._set_running_loop(self)
        self._is_running = True
        try:
            self._run()
        finally:
            self._is_stopping = self._is_running = False
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def _run(self) -> None:
        """Run whatever is to run soon; if there is nothing, fire the next timer. All inline: it is hot."""
        soon, timers, faults = self._soon, self._timers, self.faults
        while not (self._is_stopping or faults):
            if soon:
                handle = soon.popleft()
            elif timers:
                moment, _, due = heapq.heappop(timers)
                if moment > self.now:
                    self.now = moment
                if not isinstance(due, Handle):
                    due()
                    continue
                handle = due
            else:
                raise NothingLeft(f"nothing is left to happen after {self.now:.3f} s")
            if handle.is_cancelled:
                continue
            try:
                handle.context.run(handle.callback, *handle.args)
            except Exception as error:  # noqa: BLE001  # a callback has nobody who could handle it
                self._fault(handle.context.get(OWNER), error)

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """Run until `future` is done, and return its result.

        Raises:
            NothingLeft: it will never be done.
        """
        task: asyncio.Future[T] = asyncio.ensure_future(future, loop=self)  # type: ignore[arg-type]  # as in asyncio

        def stop(_: object) -> None:
            self.stop()

        task.add_done_callback(stop)
        try:
            self.run_forever()
        finally:
            task.remove_done_callback(stop)
        if not task.done():
            raise self.faults[0]
        return task.result()

    def end_tasks(self, patience_s: float) -> None:
        """Cancel every task, and again after `patience_s` what has not ended: it may wait for another task.

        Faults are forgotten, and from now on there are none: what is killed throws its tasks away.

        Raises:
            RuntimeError: a task was cancelled many times, and goes on.
        """
        self._is_ending = True
        self.faults.clear()
        cancels = 0
        while left := self._tasks.running():
            if cancels == MAX_CANCELS:
                raise RuntimeError(f"these tasks were cancelled {cancels} times, and go on: {left}")
            cancels += 1
            for task in left:
                task.cancel()
            self.run_until_complete(asyncio.wait(left, timeout=patience_s))

    def stop(self) -> None:
        self._is_stopping = True

    def is_running(self) -> bool:
        return self._is_running

    def close(self) -> None:
        super().close()
        self._soon.clear()
        self._timers.clear()

    async def shutdown_asyncgens(self) -> None:
        for generator in list(self._generators):
            await generator.aclose()

    async def shutdown_default_executor(self) -> None:
        """There is none."""

    def _end_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators.discard(generator)
        if not self.is_closed():
            self.create_task(generator.aclose())

    # --- callbacks ---

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = Handle(self.now, callback, args, context)
        self._soon.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = Handle(when, callback, args, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def time(self) -> float:
        return self.now

    # --- futures, tasks, threads ---

    def create_future(self) -> asyncio.Future[Any]:
        future: OwnedFuture[Any] = OwnedFuture(loop=self)
        future.owner = OWNER.get()
        return future

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task = OwnedTask(coro, self, None if name is None else str(name), context)
        self._tasks.add(task)
        if task.owner is not None:
            task.owner.owns(task)
        return task

    def run_in_executor(
        self, executor: object, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run `func` on this thread, all at once, after `thread_delay_s()`."""
        done: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if done.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001  # whoever awaits `done` handles it
                done.set_exception(error)
            else:
                done.set_result(result)

        self.call_later(self.thread_delay_s(), work)
        return done

    # --- errors ---

    get_debug = staticmethod(bool)
    """It gives False. Every future asks for it, so it costs no call of a Python function."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Remember an exception that nobody handled, such as that of a task which nobody awaits."""
        source, error = context.get("task") or context.get("future"), context.get("exception")
        owner = source.owner if isinstance(source, OwnedTask | OwnedFuture) else None
        self._fault(owner, error if isinstance(error, BaseException) else RuntimeError(context["message"]))

    def _fault(self, owner: Owner | None, error: BaseException) -> None:
        if not (self.is_closed() or self._is_ending) and (owner is None or owner.alive):
            self.faults.append(error)
