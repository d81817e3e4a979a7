"""Import nats-py without the parts of it that we don't use, which take longer than the rest of it."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib import import_module
from types import ModuleType
from typing import Any

_JETSTREAM = "nats.js"


class Header(StrEnum):
    """Of `nats.js.api.Header`, the headers that nats-py's connection itself uses."""

    CONSUMER_STALLED = "Nats-Consumer-Stalled"
    DESCRIPTION = "Description"
    STATUS = "Status"


def import_nats() -> None:
    """Import nats-py without aiohttp and without `nats.js`, unless they are there already.

    nats-py takes aiohttp for websockets, which no address of ours can ask for (`config.server_url`), and does
    without where its import fails. It takes as long to import as all modules of a verb.

    `nats.js` is its way to use JetStream; ours is `jetstream`. It takes a tenth of the time that a verb or a
    service needs to start, and 2 MB. Whoever else uses it in this process gets it: it is imported then.
    """
    modules: dict[str, Any] = sys.modules
    if "nats" in modules:
        return
    put_off = _put_off(_JETSTREAM, api=_put_off(f"{_JETSTREAM}.api", Header=Header))
    modules[_JETSTREAM] = put_off
    without_aiohttp = "aiohttp" not in modules
    if without_aiohttp:
        modules["aiohttp"] = None  # by the rules of Python, its import fails then
    try:
        nats: Any = import_module("nats")
        nats.js = put_off
    finally:
        if without_aiohttp:
            del modules["aiohttp"]


def _put_off(name: str, **has: object) -> ModuleType:
    """A module that has these attributes, and imports the one that it stands for when another is wanted."""

    def attribute(wanted: str) -> Any:
        if "__file__" not in vars(sys.modules[_JETSTREAM]):
            del sys.modules[_JETSTREAM]  # the next import is real, and puts the module where this one was
        return getattr(import_module(name), wanted)

    module = ModuleType(name)
    vars(module).update(has, __getattr__=attribute)
    return module
