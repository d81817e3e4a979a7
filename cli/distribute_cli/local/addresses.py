"""This computer's addresses and names, and whether two URLs name one broker."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

import psutil


def own_addresses() -> list[str]:
    """The addresses of this computer's network interfaces, those of the loopback interface last."""
    found = {
        address.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in {socket.AF_INET, socket.AF_INET6}
    }
    return sorted(found, key=lambda address: (is_loopback(address), ":" in address, address))


def is_loopback(address: str) -> bool:
    """Does only this computer reach this address?"""
    return ipaddress.ip_address(address).is_loopback


def resolved(host: str) -> list[str]:
    """The addresses of a host, which may be written as an address itself. It can take long.

    Raises:
        OSError: there is no such host, or the system can't tell.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))


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
