"""A story in virtual time, about a log that a simulated broker keeps and may lose the end of."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from distribute.codec import encode
from distribute.core.log.events import Event
from distribute.sim.loop import VirtualLoop
from distribute.sim.network import Broker

Told = TypeVar("Told")


class Stage:
    """A broker, and the loop in which one story about it is told."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(1)
        self.broker = Broker(self.loop)

    def publish(self, *events: Event) -> None:
        """Have the broker store events that others append, each behind the last one of its scope."""
        for event in events:
            last_seq = self.broker.stored.last_seq_of(event.scope)
            self.broker.publish(event.id, encode(event), event.scope, last_seq)

    def ids(self) -> list[str]:
        """The ids of all events that are in the log."""
        stored = self.broker.stored
        return [recorded.event.id for recorded in stored.between(0, stored.last_seq)]

    def tell(self, story: Coroutine[Any, Any, Told]) -> Told:
        """Run the story to its end. Nothing runs after it."""
        try:
            return self.loop.run_until_complete(story)
        finally:
            self.loop.end_tasks(60.0)
            self.loop.close()
