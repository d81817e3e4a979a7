"""Read /proc, and write to files of the kernel.

What reads returns None or nothing if a process is gone or belongs to another user.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MARKER = "DISTRIBUTE_ATTEMPT_ID"
"""The environment variable that marks the processes of an attempt. Children inherit it."""

_MARKER_PREFIX = MARKER.encode() + b"="
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_FIRST_PTS_MAJOR = 136
"""Pseudo-terminals have eight major device numbers: Documentation/admin-guide/devices.txt of Linux."""


class Stat:
    """A process.

    `alive`: a zombie is not. `stopped`: by a signal, or by a debugger. `started` is in clock ticks since the
    boot: together with it, a pid names one process for ever.
    """

    __slots__ = ("alive", "parent", "session", "started", "stopped")

    def __init__(self, text: bytes) -> None:
        fields = _fields(text)
        # The first thread of a living process may be a zombie, while others live: field 17 counts them.
        self.alive = fields[0] not in {b"Z", b"X"} or int(fields[17]) > 1
        self.stopped = fields[0] in {b"T", b"t"}
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.started = int(fields[19])


def _fields(stat_text: bytes) -> list[bytes]:
    """What /proc/PID/stat says behind the program's name, from the state on.

    The name is in brackets. It may itself contain blanks and brackets.
    """
    return stat_text[stat_text.rindex(b")") + 2 :].split()


def stat(pid: int) -> Stat | None:
    text = read(f"/proc/{pid}/stat")
    return Stat(text) if text else None


def marker(pid: int) -> str | None:
    """The marker in a process's environment, which names its attempt. A zombie has no environment."""
    environment = read(f"/proc/{pid}/environ")
    if _MARKER_PREFIX not in environment:
        return None
    for variable in environment.split(b"\0"):
        if variable.startswith(_MARKER_PREFIX):
            return os.fsdecode(variable[len(_MARKER_PREFIX) :])
    return None


def environment(pid: int) -> dict[str, str]:
    """The environment with which a process began its program."""
    variables = (each.partition(b"=") for each in read(f"/proc/{pid}/environ").split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, equals, value in variables if name and equals}


def memory(pids: Iterable[int]) -> int:
    """The bytes of memory that processes have: their own pages, and once what they share with each other."""
    own = shared = 0
    for pid in pids:
        if fields := read(f"/proc/{pid}/statm").split():
            own += int(fields[1]) - int(fields[2])
            shared = max(shared, int(fields[2]))
    return (own + shared) * _PAGE_BYTES


def oom_kills() -> int:
    """How many processes the kernel has ended since the boot because memory was short."""
    for line in read("/proc/vmstat").splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0  # a kernel before 4.13


def own_children() -> list[int]:
    """The children of this process's main thread, with the orphans that it adopted. Takes 7 µs for 16."""
    return [int(child) for child in read(f"/proc/self/task/{os.getpid()}/children").split()]


def children(pid: int) -> list[int]:
    """The children of all threads of a process, including orphans that it has adopted."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 (no pathlib here)
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        found.extend(map(int, read(f"/proc/{pid}/task/{thread}/children").split()))
    return found


def can_list_children() -> bool:
    """Was this kernel built with CONFIG_PROC_CHILDREN? Kernels of Linux distributions are."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110


def with_descendants(pids: Iterable[int]) -> Iterator[int]:
    """`pids`, and every process below them: in this order, with each one's own before the next."""
    todo = list(pids)[::-1]
    while todo:
        pid = todo.pop()
        yield pid
        todo.extend(children(pid))


def living(pids: Iterable[int]) -> dict[int, Stat]:
    """Those of `pids` and the processes below them that are alive."""
    found = {}
    for pid in with_descendants(pids):
        process = stat(pid)
        if process is not None and process.alive:
            found[pid] = process
    return found


def serves_files(pid: int) -> bool:
    """Does a process serve a file system by FUSE? Squashfuse does so with the image of a container."""
    return "/dev/fuse" in _open_files(pid)


def to_warn(members: Mapping[int, Stat], first: int, number: int) -> list[int]:
    """The processes of a unit that get a signal as a warning. `first`: the one whose end is the unit's.

    All, but for those that would die of it while others work for them or need them: a shell around a program,
    a launcher, squashfuse, the first process while a daemon saves its work. They don't handle the signal.
    """
    handling = {pid for pid in members if handles(pid, number)}
    needed = {process.parent for process in members.values()} | {pid for pid in members if serves_files(pid)}
    if handling:
        needed.add(first)
    return [pid for pid in members if pid in handling or pid not in needed]


def handles(pid: int, number: int) -> bool:
    """Does a process handle a signal, or block it to wait for it?"""
    mask = 0
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith((b"SigBlk:", b"SigCgt:")):
            mask |= int(line.split()[1], 16)
    return bool(mask & 1 << number - 1)


def is_below(pid: int, ancestors: frozenset[int]) -> bool:
    """Is one of these processes an ancestor of `pid`?"""
    seen: set[int] = set()
    while pid not in seen:
        seen.add(pid)
        process = stat(pid)
        if process is None:
            return False
        pid = process.parent
        if pid in ancestors:
            return True
    return False


def cpu_ticks(pid: int) -> int:
    """Clock ticks that a process has used, with those of the children that it waited for; 0 if it is gone."""
    text = read(f"/proc/{pid}/stat")
    return sum(map(int, _fields(text)[11:15])) if text else 0


def terminals_of(pid: int) -> set[int]:
    """The numbers of the pseudo-terminals that a process uses: `/dev/pts/N`."""
    found = set()
    text = read(f"/proc/{pid}/stat")
    if text:
        device = int(_fields(text)[4])
        major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
        if _FIRST_PTS_MAJOR <= major < _FIRST_PTS_MAJOR + 8:
            found.add((major - _FIRST_PTS_MAJOR) * 256 + minor)
    for target in _open_files(pid):
        if target.startswith("/dev/pts/") and target[9:].isdecimal():
            found.add(int(target[9:]))
    return found


def _open_files(pid: int) -> Iterator[str]:
    """What the file descriptors of a process lead to; nothing if it is gone, or belongs to another user."""
    try:
        fds = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
    except OSError:
        return
    for fd in fds:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115
        except OSError:
            continue  # it was closed meanwhile


def processes_of(uid: int | None) -> Iterator[int]:
    """Every process of a user, except this one. None: of all users."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        try:
            owner = os.stat(f"/proc/{name}").st_uid  # noqa: PTH116
        except OSError:
            continue
        if uid is None or owner == uid:
            yield int(name)


def threads_of(uid: int) -> int:
    """How many threads a user's processes have, as RLIMIT_NPROC counts them."""
    texts = (read(f"/proc/{pid}/stat") for pid in processes_of(uid))
    return 1 + sum(int(_fields(text)[17]) for text in texts if text)


def read(path: str) -> bytes:
    """The content of a file of the kernel; empty if it is gone or belongs to another user."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    parts = []
    try:
        while part := os.read(fd, 1 << 16):
            parts.append(part)
    except OSError:
        return b""
    finally:
        os.close(fd)
    return b"".join(parts)


def write(path: str, value: bytes) -> None:
    """Write to a file of the kernel. Raises OSError: it is gone, or the kernel refuses that."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, value)
    finally:
        os.close(fd)
