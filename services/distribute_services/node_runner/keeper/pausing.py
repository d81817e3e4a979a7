"""The pause: units are stopped, and a lease holds until when."""

from __future__ import annotations

import time
from functools import partial

from distribute_services.node_runner.keeper import freezing, lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from distribute_services.node_runner.keeper.units import Unit, Units

MAX_PAUSE_S = 4 * 3600.0
"""Longest pause, unless the runner has set another bound."""

_FREEZE_S = 0.5
"""Longest time for which the keeper waits for processes to stop. It goes on a second later."""
_AGAIN_S = 1.0


class Pausing:
    """Whether the units are paused, and until when."""

    def __init__(
        self,
        folder: str,
        units: Units,
        *,
        group: Callable[[Unit], None],
        changed: Callable[[Unit, float], None],
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        """`group` gives a unit a cgroup, if it may have one. `changed`: something may be due for a unit."""
        self._folder = folder
        self._units = units
        self._group = group
        self._changed = changed
        self._report = report
        self.max_pause_s = MAX_PAUSE_S
        self.lease = lease.noted(folder)
        self._settle_at: float | None = None

    def due(self, latest_s: float) -> float | None:
        """When `act` must be called next, by the monotonic clock: in `latest_s` seconds at the latest."""
        if self.lease is None:
            return None
        # The monotonic clock stands still while the computer sleeps, the lease does not.
        at = time.monotonic() + min(self.lease.left_s, latest_s)
        return at if self._settle_at is None else min(at, self._settle_at)

    def act(self, now: float) -> None:
        """End the pause if it is over; else stop what has begun to run."""
        if self.lease is not None and self.lease.left_s <= 0:
            self.resume("it is over")
        if self._settle_at is not None and self._settle_at <= now:
            self._settle(now)

    def begin(self, duration_s: float, *, reason: str, by: str) -> None:
        """Stop all units, and those that are started meanwhile. Replaces an earlier pause.

        Raises:
            OSError: the pause can't be noted, so it is not made.
            ValueError: the duration is none.
        """
        if not 0 < duration_s < float("inf"):
            raise ValueError(f"a pause lasts for a number of seconds, not {duration_s:g}")
        self.lease = lease.begin(self._folder, min(duration_s, self.max_pause_s), reason=reason, by=by)
        self.freeze([unit for unit in self._units if not unit.held.is_frozen], time.monotonic())
        self._report({"type": "paused", **self.lease.view()})

    def resume(self, why: str) -> None:
        """End the pause."""
        if self.lease is None:
            return
        lease.end(self._folder)
        self.lease = None
        self._settle_at = None
        self.thaw([unit for unit in self._units if unit.held.is_frozen], time.monotonic())
        self._report({"type": "resumed", "why": why})

    def freeze(self, units: list[Unit], now: float) -> None:
        """Stop units."""
        for unit in units:
            self._group(unit)
            if unit.cgroup is not None:
                unit.cgroup.freeze()
        self._settle(now, units)

    def thaw(self, units: list[Unit], now: float) -> None:
        """Let units go on."""
        for unit in units:
            freezing.thaw(unit, partial(self._units.members, unit))
            unit.held.thaw(now)
            self._changed(unit, now)

    def _settle(self, now: float, units: list[Unit] | None = None) -> None:
        """Stop what still runs of units that are, or are to be, frozen. A later call stops what resisted."""
        until = now + _FREEZE_S
        for unit in [unit for unit in self._units if unit.held.is_frozen] if units is None else units:
            freezing.settle(unit, partial(self._units.members, unit), until)
            if not unit.held.is_frozen:
                unit.held.freeze(now)
                self._changed(unit, now)
        self._settle_at = time.monotonic() + _AGAIN_S
