"""End what a killed runner or keeper left."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Collection

from distribute.system import exit_of
from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.keeper.held import LEFTOVER_GRACE_S
from distribute_services.node_runner.keeper.units import signal_all

log = logging.getLogger(__name__)

_KILL_ROUND_S = 1.0
_KILL_ROUNDS = 30


async def kill_leftovers(
    is_ours: Callable[[str], bool],
    *,
    keepers: frozenset[int] = frozenset(),
    grace_s: float = LEFTOVER_GRACE_S,
) -> int:
    """End the processes that a killed runner or keeper left. Returns the number of processes found.

    Those are the processes of this user (of all users, if this is root: `run_as`) for whose marker `is_ours`
    returns True, and all below them, but for those below `keepers`.
    """

    def left() -> list[int]:
        marked = [pid for pid in procfs.processes_of(os.getuid() or None) if _is_marked(pid, is_ours)]
        return list(procfs.living(pid for pid in marked if not procfs.is_below(pid, keepers)))

    found = await asyncio.to_thread(left)
    if found:
        log.info("ending %d processes that an earlier run of this node-runner left", len(found))
        await _end(left, grace_s)
    return len(found)


def _is_marked(pid: int, is_ours: Callable[[str], bool]) -> bool:
    marker = procfs.marker(pid)
    return marker is not None and is_ours(marker)


async def _end(members: Callable[[], list[int]], grace_s: float) -> None:
    """Send SIGTERM to `members()`, then SIGKILL until none is left."""
    found = members()
    # A stopped process handles SIGTERM only when it continues.
    signal_all(found, (signal.SIGTERM, signal.SIGCONT))
    await _until_gone(found, grace_s)
    for _ in range(_KILL_ROUNDS):
        left = members()
        if not left:
            return
        signal_all(left, (signal.SIGKILL,))
        await _until_gone(left, _KILL_ROUND_S)
    if left := members():
        log.error("processes %s of an earlier run could not be killed", left)


async def _until_gone(pids: Collection[int], timeout_s: float) -> None:
    """Wait until all of these have ended, for `timeout_s` seconds at most."""

    async def all_gone() -> None:
        for pid in pids:
            await exit_of(pid)

    try:
        # Not `asyncio.timeout`: before Python 3.11.3 it raises no TimeoutError in a task that is being
        # cancelled, as the task of a build is when its batch ends.
        await asyncio.wait_for(all_gone(), timeout_s)
    except TimeoutError:
        log.debug("not all of %s ended within %g s", pids, timeout_s)
