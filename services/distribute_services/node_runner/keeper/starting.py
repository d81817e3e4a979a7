"""Start the first process of a unit, as its message asks for it."""

from __future__ import annotations

import errno
import os

from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.keeper.spawning import CannotSpawn, spawn
from distribute_services.node_runner.keeper.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from distribute_services.node_runner.keeper.guest import Manners

COUNTED_S = 0.5
"""For so long the keeper remembers how many threads a user has: to count them takes a millisecond."""


class Starter:
    """Starts units. Without a cgroup, the kernel can hold only all of a user's processes to a number."""

    def __init__(self) -> None:
        self._counted: dict[int, tuple[float, int]] = {}
        """When the threads of a user were counted last, and how many there were."""

    def start(self, ask: Mapping[str, Any], manners: Manners, now: float, *, is_held: bool) -> int:
        """Start the first process of a unit. `is_held`: its cgroup will hold it to its processes.

        Returns its pid. Raises `CannotSpawn`.
        """
        view = View(*ask["view"]) if ask.get("view") else None
        most, uid = ask.get("max_processes"), manners.user.uid if manners.user is not None else os.getuid()
        if most is not None and uid != 0 and not is_held:
            manners.user_processes = self._count(uid, now) + most
        try:
            return spawn(ask["argv"], ask["cwd"], ask["env"], ask["stdout"], manners, view)
        except CannotSpawn as error:
            if error.code != errno.EAGAIN or most is None or manners.user_processes is None:
                raise
            self._counted.clear()  # another unit may have started many since
            manners.user_processes = self._count(uid, now) + most
            return spawn(ask["argv"], ask["cwd"], ask["env"], ask["stdout"], manners, view)

    def _count(self, uid: int, now: float) -> int:
        counted_at, count = self._counted.get(uid, (float("-inf"), 0))
        if now >= counted_at + COUNTED_S:
            count = procfs.threads_of(uid)
            self._counted[uid] = now, count
        return count
