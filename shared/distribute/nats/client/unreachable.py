"""Says in plain words why no connection to a broker came about."""

from __future__ import annotations

import errno
import re
import socket
import ssl

from nats.errors import Error as NatsError

from distribute.core.os_words import why

_NUMBERS = re.compile(r"\[Errno (\d+)\]")


class NotABroker(NatsError):
    """Something answers at the address, but does not speak NATS."""


class ClosedAtOnce(NatsError):
    """Something takes the connection and closes it without a word: not a broker, or one that just ends."""


def is_hopeless(error: Exception) -> bool:
    """Would another try within seconds end in the same way?"""
    if isinstance(error, TimeoutError):
        return False
    return isinstance(error, NotABroker | OSError)


def why_unreachable(address: str, error: Exception | None, timeout_s: float | None, *, reached: bool) -> str:
    """What to tell a person who could not be connected.

    Args:
        address: the address, and where it comes from.
        error: the last failure. None: nothing has failed yet.
        timeout_s: how long we waited, in seconds.
        reached: something took the connection.
    """
    match error:
        case NotABroker():
            return f"{address}: another program answers there, not a broker; is this the cluster's address?"
        case ssl.SSLError():
            return f"{address}: no encrypted connection could be made; does the broker use TLS?"
        case socket.gaierror() if error.errno == socket.EAI_AGAIN:
            return f"{address}: the host's name can't be looked up now: has this computer a network?"
        case socket.gaierror() | UnicodeError():
            return f"{address}: there is no such host; is this the cluster's address?"
        case OSError() if not isinstance(error, TimeoutError):
            cause = _plain(error)
            if cause.errno == errno.ECONNREFUSED:
                return f"{address} refused the connection: is `distribute server` running there?"
            return f"{address} can't be reached: {why(cause)}; is this the cluster's address?"
        case ClosedAtOnce():
            return f"{address} closes every connection at once: does a broker run there?"
    within = "" if timeout_s is None else f" within {timeout_s:g} s"
    if reached:
        return (
            f"{address} takes the connection, but no broker answers{within}; is this the cluster's address?"
        )
    return f"{address}: no answer{within}; is the computer on, and does no firewall block the port?"


def in_short(error: Exception) -> str:
    """What went wrong with an attempt to connect, in a few words."""
    match error:
        case NotABroker() | ClosedAtOnce():
            return "no broker answers there"
        case ssl.SSLError():
            return "no encrypted connection can be made"
        case socket.gaierror() if error.errno == socket.EAI_AGAIN:
            return "the host's name can't be looked up now"
        case socket.gaierror():
            return "there is no such host"
        case TimeoutError():
            return "no answer in time"
        case OSError():
            cause = _plain(error)
            return "it refuses the connection" if cause.errno == errno.ECONNREFUSED else why(cause)
        case _:
            return str(error).removeprefix("nats: ")


def _plain(error: OSError) -> OSError:
    """The cause. Of a host with several addresses, asyncio puts the errors into one text."""
    numbers = _NUMBERS.findall(str(error)) if error.errno is None else []
    return OSError(int(numbers[0]), "") if numbers else error
