"""Where a head listens, and what other computers type to reach it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from distribute.client.words import printable
from distribute.config.settings.server_url import host_in_url
from distribute.core.errors import InputError
from distribute_cli.local.addresses import (
    is_address,
    is_loopback,
    outside_address,
    own_addresses,
    own_name,
    resolved,
)


def listening_address(host: str) -> str:
    """The address to listen on, for a host as a person writes it: an address or a name of this computer.

    Of a name's addresses, it is one that others reach, if there is one.

    Raises:
        InputError: it is neither.
    """
    bare = _bare(host)
    own = own_addresses()
    try:
        addresses = resolved(bare)
    except OSError:
        raise InputError(f"--host: there is no host {printable(host)!r}; {_instead(own)}") from None
    first = ip_address(addresses[0])
    if first.is_unspecified:
        return addresses[0]
    if first.is_link_local:
        raise InputError(f"--host: {printable(host)} is an address of a single cable; {_instead(own)}")
    found = [address for address in own if address in addresses]
    found += [address for address in addresses if is_loopback(address)]
    if not found:
        named = "" if bare in addresses else f" ({addresses[0]})"
        raise InputError(f"--host: {printable(host)}{named} is not this computer; {_instead(own)}")
    return found[0]


def _bare(host: str) -> str:
    """The host without the brackets that an IPv6 address has in a URL."""
    return host.removeprefix("[").removesuffix("]")


def _instead(own: list[str]) -> str:
    return f"this computer has the addresses {', '.join(own)}, and 0.0.0.0 means all of them"


@dataclass(frozen=True, slots=True)
class Reach:
    """How other computers reach a head.

    `url` has its name, if it has one. `by_address` is for computers that don't know this name.
    """

    url: str
    by_address: str | None

    @classmethod
    def of(cls, host: str, address: str, port: int) -> Reach | None:
        """The reach of a head that listens at an address, which a person wrote as `host`.

        None: only this computer reaches it. Asks the system for names, which can take long.
        """
        if is_loopback(address):
            return None
        outside = outside_address() if ip_address(address).is_unspecified else address
        name = _name(_bare(host), address)
        hosts = [text for text in (name, outside) if text is not None]
        urls = [f"nats://{host_in_url(text)}:{port}" for text in hosts]
        return cls(urls[0], urls[1] if len(urls) > 1 else None) if urls else None


def _name(host: str, address: str) -> str | None:
    """The name for a head: as the person wrote it, or this computer's own if it means that address."""
    if not is_address(host):
        return host
    name = own_name()
    if name is None or ip_address(address).is_unspecified:
        return name
    try:
        return name if address in resolved(name) else None
    except OSError:
        return None
