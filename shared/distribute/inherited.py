"""What a process inherits from the one that starts it, and how to begin in good order whatever that is."""

from __future__ import annotations

import signal

_NEEDED = (signal.SIGCHLD, signal.SIGTERM)
"""Without SIGCHLD the kernel reaps our children and their exit codes are lost; by SIGTERM we are ended."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def restore_signals() -> None:
    """Unblock all signals, and no longer ignore those that this program can't do without.

    `nohup` ignores SIGHUP, and a shell SIGINT for what its scripts start by `&`: these stay ignored.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in _NEEDED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def end_signals() -> tuple[signal.Signals, ...]:
    """The signals that tell this program to end, without those that it was started to ignore.

    A terminal that closes sends SIGHUP twice, once through its shell. So unlike the others, a second SIGHUP
    must not mean "at once".
    """
    return tuple(number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN)
