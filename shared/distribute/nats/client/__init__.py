"""One connection to the broker.

`wire` and `protocol` move bytes, `connect` and `connection` make and keep the connection, `jetstream` asks
the broker's API, and `patience` does so over outages.
"""

from __future__ import annotations

import sys
from typing import Any


def _import_nats() -> None:
    """Import nats-py without aiohttp, unless that is there already.

    nats-py takes aiohttp for websockets, which no address of ours can ask for (`config.server_url`), and does
    without where its import fails. It takes as long to import as all modules of a verb.
    """
    modules: dict[str, Any] = sys.modules
    if "aiohttp" in modules:
        return
    modules["aiohttp"] = None  # by the rules of Python, its import fails then
    try:
        import nats  # noqa: F401
    finally:
        del modules["aiohttp"]


_import_nats()
