"""How a unit's processes are good guests: on cores of their own, and always behind the owner's work."""

from __future__ import annotations

import os
import resource

from distribute_services.node_runner.keeper.other_user import OtherUser

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Collection, Mapping
    from typing import Any

OOM_SCORE = 1000
"""If the computer runs out of memory, the kernel ends processes with this score first."""

_OOM_FILE = "/proc/self/oom_score_adj"

_IO_CLASS_SHIFT = 13
_IO_IDLE = 3 << _IO_CLASS_SHIFT
_IOPRIO_CALLS = {
    "x86_64": (251, 252),
    "aarch64": (30, 31),
    "riscv64": (30, 31),
    "ppc64le": (273, 274),
    "s390x": (282, 283),
}.get(os.uname().machine)
"""`ioprio_set` and `ioprio_get`, which the C library lacks. None: we don't know this machine's numbers."""


class Manners:
    """How a process is to be started.

    `niceness` is that of `nice`. `idle_io`: it gets the disk only if nobody else wants it. `cpus`: where it
    may run; empty: wherever the keeper may. `user`: as whom it runs; None: as the keeper's user.
    """

    __slots__ = ("cpus", "idle_io", "niceness", "user", "user_processes")

    def __init__(
        self,
        niceness: int = 0,
        *,
        idle_io: bool = False,
        cpus: Collection[int] = (),
        user: OtherUser | None = None,
    ) -> None:
        self.niceness = niceness
        self.idle_io = idle_io
        self.cpus = cpus
        self.user = user
        self.user_processes: int | None = None
        """With so many threads of its user, it can start no more; None: as the keeper. Root always can."""

    @classmethod
    def of(cls, ask: Mapping[str, Any]) -> Manners:
        """The manners in a message."""
        user = OtherUser(*ask["user"]) if ask.get("user") else None
        return cls(ask["niceness"], idle_io=ask.get("idle_io", False), cpus=ask.get("cpus", ()), user=user)


class Inherited:
    """While the block lasts, this process has what a process that it starts shall inherit.

    So no child of that process is born before it has it. The niceness is not among them: a process without
    rights can't take that back, and a nice keeper waits behind the owner's work, also with a pause. Measured
    beside two busy programs on two cores: a start then takes 4 to 28 ms (medians), else 0.1 to 10.
    """

    __slots__ = ("_cpus", "_io", "_manners", "_oom_score", "_processes")

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._cpus: set[int] | None = None
        self._io: int | None = None
        self._oom_score: bytes | None = None
        self._processes: tuple[int, int] | None = None

    def __enter__(self) -> None:
        cpus = set(self._manners.cpus)
        if cpus and (before := os.sched_getaffinity(0)) != cpus:
            try:
                os.sched_setaffinity(0, cpus)
                self._cpus = before
            except OSError:  # these cpus were switched off, or a cpuset took them: it runs on the others
                self._cpus = None
        if self._manners.idle_io:
            self._io = _io_class()
            _set_io_class(_IO_IDLE)
        self._oom_score = _set_oom_score(b"%d" % OOM_SCORE)
        if (most := self._manners.user_processes) is not None:
            soft, hard = self._processes = resource.getrlimit(resource.RLIMIT_NPROC)
            if soft == resource.RLIM_INFINITY or most < soft:
                resource.setrlimit(resource.RLIMIT_NPROC, (most, hard))

    def __exit__(self, *_: object) -> None:
        if self._processes is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, self._processes)
        if self._oom_score is not None:
            _set_oom_score(self._oom_score)
        if self._io is not None:
            _set_io_class(self._io)
        if self._cpus is not None:
            os.sched_setaffinity(0, self._cpus)


def be_nice(pid: int, niceness: int) -> None:
    """Lower the priority of a new session, unless the keeper's own is lower still.

    Sets it for the process group, which includes processes that it has forked meanwhile.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        try:
            os.setpriority(os.PRIO_PGRP, pid, niceness)
        except PermissionError:
            return  # it has become another user's (setuid) already


def make_nice(pid: int, niceness: int) -> bool:
    """Make a process, and its session, as nice. Returns False if the kernel wants to be asked again later.

    A session that a process began before `be_nice` is not. With `sched_autogroup`, which desktops have, each
    session gets an equal part of the processor, however nice its processes are. Without root's rights, this
    can be changed ten times a second.
    """
    try:
        if os.getpriority(os.PRIO_PROCESS, pid) < niceness:
            os.setpriority(os.PRIO_PROCESS, pid, niceness)
    except (ProcessLookupError, PermissionError):
        return True
    path = f"/proc/{pid}/autogroup"
    if not os.path.exists(path):  # noqa: PTH110 (no pathlib here)
        return True
    try:
        file = os.open(path, os.O_WRONLY)
    except OSError:
        return True  # it is gone, or another user's
    try:
        os.write(file, b"%d" % niceness)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        os.close(file)
    return True


_SCORE_FILE: list[int] = []
"""`_OOM_FILE`, which stays open: to open it twice for each start takes 10 µs."""


def _set_oom_score(score: bytes) -> bytes | None:
    """Set this process's score. Returns what it was; None if it can't be set."""
    try:
        if not _SCORE_FILE:
            _SCORE_FILE.append(os.open(_OOM_FILE, os.O_RDWR))
        before = os.pread(_SCORE_FILE[0], 64, 0)
        os.pwrite(_SCORE_FILE[0], score, 0)
    except OSError:
        return None
    return before


_LIBC: list[ctypes.CDLL] = []


def _io_class() -> int:
    return _call(1, 1, 0)


def _set_io_class(value: int) -> None:
    _call(0, 1, 0, value)


def _call(which: int, *arguments: int) -> int:
    """Call `ioprio_set` (0) or `ioprio_get` (1). Does nothing on a machine whose numbers we don't know."""
    if _IOPRIO_CALLS is None:
        return 0
    if not _LIBC:
        import ctypes

        _LIBC.append(ctypes.CDLL(None, use_errno=True))
    return int(_LIBC[0].syscall(_IOPRIO_CALLS[which], *arguments))
