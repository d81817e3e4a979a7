"""Says in plain words why the operating system refused something, which signal ended a process, and what lies
at a path in place of a file.
"""

from __future__ import annotations

import errno
import signal
import stat

_WORDS = {
    errno.EACCES: "you have no permission",
    errno.EADDRINUSE: "another program uses this port",
    errno.EADDRNOTAVAIL: "this computer does not have that address",
    errno.EAGAIN: "this computer has no processes or threads left",
    errno.EBUSY: "something else is using it",
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the other side closed the connection",
    errno.EDQUOT: "your disk quota is used up",
    errno.EEXIST: "something of that name is there already",
    errno.EFBIG: "it is larger than this file system allows",
    errno.EHOSTUNREACH: "no network leads to that computer",
    errno.EINVAL: "the system does not allow that",
    errno.EIO: "the disk reports an error",
    errno.EISDIR: "it is a folder",
    errno.ELOOP: "its links lead in a circle",
    errno.EMFILE: "this process has too many open files",
    errno.EMLINK: "its file has too many names",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ENETUNREACH: "this computer has no network that leads there",
    errno.ENFILE: "this computer has too many open files",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOEXEC: "it is not a program that this computer can run",
    errno.ENOMEM: "this computer has no memory left",
    errno.ENOSPC: "the disk is full",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.ENOTEMPTY: "the folder is not empty",
    errno.ENXIO: "nothing is at its other end",
    errno.EPERM: "it is not allowed",
    errno.EPIPE: "the reader has gone",
    errno.EROFS: "the disk is read-only",
    errno.ESTALE: "the network disk does not have it any more",
    errno.ETIMEDOUT: "there was no answer in time",
    errno.ETXTBSY: "a program that runs is in it",
    errno.EXDEV: "it is on another disk",
}


def cause(error: BaseException) -> str:
    """What went wrong, for an error that nobody expected: of the system in our words, else with its type."""
    if isinstance(error, OSError):
        return f"{error.filename}: {why(error)}" if error.filename else why(error)
    text = " ".join(str(error).split()) or "no details"
    return f"{type(error).__name__}: {text}"


def message_of(error: Exception) -> str:
    """The message of one of our errors, or of the system's in our words."""
    return cause(error) if isinstance(error, OSError) else str(error)


def why(error: OSError) -> str:
    """Why the system refused, as part of a sentence, without numbers: `the disk is full`."""
    known = _WORDS.get(error.errno) if error.errno is not None else None
    return known or error.strerror or "the system does not say why"


def signal_name(number: int) -> str:
    """The name of a signal: `SIGKILL`. A real-time signal has none: `signal 34`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def special_file(mode: int) -> str | None:
    """What something is by its `st_mode`: `a pipe`. None: a file, a folder or a link."""
    return _SPECIAL.get(stat.S_IFMT(mode))
