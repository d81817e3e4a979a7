"""Let a process see a folder at the path of another: a job's private copy of the build, where it was built.

Builds note their own path. So a job has to find its copy at the path of the build, and jobs that run at the
same time must not meet there. Each gets a mount namespace of its own, in which its copy is mounted over the
folder of the build. Other processes don't see this mount, and the kernel undoes it with the namespace's last
process.

Only the standard library is used here, as the process that starts jobs must stay small.
"""

from __future__ import annotations

import errno
import os
import signal

TYPE_CHECKING = False  # what only a type checker needs is not imported
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from distribute_services.node_runner.keeper.entering import Inside
    from distribute_services.node_runner.keeper.other_user import Covered, OtherUser

OVERLAY_OPTIONS = (
    "index=on,redirect_dir=off,metacopy=off,volatile",
    "redirect_dir=off,metacopy=off,volatile",
    "redirect_dir=off,metacopy=off",
    "userxattr,volatile",
    "userxattr",
)
"""Options of an overlay, the best first; the kernel decides which it takes.

`index` keeps hard links together. Without `redirect_dir` and `metacopy`, what a job moved or changed is in
its own layer as a whole, where its results are looked for. `volatile`: don't force to the disk what is sent
and removed soon. `userxattr` is for a user, who may switch nothing else."""

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SLAVE = 0x80000

_RESET_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class View:
    """What a process sees at the path `at`, which is a folder.

    Without `overlay` it sees the folder `own` there. With it, it sees what lies at `at`, too, but what it
    changes lands in `own`. `scratch` is an empty folder for the kernel, on the disk of `own`; without it,
    nothing can be changed. `overlay` has further options of the mount, one of `OVERLAY_OPTIONS`.
    """

    __slots__ = ("at", "overlay", "own", "scratch")

    def __init__(self, at: str, own: str, scratch: str = "", overlay: str = "") -> None:
        self.at = at
        self.own = own
        self.scratch = scratch
        self.overlay = overlay

    def enter(self, libc: ctypes.CDLL) -> None:
        """Give this process, which has one thread, a mount namespace with the view. Go to its folder."""
        _enter(libc, self)

    def to_read(self) -> View:
        """The same for one that only reads: it may see the folder again after the first process is gone."""
        return View(self.at, self.own, "", self.overlay)


class Looks:
    """Whether a program, and the folder in which it was to start, are there."""

    __slots__ = ("exists", "has_folder", "is_folder")

    def __init__(self, has_folder: bool, exists: bool, is_folder: bool) -> None:
        self.has_folder = has_folder
        self.exists = exists
        self.is_folder = is_folder

    @classmethod
    def of(cls, program: str, folder: str) -> Looks:
        """Look at a program, of which a relative path is below `folder`."""
        path = os.path.join(folder, program)  # noqa: PTH118 (no pathlib here)
        return cls(os.path.isdir(folder), os.path.exists(path), os.path.isdir(path))  # noqa: PTH110, PTH112


class NotStartedError(OSError):
    """A program could not be started. `looks` is as the process saw it."""

    def __init__(self, error_number: int, looks: Looks) -> None:
        super().__init__(error_number, "it could not be started")
        self.looks = looks


class NoViewError(OSError):
    """The kernel did not let a process see its folder."""


def spawn(
    view: View | Inside | Covered,
    argv: Sequence[str],
    env: Mapping[str, str],
    output: int,
    errors: int | None = None,
    *,
    user: OtherUser | None = None,
) -> int:
    """Start a program in the folder `view.at`, as `posix_spawn` would. Returns its pid.

    It gets a session of its own, no input, the descriptors `output` and `errors` (None: the same) for its
    outputs, and default signals. It looks up a name without a `/` in the PATH of `env` itself, so the build's
    own programs may be in there. It becomes the `user`'s; None: it keeps its user. If that is not root, it
    gets a user namespace, in which setuid programs have no effect.

    A fork of this process: 2 ms if it is small. Measured beside it: a helper in Python 20 ms; `unshare`, `sh`
    and `mount` 5 ms, but `mount` serves only root, and a shell loses variables like `A.B`.

    Raises:
        NotStartedError: the program can't be started.
        NoViewError: the view can't be had.
        ValueError: the arguments or the environment are not valid.
    """
    arguments = [os.fsencode(word) for word in argv]
    variables = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    if any(b"\0" in text for text in (*arguments, *variables, *variables.values())):
        raise ValueError("embedded null byte")
    if any(b"=" in name for name in variables):
        raise ValueError("illegal environment variable name")
    libc = _libc()  # before the fork, because it imports
    reading, writing = os.pipe()
    old = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            outputs = output, output if errors is None else errors
            _be_the_job(libc, view, user, arguments, variables, outputs, writing)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        os.close(writing)
    try:
        complaint = os.read(reading, 64)  # nothing, once the program has begun
    finally:
        os.close(reading)
    if not complaint:
        return pid
    os.waitpid(pid, 0)
    step, number, has_folder, exists, is_folder = (int(word) for word in complaint.split())
    if step == _SEEING:
        raise NoViewError(number, "the kernel refused it")
    raise NotStartedError(number, Looks(bool(has_folder), bool(exists), bool(is_folder)))


