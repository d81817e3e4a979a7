"""The log of a simulated process, with the real memory of its events."""

from __future__ import annotations

from collections.abc import Callable

from distribute.acknowledged import Acknowledged, Questions
from distribute.core.ids import BatchId, Guarded, JobId, Under
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, Recorded
from distribute.sim.log import SimulatedLog
from distribute.sim.network import Link


class ReturningLink:
    """`acknowledged.Returning`."""

    address = "the simulated broker"

    def __init__(self, link: Link) -> None:
        self._link = link

    def on_return(self, hook: Callable[[], None], /) -> Callable[[], None]:
        """As `Returning.on_return`."""
        self._link.on_return.append(hook)
        return lambda: self._link.on_return.remove(hook)


class RememberingLog(SimulatedLog):
    """Appends events again that the broker acknowledged and lost."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        stored = link.broker.stored

        async def end() -> int:
            return await link.ask(lambda: stored.last_seq)

        async def has(seq: int, event_id: str) -> bool:
            found = await self._get(seq)
            return stored.was_purged(seq) or (found is not None and found.event.id == event_id)

        async def last_seq(scope: Guarded) -> int:
            return await link.ask(lambda: stored.last_seq_of(scope))

        async def append(event: Event, guard: Guard) -> int:
            return await self.append_again(event, guard)

        async def since(scope: JobId | BatchId, after: int) -> list[Recorded]:
            under = Under(scope) if isinstance(scope, BatchId) else scope
            return await link.ask(lambda: stored.since(under, after))

        questions = Questions(end, has, last_seq, self.last, since, append)
        self.memory = Acknowledged(ReturningLink(link), questions)
