"""`python -m distribute_services.node_runner.keeper FOLDER`: start the keeper of a working folder.

Returns when it takes connections on `FOLDER/BUILD.socket`, or when another of the same build does. BUILD is a
digest of the keeper's code: after an upgrade, the new keeper starts beside the old one, which stays until its
last unit ends.

The keeper is what the second start makes, `--serve`. The first one prepares what needs more modules than the
keeper should keep in memory.
"""

from __future__ import annotations

import os
import sys

from distribute_services.node_runner.keeper import procfs

PACKAGE = "distribute_services.node_runner.keeper"


def main() -> int:
    """See the module."""
    match sys.argv[1:]:
        case [folder]:
            return _prepare(folder)
        case [folder, "--serve", build, listener, identity]:
            return _serve(folder, build, int(listener), identity)
        case _:
            print(f"usage: python -m {PACKAGE} FOLDER", file=sys.stderr)
            return 2


def _prepare(folder: str) -> int:
    """Lock the folder for this build, listen, and start the keeper in the background."""
    import fcntl
    import signal
    import socket

    from distribute.system import become_subreaper
    from distribute_services.node_runner.keeper.answering import answers
    from distribute_services.node_runner.keeper.build import build_of_this_code

    build = build_of_this_code()
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103 (as the keeper: no pathlib)
    os.chdir(folder)  # a path in a socket's address may have 107 bytes only
    lock = os.open(f"{build}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    name = f"{build}.socket"
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if answers(name):
            return 0
        fcntl.flock(lock, fcntl.LOCK_EX)  # it is about to end
    if os.path.exists(name):  # noqa: PTH110
        os.unlink(name)  # noqa: PTH108
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    os.chmod(name, 0o600)  # noqa: PTH101
    listener.listen(64)
    listener.setblocking(False)
    with open("../lock", encoding="ascii") as file:  # noqa: PTH123
        identity = file.read(12)
    if os.fork() != 0:
        return 0
    os.setsid()
    become_subreaper()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGCHLD, signal.SIGTERM):  # they may be ignored where we were started
        signal.signal(number, signal.SIG_DFL)
    _stand_alone(kept={lock, listener.fileno()})
    arguments = [os.getcwd(), "--serve", build, str(listener.fileno()), identity]  # noqa: PTH109
    command = [sys.executable, "-P", "-m", PACKAGE, *arguments]
    return os.execv(command[0], command)


def _stand_alone(kept: set[int]) -> None:
    """Keep no file of the starter's but the standard ones, which become the keeper's own, and `kept`."""
    nothing = os.open("/dev/null", os.O_RDONLY)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # that of the listing
    for fd in kept:
        os.set_inheritable(fd, True)


def _serve(folder: str, build: str, listener: int, identity: str) -> int:
    import _socket

    from distribute_services.node_runner.keeper.cgroup import open_cgroups
    from distribute_services.node_runner.keeper.server import Server

    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}"):  # noqa: PTH110
            os.set_inheritable(int(name), False)
    os.chdir("/")
    if not procfs.can_list_children():
        print(
            "this kernel has no CONFIG_PROC_CHILDREN: processes that jobs leave behind will stay",
            file=sys.stderr,
        )
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fileno=listener)
    Server(folder, socket, open_cgroups(identity), build).serve()
    try:
        os.unlink(f"{folder}/{build}.socket")  # noqa: PTH108
    except FileNotFoundError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
