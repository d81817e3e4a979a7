"""The addresses of brokers as people write them, made into URLs that a connection can use as they are."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from distribute.config.settings.hosts import can_be_host
from distribute.core.errors import InputError

DEFAULT_PORT = 4222
ORIGINAL_PORT = 8952
"""The port of a head whose command line is one of the first `distribute`."""
_SCHEMES = ("nats", "tls")
_NUMBERS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)


def server_urls(written: str, source: str = "") -> tuple[str, ...]:
    """The URLs in `nats://HOST:PORT[,HOST…]`, with what is left out: scheme and port.

    `source` says where the address comes from, for messages. These show no password.

    Raises:
        InputError: it is not such an address.
    """
    return tuple(_url(address.strip(), source) for address in written.split(","))


def without_password(address: str) -> str:
    """The address as messages show it."""
    head, at, host = address.rpartition("@")
    scheme, slashes, _ = head.partition("://")
    return f"{scheme}{slashes}{host}" if at and slashes else host


def host_in_url(host: str) -> str:
    """A host's name or address as a URL has it: one of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _url(address: str, source: str) -> str:
    try:
        parts = _split(address if "://" in address else f"nats://{address}")
        host = _host(parts)
        port = _port(parts)
    except ValueError as error:
        raise _wrong(address, source, f": {error}") from None
    bare = parts._replace(scheme="", netloc="", path=parts.path.removesuffix("/"))
    if parts.scheme not in _SCHEMES or not host or not port or bare.geturl() or not address.isprintable():
        raise _wrong(address, source)
    credentials, at, _ = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{credentials}{at}{host}:{port}"


def _split(url: str) -> SplitResult:
    """The parts of a URL.

    Raises:
        ValueError: its host can't be told, as where a bracket is not closed.
    """
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("no host can have this name") from None


def _host(parts: SplitResult) -> str:
    """The host, as a URL has it.

    Raises:
        ValueError: no host can have this name.
    """
    host = parts.hostname or ""
    if ":" in host:
        return host_in_url(host)
    if any(character.isspace() for character in host):
        raise ValueError("a host's name can't contain blanks")
    if _NUMBERS.fullmatch(host):
        return host  # an address of IPv4: the codec for names takes half a megabyte
    if host and not can_be_host(host):
        raise ValueError("no host can have this name")
    return host


def _port(parts: SplitResult) -> int:
    """The port, or ours if there is none.

    Raises:
        ValueError: what stands there is no port.
    """
    try:
        return DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        raise ValueError("a port is a number from 1 to 65535") from None


def _wrong(address: str, source: str, why: str = "") -> InputError:
    named = f"{source}: " if source else ""
    return InputError(
        f"{named}{without_password(address)!r} is not the address of a cluster{why}; write nats://HOST:PORT"
    )
