"""Free ports for servers whose port must be known before they start, or must be theirs while they are down.

Other brokers of tests choose their own port (`port: -1`), and write it to `ports_file_dir`.
"""

from __future__ import annotations

import os
import random
import socket
from contextlib import ExitStack
from pathlib import Path

FIRST, END = 10_000, 20_000
"""From the end on, `infra/slurm.sh` and `infra/synapse.sh` choose theirs."""
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""From these, the system gives ports to connections, and to servers that leave the choice to it."""


def free_ports(count: int) -> list[int]:
    """Different ports of this computer that are free, and that the system gives to no other program.

    Other tests run at the same time: a port that the system chose may be taken before our server opens it.
    Each process that runs tests has ports of its own, so that no other one finds the same port free.
    """
    first, last = map(int, RANGE.read_text().split())
    kept = [*range(FIRST, min(first, END)), *range(last + 1, 1 << 16)] or range(FIRST, 1 << 16)
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = kept[process :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    begin = random.SystemRandom().randrange(len(own))
    free: list[int] = []
    with ExitStack() as stack:
        for port in (*own[begin:], *own[:begin]):
            probe = stack.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # taken
            free.append(port)
            if len(free) == count:
                return free
    raise AssertionError(f"not even {count} of {len(own)} ports are free")


def free_port() -> int:
    """One such port."""
    return free_ports(1)[0]
