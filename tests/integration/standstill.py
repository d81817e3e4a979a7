"""A broker that hangs, as one that is swapped out, overloaded or on a suspended machine does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from distribute.nats.broker.embedded import Broker


@contextmanager
def standing_still(broker: Broker) -> Iterator[None]:
    """Stop the broker's process for as long as the context lasts."""
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, broker.pid, os.WSTOPPED)  # the kernel may need a few milliseconds
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)
