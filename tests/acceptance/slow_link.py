"""A slow link to a cluster, so that a test can end what goes over it before that is over."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from acceptance.person import PATIENCE_S, Person
from integration.relay import Relay

BYTES_PER_S = 4 << 20
"""A pull of some tens of megabytes lasts for seconds, however busy the computer is."""


@contextmanager
def slow_link(person: Person) -> Iterator[str]:
    """A relay to the cluster of `up` that a person runs. Gets its address."""
    server = json.loads((person.home / "state/distribute/up.json").read_text())["server"]
    begun: queue.Queue[tuple[str, Callable[[], object]]] = queue.Queue()

    async def relay() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with Relay(urlsplit(server).port or 0) as passing:
            passing.slow_down(BYTES_PER_S)
            begun.put((passing.address.urls[0], lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(relay()), daemon=True)
    thread.start()
    address, end = begun.get(timeout=PATIENCE_S)
    try:
        yield address
    finally:
        end()
        thread.join(PATIENCE_S)
