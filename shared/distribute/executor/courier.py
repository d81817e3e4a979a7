"""The thread of an executor: its event loop, its connection to the cluster, and the batches under way."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from itertools import count, groupby
from typing import TYPE_CHECKING, Any

from distribute.core.errors import JobFailed
from distribute.core.spec.specs import MAX_JOBS
from distribute.executor.batch_run import BatchRun
from distribute.executor.grouping import PROBES, jobs_of
from distribute.executor.nodes import check_nodes, slots
from distribute.executor.probe import Ears, Probe
from distribute.scratch import scratch_folder

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.executor.batches import Needs
    from distribute.executor.calls import Call
    from distribute.nats.client.connect import Address
    from distribute.ports import Cluster

_log = logging.getLogger(__name__)

QUIET_S = 0.005
LONGEST_BURST_S = 0.05
"""Calls are submitted together that come within `QUIET_S` of each other, up to `LONGEST_BURST_S`."""
KILL_AFTER_S = 0.01
"""Calls that are cancelled within so short a time are killed together."""
SLOTS_HOLD_S = 10.0
"""So long we believe what the nodes said they can run at once."""
MAX_KNOWN = 1000
"""Of so many functions we remember how long they take."""


class Courier:
    """Takes calls from any thread, and sees that their futures get what becomes of them.

    Its own thread has an event loop and a connection. It ends after `close`, once no call is open.
    """

    def __init__(self, address: Address, person: Person, needs: Needs, *, keeps: bool) -> None:
        self._address = address
        self._person = person
        self._needs = needs
        self._keeps = keeps
        self._numbers = count(1)
        self._thread = threading.Thread(target=self._run, name="distribute.Executor", daemon=True)
        self._lock = threading.RLock()  # an executor may be collected, and close its courier, at any line
        self._ready: Future[None] = Future()
        self._open: dict[Call, None] = {}
        self._waiting: deque[Call] = deque()
        self._is_closing = False
        self._is_abandoned = False
        self._broken: BaseException | None = None
        self._runs: set[BatchRun] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._seconds: dict[bytes, float] = {}
        self._slots = (-SLOTS_HOLD_S, 0)

    # --- for any thread ------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect. Returns once it is connected.

        Raises:
            Unreachable, Refused, InputError: as `open_cluster`, or no node could run a call.
        """
        self._thread.start()
        self._ready.result()

    def put(self, calls: Sequence[Call]) -> None:
        """Take calls.

        Raises:
            RuntimeError: it is closed.
            BrokenExecutor: it has failed.
        """
        with self._lock:
            self._check_open()
            self._open.update(dict.fromkeys(calls))
            self._waiting.extend(calls)
        for call in calls:
            call.future.add_done_callback(lambda future, call=call: self._done(call))  # type: ignore[misc]
        self._soon(self._wake.set)

    def slots(self) -> int:
        """How many calls the nodes that are here can do at once. Raises as `put`."""
        with self._lock:
            self._check_open()
            found = asyncio.run_coroutine_threadsafe(self._slots_now(), self._loop)
        return found.result()

    def close(self) -> None:
        """Take no more calls, and end when none is open."""
        with self._lock:
            self._is_closing = True
        self._soon(self._wake.set)

    def cancel_all(self) -> None:
        """Cancel the calls that no node has taken yet."""
        with self._lock:
            calls = list(self._open)
        for call in calls:
            call.future.cancel()

    def abandon(self) -> None:
        """Cancel or kill all calls, for nobody waits for them any more."""
        self._is_abandoned = True
        self.cancel_all()
        self._soon(self._kill_all)

    def join(self) -> None:
        """Wait until its thread has ended."""
        self._thread.join()

    def _check_open(self) -> None:
        if self._broken is not None:
            raise BrokenExecutor(f"this Executor has failed: {self._broken}") from self._broken
        if self._is_closing:
            raise RuntimeError("this Executor was shut down, so it takes no more calls; make a new one")

    def _soon(self, callback: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has just ended: then no call is open
            self._loop.call_soon_threadsafe(callback)

    def _done(self, call: Call) -> None:
        with self._lock:
            self._open.pop(call, None)
        if call.future.cancelled():
            self._soon(lambda: self._cancelled(call))
        elif self._is_closing:
            self._soon(self._wake.set)

    # --- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - the futures, and whoever made it, raise it
            self._breaks(error)

    def _breaks(self, error: BaseException) -> None:
        with self._lock:
            self._broken = error
            calls = list(self._open)
        if not self._ready.done():
            self._ready.set_exception(error)
        for call in calls:
            call.fails(error)

    async def _main(self) -> None:
        from distribute.client.queries import Queries
        from distribute.nats.cluster import open_cluster

        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._kills: asyncio.TimerHandle | None = None
        with scratch_folder("executor") as folder:
            self._folder = folder
            async with open_cluster(self._address, f"executor of {self._person.name}") as cluster:
                self._cluster: Cluster = cluster
                self._queries = Queries(cluster)
                await check_nodes(self._queries, self._needs)
                self._ready.set_result(None)
                await self._serve()

    async def _serve(self) -> None:
        while not (self._is_closing and not self._waiting and not self._tasks):
            await self._wake.wait()
            self._wake.clear()
            if self._waiting:
                self._begin(self._send(await self._burst()))

    async def _burst(self) -> list[Call]:
        """The calls that come now, one soon after another."""
        until = self._loop.time() + LONGEST_BURST_S
        had = 0
        while len(self._waiting) > had and self._loop.time() < until:
            had = len(self._waiting)
            await asyncio.sleep(QUIET_S)
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The calls that it was about know it already.
            _log.debug("a batch of calls failed: %s", error, exc_info=error)

    # --- sending -------------------------------------------------------------------------------------

    async def _send(self, calls: list[Call]) -> None:
        """Send a burst of calls. Those that the executor may group wait for what the first of them show."""
        try:
            for together, same in groupby(calls, key=lambda call: call.together):
                wanted = [call for call in same if not call.future.cancelled()]
                if wanted:
                    await (self._send_grouped(wanted) if together is None else self._batch(wanted, None))
        except Exception as error:
            for call in calls:
                if not call.future.done():
                    call.fails(error)
            raise

    async def _send_grouped(self, calls: list[Call]) -> None:
        of_one = len({call.key for call in calls}) == 1
        seconds = self._seconds.get(calls[0].key) if of_one else None
        first = max(PROBES, await self._slots_now())
        if seconds is None and len(calls) > first:
            probe = Probe()
            await self._batch(calls[:first], None, probe)
            seconds = await probe.wait()
            calls = [call for call in calls[first:] if not call.future.cancelled()]
        if calls:
            await self._batch(calls, seconds)

    async def _batch(self, calls: Sequence[Call], seconds: float | None, probe: Probe | None = None) -> None:
        """Begin a batch with these calls, or several if they are many."""
        jobs = jobs_of(calls, seconds, await self._slots_now())
        for first in range(0, len(jobs), MAX_JOBS):
            await self._begin_batch(jobs[first : first + MAX_JOBS], probe)

    async def _begin_batch(self, jobs: list[Sequence[Call]], probe: Probe | None) -> None:
        number = next(self._numbers)
        folder = self._folder / str(number)
        folder.mkdir()
        spec, packer = await asyncio.to_thread(self._needs.batch, number, jobs, folder)
        for job in jobs:
            if len(job) == 1:
                job[0].arguments = b""  # nobody sends it again: it is done, or it failed
        run = BatchRun(
            self._cluster,
            self._person,
            spec,
            jobs,
            Ears(probe, self._learn, self._send_again),
            keeps=self._keeps,
        )
        self._runs.add(run)
        if self._is_abandoned:
            self._begin(run.kill())
        elif any(call.future.cancelled() for job in jobs for call in job):
            self._begin(run.kill_cancelled())  # they were cancelled while the batch was made

        async def ran() -> None:
            try:
                await run.run(packer.sources)
            finally:
                self._runs.discard(run)
                if probe is not None:
                    probe.give_up()
                await asyncio.to_thread(shutil.rmtree, folder)

        self._begin(ran())

    async def _slots_now(self) -> int:
        at, known = self._slots
        if self._loop.time() - at > SLOTS_HOLD_S:
            known = await slots(self._queries, self._needs)
            self._slots = (self._loop.time(), known)
        return known

    def _learn(self, calls: Sequence[Call], seconds: float) -> None:
        """One of these calls took so long."""
        if len(self._seconds) >= MAX_KNOWN:
            self._seconds.clear()
        self._seconds[calls[0].key] = seconds

    def _send_again(self, calls: Sequence[Call]) -> None:
        """Send calls that no job has begun."""
        if self._is_abandoned:
            for call in calls:
                call.fails(JobFailed("the program ended this call before a node began it"))
        self._waiting.extend(call for call in calls if not call.future.done())
        self._wake.set()

    # --- ending --------------------------------------------------------------------------------------

    def _cancelled(self, call: Call) -> None:
        call.begin()  # which tells those who wait for its future
        if self._kills is None:
            self._kills = self._loop.call_later(KILL_AFTER_S, self._kill_cancelled)

    def _kill_cancelled(self) -> None:
        self._kills = None
        for run in self._runs:
            self._begin(run.kill_cancelled())

    def _kill_all(self) -> None:
        for run in self._runs:
            self._begin(run.kill())
