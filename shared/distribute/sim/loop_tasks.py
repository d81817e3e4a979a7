"""What a virtual loop runs: handles, and futures and tasks that know their process.

Tasks and futures hash by their number, not by their address, so that sets of them have the same order in
every process.
"""

from __future__ import annotations

import asyncio
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")


class NumberingLoop(asyncio.AbstractEventLoop, ABC):
    """A loop that numbers what runs on it."""

    @abstractmethod
    def next_number(self) -> int:
        """A number that this loop gives only once."""


class Owner(Protocol):
    """The simulated process that a task belongs to."""

    @property
    def alive(self) -> bool: ...

    def owns(self, task: asyncio.Task[Any]) -> None:
        """A task of this process was created."""


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)
"""The process whose code is running. Tasks inherit it from the task that creates them."""


class OwnedFuture(asyncio.Future[T]):
    """A future that knows its process. It gets its number when it is first hashed: most never are."""

    __slots__ = ("number", "owner")

    number: int
    owner: Owner | None

    def __hash__(self) -> int:
        try:
            return self.number
        except AttributeError:
            self.number = cast(NumberingLoop, self.get_loop()).next_number()
            return self.number


class OwnedTask(asyncio.Task[T]):
    """A task that knows its process, and its number from the start."""

    __slots__ = ("number", "owner")

    def __init__(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        loop: NumberingLoop,
        name: str | None,
        context: Context | None,
    ) -> None:
        self.number = loop.next_number()
        self.owner = OWNER.get()
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self.number


class Tasks:
    """The tasks that something has begun. It does not keep them: whoever forgets one that fails is told."""

    def __init__(self) -> None:
        self._tasks: list[weakref.ref[asyncio.Task[Any]]] = []
        self._tidy_at = 64

    def add(self, task: asyncio.Task[Any]) -> None:
        self._tasks.append(weakref.ref(task))
        if len(self._tasks) > self._tidy_at:
            self._tasks = [weakref.ref(task) for task in self.running()]
            self._tidy_at = 2 * len(self._tasks) + 64

    def running(self) -> list[asyncio.Task[Any]]:
        """Those that are not done, in the order in which they began."""
        return [task for known in self._tasks if (task := known()) is not None and not task.done()]


class Handle(asyncio.TimerHandle):
    """A callback to run, soon or at a time."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(
        self, when: float, callback: Callable[..., object], args: Sequence[Any], context: Context | None
    ) -> None:
        # The base class reads the debug mode and makes a hash of the time: neither is wanted here.
        self._when = when
        self.callback = callback
        self.args = args
        self.context = context if context is not None else copy_context()
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled
