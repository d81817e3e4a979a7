"""Collect what the services log while a world runs. An exception that a service only logs ends the world."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from distribute.sim.loop_tasks import OWNER

if TYPE_CHECKING:
    from .world import World

LOGGERS = ("distribute", "distribute_services")


class Logs(logging.Handler):
    """Collects the logs of one world. With `tells_all`, the world's story has all their lines."""

    def __init__(self, world: World, *, tells_all: bool) -> None:
        super().__init__()
        self._world = world
        self._tells_all = tells_all

    def emit(self, record: logging.LogRecord) -> None:
        if self._tells_all:
            self._world.truth.note(record.levelname.lower(), record.getMessage())
        owner = OWNER.get()
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception) and (owner is None or owner.alive):
            self._world.fail(error)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Direct the logs here, and nowhere else, while the context lasts."""
        loggers = [logging.getLogger(name) for name in LOGGERS]
        before = [(logger.level, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.INFO if self._tells_all else logging.ERROR)
            logger.propagate = False
            logger.addHandler(self)
        try:
            yield
        finally:
            for logger, (level, propagate) in zip(loggers, before, strict=True):
                logger.removeHandler(self)
                logger.propagate = propagate
                logger.setLevel(level)
