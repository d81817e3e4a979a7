"""The backend of joblib whose calls are done by an `Executor`.

joblib hands us batches of calls, whose size it adapts to how long calls take. Each batch is one job. We send
its calls, not the batch: so nodes need no joblib.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any

from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

from distribute.executor.pool import Executor


class Together:
    """The calls of a batch. It is done when all of them are."""

    def __init__(self, futures: list[Future[Any]]) -> None:
        self.futures = futures
        self._lock = Lock()
        self._left = len(futures)

    def add_done_callback(self, callback: Callable[[Together], object]) -> None:
        """Call `callback` when the last call is done. May be used once."""

        def done(_: Future[Any]) -> None:
            with self._lock:
                self._left -= 1
                is_last = self._left == 0
            if is_last:
                callback(self)

        for future in self.futures:
            future.add_done_callback(done)


class JoblibBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc] # joblib has no types
    """Has an executor make the calls of `joblib.Parallel`.

    Args:
        pool: the executor. None: one is made when it is first needed, and ends with this backend.
        nesting_level: how many backends of joblib are around this one.
        options: arguments of `Executor`, without `pool`.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(
        self, pool: Executor | None = None, nesting_level: int | None = None, **options: Any
    ) -> None:
        if pool is not None and options:
            raise TypeError(f"pool is an executor that is there: {', '.join(options)} can't be set any more")
        if pool is not None and not isinstance(pool, Executor):
            raise TypeError(f"pool is a distribute.Executor, not {pool!r}")
        super().__init__(nesting_level=nesting_level)
        self._options = options
        self._own = pool
        self._open: set[Future[Any]] = set()

    @property
    def _pool(self) -> Executor:
        if self._own is None:
            self._own = Executor(**self._options)
        return self._own

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls joblib sends at a time. -1: as many as the cluster can do at once; -2: one less.

        Of a cluster it is two at least: if it is one, joblib sends none, and makes the calls in this process.
        """
        if n_jobs == 0:
            raise ValueError(
                "n_jobs is a number of calls, or -1 for as many as the cluster can do; 0 is neither"
            )
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(2, self._pool.slots() + 1 + n_jobs)

    def submit(self, func: Any, callback: Callable[[Together], object] | None = None) -> Together:
        """Send a batch of calls. `callback` is called when all are done."""
        futures = self._pool.submit_together(func.items)
        self._open.update(futures)
        for future in futures:
            future.add_done_callback(self._open.discard)
        batch = Together(futures)
        if callback is not None:
            batch.add_done_callback(callback)
        return batch

    apply_async = submit  # as joblib before 1.5 calls it

    def retrieve_result_callback(self, out: Together) -> list[Any]:
        """The results of a batch. Raises what its first failed call did."""
        return [future.result() for future in out.futures]

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel the calls that no node has begun. The executor is as ready as before."""
        for future in list(self._open):
            future.cancel()
