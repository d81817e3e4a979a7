"""`Executor`: a `concurrent.futures.Executor` whose calls are done by the nodes of a cluster."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor as FuturesExecutor
from concurrent.futures import Future
from concurrent.futures import thread as _thread  # noqa: F401 - it must be imported before we register
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from pydantic import ValidationError

from distribute.client.person import this_person
from distribute.config.sections.units import parse_duration, parse_size
from distribute.config.settings.where import resolve_server
from distribute.core.errors import InputError
from distribute.core.ids import ulid
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, Resources
from distribute.executor.batches import Needs
from distribute.executor.calls import Call
from distribute.executor.courier import Courier
from distribute.executor.pickling import pickled_arguments, pickled_call

if TYPE_CHECKING:
    from typing import Self

P = ParamSpec("P")
T = TypeVar("T")


class Executor(FuturesExecutor):
    """Runs functions on the nodes of a cluster: `with distribute.Executor() as pool: pool.map(f, xs)`.

    It is a `concurrent.futures.Executor`: its futures work with `as_completed`, `wait` and asyncio. Functions
    and arguments are sent by cloudpickle to nodes that have the Python of this program, in its minor version.
    A function may run more than once, if its node is lost; its future gets one result.

    Args:
        cpus: the share of a node that a call gets, with `memory` and `gpus`.
        memory: bytes, or a size such as `"2G"`.
        gpus: how many.
        timeout: how long a call may take, in seconds, or as in `"1h30m"`.
        retries: how often a call is tried again whose Python was killed or crashed. What a function raises is
            its result.
        priority: of its batches; higher first.
        capabilities: what nodes must have beside the Python.
        env: environment variables of its jobs.
        name: begins the names of its batches: NAMESPACE/NAME-ID-NUMBER. None: the program's name.
        namespace: of its batches. None: your login.
        keep: keep the batches, with what functions printed. Else each is deleted when all of its calls are
            done; one with a job that ended badly stays.
        server: the cluster's address. None: as the command line finds it.
        creds: the file of credentials.

    Raises:
        InputError: an argument is wrong.
        Unreachable: no cluster answers.
        Refused: no node has the Python of this program, or what a call needs.
    """

    def __init__(
        self,
        cpus: int = 1,
        memory: int | str | None = None,
        gpus: int = 0,
        *,
        timeout: float | str | None = None,
        retries: int = 0,
        priority: int = 0,
        capabilities: Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        namespace: str | None = None,
        keep: bool = False,
        server: str | None = None,
        creds: str | os.PathLike[str] | None = None,
    ) -> None:
        from distribute.nats.client.connect import Address

        person = this_person()
        needs = _needs(
            {"cpus": cpus, "memory": memory, "gpus": gpus},
            namespace=person.name if namespace is None else namespace,
            name=f"{_program() if name is None else name}-{_token()}",
            capabilities=frozenset(capabilities),
            timeout=timeout,
            retries=retries,
            priority=priority,
            env=dict(env or {}),
        )
        found = resolve_server(server, None if creds is None else Path(creds))
        self._pid = os.getpid()
        self._needs = needs
        address = Address.of(found.server, found.creds, found.source)
        self._courier = Courier(address, person, needs, keeps=keep)
        self._courier.start()
        _couriers[self._courier] = self._pid
        weakref.finalize(self, _close, self._courier, self._pid).atexit = False

    @property
    def name(self) -> str:
        """With what the names of its batches begin: NAMESPACE/NAME-ID."""
        return f"{self._needs.namespace}/{self._needs.name}"

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a function called on a node. What can't be pickled makes the future fail.

        Raises:
            RuntimeError: the executor was shut down, or this process was forked from the one that made it.
        """
        (future,) = self._submitted([_call(fn, args, kwargs)])
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
    ) -> Iterator[T]:
        """Call a function with the items of the iterables, and yield the results in order, as they come.

        Args:
            fn: the function.
            iterables: read at once, and as far as the shortest goes.
            timeout: the seconds, from now, after which to wait for a result raises `TimeoutError`.
            chunksize: how many calls are one job. None: one, or more if the first show that all are quick.

        Raises:
            ValueError: `chunksize` is less than 1.
            RuntimeError: as `submit`.
        """
        if chunksize is not None and chunksize < 1:
            raise ValueError(f"chunksize must be 1 or more, not {chunksize}")
        self._check_process()
        end = None if timeout is None else time.monotonic() + timeout
        futures, calls = self._calls(fn, zip(*iterables, strict=False), chunksize)
        self._courier.put(calls)
        return _results(futures, end)

    def submit_together(
        self, calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]]
    ) -> list[Future[Any]]:
        """Have functions called one after another, as one job. Each call is a function with its arguments.

        Raises:
            RuntimeError: as `submit`.
        """
        return self._submitted([_call(*each, together=len(calls)) for each in calls])

    def slots(self) -> int:
        """How many calls the nodes that are here now can do at once, by their cpus.

        Raises:
            RuntimeError: the executor was shut down, or this process was forked.
        """
        self._check_process()
        return self._courier.slots()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. `wait` until those that were taken are done.

        `cancel_futures`: cancel the calls that no node has begun.
        """
        if os.getpid() != self._pid:
            return  # it is the parent's
        self._courier.close()
        if cancel_futures:
            self._courier.cancel_all()
        if wait:
            self._courier.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut down. If the program was interrupted or exits, nobody wants results: all calls are killed."""
        if kind is not None and not issubclass(kind, Exception) and os.getpid() == self._pid:
            self._courier.abandon()
        self.shutdown()

    def _submitted(self, calls: Sequence[Call]) -> list[Future[Any]]:
        """Send those calls that could be pickled. Returns the futures of all."""
        self._check_process()
        self._courier.put([call for call in calls if not call.future.done()])
        return [call.future for call in calls]

    def _calls(
        self, fn: Callable[..., T], arguments: Iterable[tuple[Any, ...]], chunksize: int | None
    ) -> tuple[list[Future[T]], list[Call]]:
        """The futures of calls, and those calls that could be pickled."""
        futures: list[Future[T]] = []
        calls: list[Call] = []
        failure: Exception | None = None
        function = b""
        try:
            function = pickled_call(fn)
        except Exception as error:  # noqa: BLE001 - as of other executors, the futures raise it
            failure = error
        for each in arguments:
            future: Future[T] = Future()
            futures.append(future)
            if failure is not None:
                future.set_exception(failure)
                continue
            try:
                calls.append(Call(future, function, pickled_arguments(fn, each, {}), chunksize))
            except Exception as error:  # noqa: BLE001 - its future raises it
                future.set_exception(error)
        return futures, calls

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(
                "this Executor was made before this process was forked, and its connection is the parent's: "
                "make one here"
            )


