"""The pause of a computer: a lease, which has an end that nobody's death can move.

It is a file, so a new keeper goes on with it. Its end is a time of the clock that also runs while the
computer sleeps, and is bound to one boot. After a restart of the computer, the wall clock counts.
"""

from __future__ import annotations

import json
import os
import time

_NAME = "pause"


class Lease:
    """A pause until `ends`, by `now()`. `until` is the same in seconds since 1970."""

    __slots__ = ("by", "ends", "reason", "since", "until")

    def __init__(self, ends: float, *, since: float, until: float, reason: str, by: str) -> None:
        self.ends = ends
        self.since = since
        self.until = until
        self.reason = reason
        self.by = by

    @property
    def left_s(self) -> float:
        """Seconds until it ends."""
        return max(0.0, self.ends - now())

    def view(self) -> dict[str, object]:
        """For messages."""
        return {
            "left_s": round(self.left_s, 3),
            "since": self.since,
            "until": self.until,
            "reason": self.reason,
            "by": self.by,
        }


def now() -> float:
    """Seconds since the boot, including those in which the computer slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def begin(folder: str, duration_s: float, *, reason: str, by: str) -> Lease:
    """Make a lease that begins now, and note it in `folder`.

    Raises:
        OSError: it can't be written.
    """
    wall = time.time()
    lease = Lease(now() + duration_s, since=wall, until=wall + duration_s, reason=reason, by=by)
    noted = {
        "boot_id": boot_id(),
        "ends": lease.ends,
        "since": wall,
        "until": lease.until,
        "reason": reason,
        "by": by,
    }
    part = f"{folder}/.{_NAME}.{os.getpid()}"
    with open(part, "w", encoding="utf-8") as file:  # noqa: PTH123 (no pathlib here)
        json.dump(noted, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, f"{folder}/{_NAME}")  # noqa: PTH105
    return lease


def noted(folder: str) -> Lease | None:
    """The lease that is noted in `folder`, unless it has ended. One that can't be read has ended."""
    try:
        with open(f"{folder}/{_NAME}", encoding="utf-8") as file:  # noqa: PTH123
            note = json.load(file)
        since, until = float(note["since"]), float(note["until"])
        wall = time.time()
        if note["boot_id"] == boot_id():
            left_s = float(note["ends"]) - now()
        elif wall < since:  # the clock was set back: it tells nothing
            left_s = 0.0
        else:
            left_s = until - wall
        if not 0 < left_s <= until - since:
            return None
        return Lease(
            now() + left_s, since=since, until=wall + left_s, reason=str(note["reason"]), by=str(note["by"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def end(folder: str) -> None:
    """Forget the lease."""
    try:
        os.unlink(f"{folder}/{_NAME}")  # noqa: PTH108
    except FileNotFoundError:
        return


def boot_id() -> str:
    """Identifies the current boot of the computer."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
        return file.read().strip()
