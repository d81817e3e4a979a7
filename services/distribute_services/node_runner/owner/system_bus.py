"""Whether this computer has a D-Bus for the whole system, without a library that talks to it."""

from __future__ import annotations

import os
from pathlib import Path

_SOCKET = Path("/var/run/dbus/system_bus_socket")
"""Where D-Bus has it, if the variable names no other place."""


def has_system_bus() -> bool:
    """Is there a bus to connect to? It may come later, when its service starts."""
    return bool(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")) or _SOCKET.exists()
