"""A call of an executor: a future, and the pickles that a job needs to do it."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Call:
    """A call. `together`: so many calls are one job, as a person wrote; None: the executor groups them."""

    future: Future[Any]
    function: bytes
    arguments: bytes
    together: int | None = None
    _key: bytes | None = None
    is_known_to_run: bool = field(default=False, init=False)

    @property
    def key(self) -> bytes:
        """Tells functions apart."""
        if self._key is None:
            self._key = hashlib.sha256(self.function).digest()
        return self._key

    def begin(self) -> bool:
        """Note that it runs, or will not any more. False: it was cancelled, so nobody wants its result."""
        if self.is_known_to_run:
            return not self.future.cancelled()
        self.is_known_to_run = True
        return self.future.set_running_or_notify_cancel()

    def returns(self, value: Any) -> None:
        """It has a result."""
        if self.begin():
            self.future.set_result(value)

    def fails(self, error: BaseException) -> None:
        """It has none."""
        if self.begin():
            self.future.set_exception(error)
