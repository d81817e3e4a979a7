"""What a process remembers of its words is bounded, however often the log loses its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from distribute import acknowledged
from distribute.acknowledged import Acknowledged, Questions
from distribute.core.ids import Guarded, Scope
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, Recorded
from distribute.testing import builders


class ReturningConnection:
    """A connection that is lost and is back whenever a test says so."""

    address = "the broker"

    def __init__(self) -> None:
        self.returned: Callable[[], None] = lambda: None

    def on_return(self, hook: Callable[[], None]) -> Callable[[], None]:
        self.returned = hook
        return lambda: None


async def test_where_lost_words_are_now_is_remembered_of_the_last_losses_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acknowledged, "MAX_REMEMBERED", 3)
    stored: list[Event] = []

    async def end() -> int:
        return 0

    async def has(seq: int, event_id: str) -> bool:
        return False

    async def last_seq(scope: Guarded) -> int:
        return 0

    async def last(scope: Scope, event_type: str) -> None:
        return None

    async def since(scope: Scope, after: int) -> list[Recorded]:
        return []

    async def append(event: Event, guard: Guard) -> int:
        stored.append(event)
        return 100 + len(stored)

    connection: Any = ReturningConnection()
    memory = Acknowledged(connection, Questions(end, has, last_seq, last, since, append))
    for seq in (1, 2, 3):
        memory.acknowledged(seq, builders.claimed(f"job{seq}"), 0, 100)
    for loss in range(1, 6):
        connection.returned()
        scope = builders.claimed("job1").scope
        assert await asyncio.wait_for(memory.now_at(scope, 1 if loss == 1 else 98 + 3 * (loss - 1)), 60) > 100
        assert len(stored) == 3 * loss
    assert len(memory._moved) == 6
    await memory.close()
