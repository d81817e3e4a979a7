"""Names of computers, and addresses of web services."""

from __future__ import annotations

from urllib.parse import urlsplit


def can_be_host(name: str) -> bool:
    """Can a computer have this name? Looking up one that none can have raises an error of its own kind."""
    try:
        return bool(name.encode("idna"))
    except UnicodeError:
        return False


def is_web_address(url: str) -> bool:
    """Is it a URL by which a web service could be reached?"""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and can_be_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # brackets that don't match, or no such port
        return False