NO_SUCH_PROGRAM = errno.ENODATA
"""The `errno` of a `NotStartedError` for a program that is in no folder of the PATH."""

_SEEING, _STARTING = 0, 1
"""Where a start failed."""


def _be_the_job(
    libc: ctypes.CDLL,
    view: View | Inside | Covered,
    user: OtherUser | None,
    argv: list[bytes],
    env: dict[bytes, bytes],
    outputs: tuple[int, int],
    complaints: int,
) -> NoReturn:
    """Become the program, in a process that was forked for it."""
    step = _SEEING
    try:
        view.enter(libc)
        if user is not None:
            user.become()
        step = _STARTING
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(outputs[0], 1)
        os.dup2(outputs[1], 2)
        for number in _RESET_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _execute(argv, env)
    except OSError as error:
        looks = Looks.of(os.fsdecode(argv[0]), view.at)
        words = (step, error.errno or 0, looks.has_folder, looks.exists, looks.is_folder)
        os.write(complaints, b"%d %d %d %d %d" % words)
    finally:
        os._exit(127)  # whatever happened: this copy of the process must do nothing else


def _execute(argv: list[bytes], env: dict[bytes, bytes]) -> NoReturn:
    """Execute a program. Unlike C's `execvp`, never hand a file that is no program to a shell."""
    if b"/" in argv[0]:
        os.execve(argv[0], argv, env)
    refused = None
    for folder in env.get(b"PATH", os.fsencode(os.defpath)).split(b":"):
        path = b"%s/%s" % (folder or b".", argv[0])
        if os.path.isfile(path):  # noqa: PTH113 (bytes)
            if os.access(path, os.X_OK):
                os.execve(path, argv, env)
            refused = refused or path
    if refused is not None:
        os.execve(refused, argv, env)  # the kernel says why it is not started
    raise OSError(NO_SUCH_PROGRAM, "no such program in the PATH")


def mount(
    libc: ctypes.CDLL, source: str, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    """As mount(2). Raises OSError if the kernel refuses it."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    _check(libc.mount(texts[0], texts[1], texts[2], flags, texts[3]))


def _check(result: int) -> None:
    from ctypes import get_errno

    if result:
        raise OSError(get_errno(), "the kernel refused it")


def enter_namespace(libc: ctypes.CDLL) -> None:
    """Give this process, which has one thread, a mount namespace. Raises OSError if the kernel refuses it."""
    user, group = os.geteuid(), os.getegid()
    _check(libc.unshare(_CLONE_NEWNS if user == 0 else _CLONE_NEWNS | _CLONE_NEWUSER))
    if user != 0:
        # It keeps its user and group. Its power over its own namespace ends when it executes a program.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    # Disks that are mounted later are seen, and nothing goes out.
    mount(libc, "none", "/", None, _MS_REC | _MS_SLAVE)


def _enter(libc: ctypes.CDLL, view: View) -> None:
    """As `View.enter`."""
    enter_namespace(libc)
    if view.overlay:
        mount(libc, "overlay", view.at, "overlay", 0, _options(view))
    else:
        mount(libc, view.own, view.at, None, MS_BIND)
    os.chdir(view.at)


def _options(view: View) -> str:
    """By descriptors, because a path may have characters that mean something in the options."""
    folders = (view.at, view.own, view.scratch) if view.scratch else (view.at, view.own)
    below, own, *scratch = (f"/proc/self/fd/{os.open(path, os.O_PATH | os.O_DIRECTORY)}" for path in folders)
    if scratch:
        return f"lowerdir={below},upperdir={own},workdir={scratch[0]},{view.overlay}"
    return f"lowerdir={own}:{below}{',userxattr' if 'userxattr' in view.overlay else ''}"


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


_LIBC: list[ctypes.CDLL] = []


def _libc() -> ctypes.CDLL:
    """The C library. It takes 1 MB, so a node without builds does not load it."""
    if not _LIBC:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        libc.mount.argtypes = (*[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p)
        _LIBC.append(libc)
    return _LIBC[0]
