"""Whether a keeper lives behind a socket."""

from __future__ import annotations

import socket


def answers(address: str) -> bool:
    """Does a keeper take connections on the socket at this path? Those that were killed left theirs."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address) == 0
