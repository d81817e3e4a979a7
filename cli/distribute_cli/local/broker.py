"""The broker of a local cluster. It is run until it ends or needs a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from distribute.config.sections.units import format_size
from distribute.core.errors import Unreachable
from distribute.nats.broker.embedded import Broker
from distribute.nats.broker.health import failed_write
from distribute.nats.client.connect import connect
from distribute.system import exit_of

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
ENOUGH_ROOM_BYTES = 64 << 20
"""With less, a restarted broker would soon be full again."""


async def run_broker(broker: Broker) -> str:
    """Run the broker until it ends, or needs a restart. Returns why."""
    await broker.start()
    try:
        assert broker.pid is not None
        return await _first(_ended(broker, broker.pid), _jammed(broker))
    finally:
        await broker.stop()


async def _ended(broker: Broker, pid: int) -> str:
    await exit_of(pid)
    return f"see {broker.log_path}"


async def _jammed(broker: Broker) -> str:
    """Wait until a stream refuses writes although its disk has room. That happens after the disk was full.

    Only a restart of the broker helps, and no other process notices.
    """
    # Who restarts the broker logs that.
    connection = await connect(broker.address, "distribute: is the disk full?", timeout_s=None, peer=None)
    told = False
    try:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)  # the broker reports it nowhere
            try:
                failed = await failed_write(connection)
            except Unreachable:
                continue  # it may be slow or stopped: no reason to end it
            if failed is None:
                continue
            free_bytes = broker.free_bytes
            if free_bytes >= ENOUGH_ROOM_BYTES:
                return f"it can't write although its disk has {format_size(free_bytes)} free ({failed})"
            if not told:
                log.warning(
                    "the broker's disk is full (%s), and everything waits: free at least %s in %s",
                    failed, format_size(ENOUGH_ROOM_BYTES), broker.folder,
                )  # fmt: skip
                told = True
    finally:
        await connection.close()


async def _first(*waits: Coroutine[Any, Any, str]) -> str:
    """The result of the first that ends; the others are cancelled."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