def _call(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], together: int | None = None
) -> Call:
    """A call. If it can't be pickled, its future has failed."""
    future: Future[Any] = Future()
    try:
        return Call(future, pickled_call(fn), pickled_arguments(fn, args, kwargs), together)
    except Exception as error:  # noqa: BLE001 - as of other executors, its future raises it
        future.set_exception(error)
        return Call(future, b"", b"")


def _results(futures: list[Future[T]], end: float | None) -> Iterator[T]:
    """Yield results in order. If nobody wants the others any more, they are cancelled."""
    try:
        futures.reverse()
        while futures:
            future = futures.pop()  # so that no result is held once it was yielded
            try:
                yield future.result(None if end is None else max(0.0, end - time.monotonic()))
            finally:
                future.cancel()
                del future
    finally:
        for left in futures:
            left.cancel()


def _needs(resources: Mapping[str, Any], *, timeout: float | str | None, **others: Any) -> Needs:
    """What calls need, checked as a batch is.

    Raises:
        InputError: something in it is wrong.
    """
    try:
        memory = resources["memory"]
        memory_bytes = parse_size(memory) if isinstance(memory, str) else memory or 0
        timeout_s = parse_duration(timeout) if isinstance(timeout, str) else timeout
        asked = Resources(cpus=resources["cpus"], memory_bytes=memory_bytes, gpus=resources["gpus"])
        needs = Needs(resources=asked, timeout_s=timeout_s, **others)
        BatchSpec(
            namespace=needs.namespace,
            batch=f"{needs.name}-1",
            capabilities=needs.python,
            env=dict(needs.env),
            retries=needs.retries,
            priority=needs.priority,
            timeout_s=needs.timeout_s,
            work=CommandWork(jobs=(CommandJob(name="one", command="true"),)),
        )
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InputError(*(f"Executor: {problem}" for problem in problems)) from error
    except ValueError as error:
        raise InputError(f"Executor: {error}") from error
    return needs


def _program() -> str:
    """What this program is called, for the names of batches."""
    path = Path(sys.argv[0] if sys.argv else "")
    name = path.parent.name if path.stem == "__main__" else path.stem
    name = name.lstrip("-_.")[:60]
    return name if len(name) > 1 and name.isprintable() else "python"  # `python -c` is called -c


def _token() -> str:
    """Tells this executor from others of its name."""
    return ulid(time.time_ns() // 1_000_000, os.urandom(10))[-6:].lower()


_couriers: weakref.WeakKeyDictionary[Courier, int] = weakref.WeakKeyDictionary()
"""With the processes that made them. A courier is kept by its thread, until that has ended."""


def _close(courier: Courier, pid: int) -> None:
    """Let a courier end once its calls are done, unless it is that of a process from which we were forked."""
    if os.getpid() == pid:
        courier.close()


def _await_all() -> None:
    """Wait for the calls of executors that nobody has shut down, as other executors do at the end."""
    for courier, pid in list(_couriers.items()):
        if os.getpid() == pid:
            courier.close()
            courier.join()


# As the executors of the standard library do: later, at `atexit`, no thread can begin work any more. What was
# registered last runs first: so it must be after that of `concurrent.futures.thread`, which our loop uses.
getattr(threading, "_register_atexit", atexit.register)(_await_all)
