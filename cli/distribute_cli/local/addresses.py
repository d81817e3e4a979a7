"""This computer's addresses and names, and whether two URLs name one broker."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import psutil

_SOMEWHERE_ELSE = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))
"""Addresses of documentation, which are on no network."""


def own_addresses() -> list[str]:
    """The addresses of this computer's network interfaces, those that only it reaches last.

    Leaves out link-local addresses, which mean something only together with an interface.
    """
    found = {
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in {socket.AF_INET, socket.AF_INET6}
        and not ip_address(address.address).is_link_local
    }
    return sorted(found, key=lambda address: (is_loopback(address), ":" in address, address))


def outside_address() -> str | None:
    """The address by which other computers reach this one, as far as it knows. None: it has none.

    Of several, it is that from which it would send to the world.
    """
    for elsewhere, family in _SOMEWHERE_ELSE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))  # sends nothing: it only chooses the interface
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return next((address for address in own_addresses() if not is_loopback(address)), None)


def own_name() -> str | None:
    """The name by which other computers may know this one. None: it has none but `localhost`."""
    names = (socket.getfqdn(), socket.gethostname())
    return next((name for name in names if not name.startswith("localhost") and not is_address(name)), None)


def is_loopback(address: str) -> bool:
    """Does only this computer reach this address?"""
    return ip_address(address).is_loopback


def resolved(host: str) -> list[str]:
    """The addresses of a host, which may be written as an address itself. It can take long.

    Raises:
        OSError: there is no such host, or the system can't tell.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"no host can be called {host!r}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def names_this_broker(servers: str, own: str) -> bool:
    """Is the broker at `own`, a URL on this computer, one of those that a person wrote as `servers`?"""
    wanted = urlsplit(own)
    return any(_names(urlsplit(url), wanted) for url in servers.split(","))


def _names(url: SplitResult, wanted: SplitResult) -> bool:
    if url.port != wanted.port or not url.hostname:
        return False
    if url.hostname == wanted.hostname:
        return True
    try:
        addresses = resolved(url.hostname)
    except OSError:
        return False
    return any(is_loopback(address) or address in own_addresses() for address in addresses)


def is_address(text: str) -> bool:
    """Is this an address, not a name?"""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
